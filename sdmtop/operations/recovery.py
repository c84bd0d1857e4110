"""What an earlier run has left: plans that were cut off by a kill, a crash or a reboot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.operations.undo import is_of_this_boot, steps_done

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sdmtop.backends.base import Host
    from sdmtop.operations.journal import Entry, Journal


def half_done(host: Host, entries: Iterable[Entry]) -> list[str]:
    """A sentence for each plan that has not come to its end, and what can be done about it."""
    found = []
    for entry in entries:
        begun = entry.begun
        what = f"plan {begun.number} ({begun.plan.command})"
        if entry.undone_by is not None or not _is_open(entry):
            continue
        if not is_of_this_boot(host, entry):
            found.append(f"{what} was cut off; the reboot since has undone it")
            continue
        done, all_ = len(steps_done(host, entry)), len(begun.plan.steps)
        if done:
            found.append(
                f"{what} was left half-done, {done} of {all_} steps: 'sdmtop undo {begun.number}' "
                f"takes them back, 'sdmtop undo {begun.number} --finish' does the rest"
            )
    return found


def settle(host: Host, journal: Journal) -> None:
    """Close the plans that a reboot has undone, so that they are told of once."""
    for entry in journal.entries():
        if entry.begun.host == host.url and _is_open(entry) and not is_of_this_boot(host, entry):
            journal.end(entry.begun.number, "reboot")


def _is_open(entry: Entry) -> bool:
    """Whether a plan has neither ended nor is under way; what hangs has not ended."""
    if entry.ended is not None:
        return entry.ended.ending == "stuck"
    return not entry.is_running
