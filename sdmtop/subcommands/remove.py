"""`sdmtop remove`: remove mediated devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.subcommands.plans import add_confirmation, carry_out

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which, and how confirmed."""
    add_confirmation(parser)
    parser.add_argument(
        "uuid", metavar="UUID", nargs="+", help="which, by their UUIDs or the beginnings of them"
    )


def run(options: argparse.Namespace) -> int:
    """Do it."""
    from sdmtop.operations.mdevs import plan_remove
    from sdmtop.operations.targets import meant

    return carry_out(
        options,
        lambda host, snapshot, _: plan_remove(
            host, snapshot, [meant(host, snapshot, name) for name in options.uuid]
        ),
    )
