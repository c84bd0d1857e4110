"""`sdmtop detach`: give devices back to the drivers that they had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.subcommands.plans import add_confirmation, carry_out

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """What, and how confirmed."""
    add_confirmation(parser)
    parser.add_argument("target", metavar="TARGET", nargs="+", help="as attach has it")
    parser.add_argument("--only", action="store_true",
                        help="leave the other devices of the group where they are")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Do it."""
    from sdmtop.operations.targets import meant
    from sdmtop.operations.undo import plan_detach

    return carry_out(
        options,
        lambda host, snapshot, entries: plan_detach(
            host,
            snapshot,
            [meant(host, snapshot, name) for name in options.target],
            entries=entries,
            only=options.only,
        ),
    )
