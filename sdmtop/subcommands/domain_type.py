"""`sdmtop domain-type`: the default domain of a group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.subcommands.plans import add_confirmation, carry_out

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which, of which type, and how confirmed."""
    add_confirmation(parser)
    parser.add_argument("target", metavar="GROUP", help="group/18")
    parser.add_argument("type", metavar="TYPE", help="identity, DMA, DMA-FQ or auto")


def run(options: argparse.Namespace) -> int:
    """Do it."""
    from sdmtop.operations.settings import plan_domain_type

    return carry_out(
        options,
        lambda host, snapshot, _: plan_domain_type(host, snapshot, options.target, options.type),
    )
