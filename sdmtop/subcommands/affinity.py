"""`sdmtop affinity`: to which CPUs interrupts may come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.subcommands.plans import add_confirmation, carry_out

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which, where to, and how confirmed."""
    add_confirmation(parser)
    parser.add_argument(
        "target", metavar="TARGET", help="irq/24, or a device: its address or interface"
    )
    parser.add_argument("cpus", metavar="CPUS", help="a list such as 0-3,8")


def run(options: argparse.Namespace) -> int:
    """Do it."""
    from sdmtop.operations.settings import plan_affinity
    from sdmtop.operations.targets import meant

    return carry_out(
        options,
        lambda host, snapshot, _: plan_affinity(
            host, snapshot, meant(host, snapshot, options.target), options.cpus
        ),
    )
