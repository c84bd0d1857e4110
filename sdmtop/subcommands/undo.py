"""`sdmtop undo`: undo a plan of the journal, or do the rest of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.subcommands.plans import add_confirmation, carry_out

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which, which way, and how confirmed."""
    add_confirmation(parser)
    parser.add_argument("number", metavar="PLAN", nargs="?", type=int,
                        help="its number in the journal; by default the last one")  # fmt: skip
    parser.add_argument("--finish", action="store_true",
                        help="do the rest of a plan that was left half-done instead")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Do it."""
    from sdmtop.operations.undo import plan_finish, plan_undo

    plan = plan_finish if options.finish else plan_undo
    return carry_out(
        options,
        lambda host, snapshot, entries: plan(host, snapshot, entries, number=options.number),
    )
