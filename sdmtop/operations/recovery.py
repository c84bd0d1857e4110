"""What an earlier run has left: plans that were cut off by a kill, a crash or a reboot.

What a self-test had taken is given back: that it would be was said when it was confirmed. For
everything else the operator is told, and decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.errors import NothingToDoError, RefusedError
from sdmtop.operations.execute import Consent, execute
from sdmtop.operations.kept import Kept
from sdmtop.operations.undo import in_force, is_of_this_boot, plan_undo, steps_done
from sdmtop.patience import patiently
from sdmtop.readers.snapshot import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sdmtop.backends.base import Host
    from sdmtop.operations.journal import Entry, Journal
    from sdmtop.operations.store import Store
    from sdmtop.timeline import Kind

SELFTEST = "sdmtop selftest"
"""Begins the command of each plan by which a self-test takes something for a while."""


def look_back(
    host: Host, journal: Journal, store: Callable[[], Store]
) -> Iterator[tuple[Kind, str]]:
    """What an earlier run has left, in sentences, once what can be given back is given back.

    `store` is called where something may be done. Raises `OSError` where the journal cannot be
    read.
    """
    if not journal.entries():
        return
    refusal = host.refusal()
    if refusal is None:
        yield from give_back_leftovers(host, store())
    else:
        yield from name_leftovers(host, journal, refusal)
    for text in half_done(host, journal.entries()):
        yield "trouble", text


def half_done(host: Host, entries: Sequence[Entry]) -> list[str]:
    """A sentence for each plan that has not come to its end, and what can be done about it."""
    found = []
    told = {entry.begun.number for entry in leftovers(host, entries)}
    undone = {entry.begun.number for entry in entries
              if entry.undone_by is not None or entry.finished_by is not None}  # fmt: skip
    for entry in entries:
        begun = entry.begun
        what = f"plan {begun.number} ({begun.plan.command})"
        # Of an undo that was cut off nothing is left once another one has come to its end.
        if begun.number in told | undone or begun.plan.undoes in undone or not _is_open(entry):
            continue
        if not is_of_this_boot(host, entry):
            found.append(f"{what} was cut off; the reboot since has undone it")
            continue
        done, all_ = len(patiently(host, steps_done, host, entry)), len(begun.plan.steps)
        if done:
            found.append(
                f"{what} was left half-done, {done} of {all_} steps: 'sdmtop undo {begun.number}' "
                f"takes them back, 'sdmtop undo {begun.number} --finish' does the rest"
            )
    return found


def settle(host: Host, journal: Journal) -> None:
    """Close the plans that a reboot has undone, so that they are told of once.

    And each undo that was killed behind its last step: it has done what it should.
    """
    for entry in journal.entries():
        begun = entry.begun
        if begun.host != host.url or not _is_open(entry) or entry.finished_by is not None:
            continue
        if not is_of_this_boot(host, entry):
            journal.end(begun.number, "reboot")
        elif begun.plan.undoes is not None and (
            patiently(host, steps_done, host, entry) == begun.plan.steps
        ):
            journal.end(begun.number, "done")


def _is_open(entry: Entry) -> bool:
    """Whether a plan has neither ended nor is under way; what hangs has not ended."""
    if entry.ended is not None:
        return entry.ended.ending == "stuck"
    return not entry.is_running


# -- what self-tests had taken --


def leftovers(host: Host, entries: Iterable[Entry]) -> list[Entry]:
    """Plans of self-tests that ended, or hung, before they gave back what they had taken."""
    return [
        entry
        for entry in entries
        if entry.begun.plan.command.startswith(SELFTEST)
        and entry.undone_by is None
        and (entry.ended is None or entry.ended.ending in ("done", "stuck"))
        and not entry.is_running
        and is_of_this_boot(host, entry)
        and patiently(host, in_force, host, entry)
    ]


def give_back_leftovers(host: Host, store: Store) -> Iterator[tuple[Kind, str]]:
    """Undo them, the last first; what came of each, in a sentence."""
    settle(host, store.journal)
    for entry in reversed(leftovers(host, store.journal.entries())):
        trouble = give_back(host, store, entry.begun.number)
        yield (
            ("changed", _say(entry, "given back"))
            if trouble is None
            else ("trouble", _say(entry, f"not given back: {trouble}"))
        )


def name_leftovers(host: Host, journal: Journal, why: str) -> Iterator[tuple[Kind, str]]:
    """The same where nothing may be done, and why not."""
    for entry in leftovers(host, journal.entries()):
        yield "trouble", _say(entry, f"not given back: {why}")


def _say(entry: Entry, what: str) -> str:
    begun = entry.begun
    more = "" if what == "given back" else f"; 'sdmtop undo {begun.number}' does it"
    how = "hung" if entry.ended is not None and entry.ended.ending == "stuck" else "was killed"
    return (
        f"plan {begun.number} ({begun.plan.command}), left by a self-test that {how}: {what}{more}"
    )


def give_back(host: Host, store: Store, number: int) -> str | None:
    """Undo a plan of a self-test; what went wrong, if anything did.

    What somebody uses by now is not taken from him: the tests have let it go.
    """
    try:
        entries = store.journal.entries()
        plan = patiently(host, lambda: plan_undo(host, read_snapshot(host), entries, number=number))
        if plan.doubts:
            return f"{plan.doubts[0].subject}: {plan.doubts[0].sentence}"
        consent = Consent(confirmed=True)
        result = execute(host, plan, store=store, kept=Kept(host), consent=consent)
    except NothingToDoError:
        return None
    except (OSError, RefusedError) as error:
        return str(error)
    return None if result.ending == "done" else result.trouble
