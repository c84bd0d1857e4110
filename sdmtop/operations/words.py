"""A plan and its result as text: the same in the console's dialog and on the command line.

The text is not yet fit for a terminal: whoever shows it makes it so (`sdmtop.text.printable`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sdmtop.operations.equivalents import describe
from sdmtop.operations.facts import say
from sdmtop.operations.recovery import leftovers
from sdmtop.operations.undo import is_of_this_boot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sdmtop.backends.base import Host
    from sdmtop.operations.execute import Progress, Result
    from sdmtop.operations.journal import Ending, Entry
    from sdmtop.operations.plan import Plan, Verdict

_SIGNS = {
    "safe": "+ safe   ",
    "unsafe": "! unsafe ",
    "unknown": "? unknown",
    "refused": "x refused",
}
"""Never a colour alone: a sign and a word."""


def plan_lines(plan: Plan) -> Iterator[str]:
    """All that an operator is told before anything is done."""
    yield plan.command
    if plan.decisions:
        yield ""
        yield "Other devices of the group"
        yield from (f"  {decision}" for decision in plan.decisions)
    if plan.verdicts:
        yield ""
        yield "What it would cost"
        for verdict in plan.verdicts:
            yield from verdict_lines(verdict)
    yield ""
    yield "Steps"
    for number, step in enumerate(plan.steps, 1):
        yield f"  {number}. {step.title}"
        yield f"     do     {describe(step.action)}"
        yield from (f"     check  {say(fact)}" for fact in step.after)
        if step.inverse is not None:
            yield f"     undo   {describe(step.inverse)}"
    if plan.equivalents:
        yield ""
        yield "The same by hand"
        yield from (f"  {command}" for command in plan.equivalents)
    if plan.notes:
        yield ""
        yield "Note"
        yield from (f"  {note}" for note in plan.notes)


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    """A verdict, and on a second line the way from its subject to what would be lost."""
    yield f"  {_SIGNS[verdict.kind]} {verdict.subject}: {verdict.sentence}"
    if verdict.evidence:
        yield f"            {' -> '.join(verdict.evidence)}"


def demand(plan: Plan) -> str:
    """What the operator has to do to go on."""
    if plan.refusals:
        return "This is refused: no confirmation helps."
    if plan.doubts:
        return f"In use, or not known to be free. To go on, type in full: {plan.phrase}"
    return "Nothing is known to be in use."


def progress_line(plan: Plan, progress: Progress) -> str:
    """What has become of a step: `2/4 bind 0000:75:00.0 to vfio-pci: done`."""
    title = plan.steps[progress.step].title
    return f"{progress.step + 1}/{len(plan.steps)} {title}: {progress.words}"


def result_lines(plan: Plan, result: Result) -> Iterator[str]:
    """How a plan has ended."""
    words: dict[Ending, str] = {
        "done": "done",
        "rolled back": "failed; a reset cannot be undone"
        if plan.operation == "reset"
        else "failed; all of it was undone",
        "left": "failed, and not all of it could be undone",
        "stuck": "stuck",
    }
    yield f"{words[result.ending]}: plan {result.number}, {plan.command}"
    if result.trouble is not None:
        yield f"  {result.trouble}"
    yield from (f"  {remark}" for remark in result.remarks)
    if result.left:
        yield "Not as it was:"
        yield from (f"  {difference}" for difference in result.left)
    if result.mend:
        yield "To set it right by hand:"
        yield from (f"  {command}" for command in result.mend)


def journal_lines(host: Host, entries: Sequence[Entry], damaged: int) -> Iterator[str]:
    """A line a plan, oldest first."""
    for entry in entries:
        begun = entry.begun
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(begun.at))
        yield f"{begun.number:>4}  {when}  {state_of(host, entry):<18}  {begun.plan.command}"
    if not entries:
        yield "the journal has no plans"
    if damaged:
        yield f"{damaged} damaged lines were passed over"


def entry_lines(host: Host, entry: Entry) -> Iterator[str]:
    """All of a plan, with what has become of each step."""
    yield from journal_lines(host, [entry], 0)
    yield ""
    yield from plan_lines(entry.begun.plan)
    yield ""
    yield "What became of it"
    for index, step in enumerate(entry.begun.plan.steps):
        yield f"  {index + 1}. {step.title}: {entry.states.get(index, 'no record')}"
    if entry.ended is not None:
        yield from (f"  not as it was: {difference}" for difference in entry.ended.left)


def state_of(host: Host, entry: Entry) -> str:
    """What has become of a plan of the journal, in a few words."""
    if entry.undone_by is not None:
        return f"undone by plan {entry.undone_by}"
    if leftovers(host, [entry]):
        return "left by a selftest"
    if entry.finished_by is not None:
        return f"finished by plan {entry.finished_by}"
    if entry.ended is None and entry.is_running:
        return "under way"
    if not is_of_this_boot(host, entry):
        return "undone by a reboot"
    return entry.ended.ending if entry.ended is not None else "left half-done"
