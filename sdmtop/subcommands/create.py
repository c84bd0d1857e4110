"""`sdmtop create`: make a mediated device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.subcommands.plans import add_confirmation, carry_out

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Of what, under which name, and how confirmed."""
    add_confirmation(parser)
    parser.add_argument("type", metavar="PARENT/TYPE", help="as 'sdmtop snapshot' lists mdev_types")
    parser.add_argument("--uuid", metavar="U", help="its name; by default a new one")


def run(options: argparse.Namespace) -> int:
    """Do it."""
    from sdmtop.operations.mdevs import plan_create

    return carry_out(
        options, lambda host, snapshot, _: plan_create(host, snapshot, options.type, options.uuid)
    )
