"""`sdmtop sriov`: how many virtual functions a physical function has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.subcommands.plans import add_confirmation, carry_out

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which, how many, and how confirmed."""
    add_confirmation(parser)
    parser.add_argument(
        "target", metavar="ADDRESS", help="a PCI address, 0000:02:00.0, or an interface"
    )
    parser.add_argument("count", metavar="COUNT", help="how many; 0 for none")


def run(options: argparse.Namespace) -> int:
    """Do it."""
    from sdmtop.operations.settings import as_count, plan_sriov
    from sdmtop.operations.targets import meant

    return carry_out(
        options,
        lambda host, snapshot, _: plan_sriov(
            host, snapshot, meant(host, snapshot, options.target), as_count(options.count)
        ),
    )
