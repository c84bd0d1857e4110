"""`sdmtop journal`: what was done, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.errors import NothingToDoError, put_out
from sdmtop.subcommands.options import add_host

if TYPE_CHECKING:
    import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """All plans, or one."""
    add_host(parser)
    parser.add_argument("number", metavar="PLAN", nargs="?", type=int, help="all of this one")
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="text, or JSON for scripts (default text)",
    )


def run(options: argparse.Namespace) -> int:
    """Print it."""
    from sdmtop.backends.base import open_host
    from sdmtop.operations.store import open_journal
    from sdmtop.operations.words import entry_lines, journal_lines
    from sdmtop.text import printable

    host = open_host(options.host)
    journal = open_journal(host)
    entries = journal.entries()
    if options.number is not None:
        entries = tuple(one for one in entries if one.begun.number == options.number)
        if not entries:
            raise NothingToDoError(f"the journal has no plan {options.number}")
    if options.format == "json":
        import msgspec

        plans = [entry._asdict() for entry in entries]
        data = msgspec.json.encode({"damaged_lines": journal.damaged, "plans": plans})
        return put_out(msgspec.json.format(data, indent=2) + b"\n")
    lines = (
        entry_lines(host, entries[0])
        if options.number is not None
        else journal_lines(host, entries, journal.damaged)
    )
    return put_out("".join(f"{printable(line)}\n" for line in lines).encode())
