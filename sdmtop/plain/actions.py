"""What changes a host, in the conversation: the plan is told, confirmed in words, carried out."""

import signal
from collections.abc import Callable, Iterator

from sdmtop.backends.base import Host
from sdmtop.errors import NothingToDoError, RefusedError, sentence
from sdmtop.model import Snapshot
from sdmtop.operations import release
from sdmtop.operations.attach import plan_attach
from sdmtop.operations.execute import Consent, Progress, execute, gate
from sdmtop.operations.journal import Entry
from sdmtop.operations.kept import Kept
from sdmtop.operations.mdevs import plan_create, plan_remove
from sdmtop.operations.plan import Plan
from sdmtop.operations.settings import (
    DOMAIN_TYPES,
    as_count,
    plan_affinity,
    plan_domain_type,
    plan_reset,
    plan_sriov,
)
from sdmtop.operations.stopping import stopping
from sdmtop.operations.undo import plan_detach, plan_finish, plan_undo
from sdmtop.operations.words import demand, journal_lines, plan_lines, result_lines
from sdmtop.patience import patiently
from sdmtop.plain.session import Session, UnansweredError, number_of
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.text import printable

Maker = Callable[[Host, Snapshot, tuple[Entry, ...], Kept], Plan]


def attach(session: Session, rest: str) -> Iterator[str]:
    """Give things to VFIO, or to a driver of choice; open and hold a queue."""
    what, to, driver = f"{rest} ".partition(" to ")
    if to and len(driver.split()) != 1:
        raise UnansweredError("say attach N to DRIVER")
    names = _names(session, what.strip())
    return _carry_out(
        session,
        lambda host, snapshot, _, kept: plan_attach(
            host, snapshot, names, driver=driver.strip() or None, kept=kept
        ),
    )


def detach(session: Session, rest: str) -> Iterator[str]:
    """Give things back."""
    names = _names(session, rest)
    return _carry_out(
        session,
        lambda host, snapshot, entries, kept: plan_detach(
            host, snapshot, names, entries=entries, kept=kept
        ),
    )


def create(session: Session, rest: str) -> Iterator[str]:
    """Make a mediated device; without a type, tell which types there are."""
    if rest:
        return _carry_out(session, lambda host, snapshot, _e, _k: plan_create(host, snapshot, rest))
    types = session.sample.snapshot.mdev_types
    return iter(
        [printable(f"{one.parent}/{one.id}, {one.available_instances} to be had") for one in types]
        or ["no device here has a type to create"]
    )


def remove(session: Session, rest: str) -> Iterator[str]:
    """Remove mediated devices."""
    names = _names(session, rest)
    return _carry_out(session, lambda host, snapshot, _e, _k: plan_remove(host, snapshot, names))


def sriov(session: Session, rest: str) -> Iterator[str]:
    """Make or remove the virtual functions of a physical function."""
    name, count = _two(rest, "sriov N COUNT")
    name = session.target(name)
    return _carry_out(
        session,
        lambda host, snapshot, _e, _k: plan_sriov(host, snapshot, name, as_count(count)),
    )


def affinity(session: Session, rest: str) -> Iterator[str]:
    """Say to which CPUs interrupts may come: those of a device, or `irq/24`."""
    name, cpus = _two(rest, "affinity N CPUS, which are a list such as 0-3,8")
    if not name.startswith("irq/"):
        name = session.target(name)
    return _carry_out(
        session, lambda host, snapshot, _e, _k: plan_affinity(host, snapshot, name, cpus)
    )


def domain_type(session: Session, rest: str) -> Iterator[str]:
    """Set the default domain of a group."""
    name, wanted = _two(rest, f"domain-type N TYPE, which is one of {', '.join(DOMAIN_TYPES)}")
    name = session.target(name)
    return _carry_out(
        session, lambda host, snapshot, _e, _k: plan_domain_type(host, snapshot, name, wanted)
    )


def reset(session: Session, rest: str) -> Iterator[str]:
    """Reset a device."""
    name = session.target(rest)
    return _carry_out(session, lambda host, snapshot, _e, _k: plan_reset(host, snapshot, name))


def finish(session: Session, rest: str) -> Iterator[str]:
    """Do the rest of a plan that was cut off."""
    number = _plan_number("finish", rest or "?")
    return _carry_out(
        session,
        lambda host, snapshot, entries, _k: plan_finish(host, snapshot, entries, number=number),
    )


def undo(session: Session, rest: str) -> Iterator[str]:
    """Undo a plan of the journal, or the last one."""
    number = _plan_number("undo", rest)
    return _carry_out(
        session,
        lambda host, snapshot, entries, kept: plan_undo(
            host, snapshot, entries, kept=kept, number=number
        ),
    )


def journal(session: Session, _rest: str) -> Iterator[str]:
    """What was done, and what became of it."""
    doing = session.operations
    try:
        found = doing.journal
        lines = [*journal_lines(doing.host, found.entries(), found.damaged)]
    except OSError as error:
        raise UnansweredError(sentence("the journal", error)) from error
    return map(printable, lines)


def look_back(session: Session) -> Iterator[str]:
    """What an earlier run has left, and what was done about it."""
    try:
        for _, text in session.operations.look_back():
            yield printable(text)
    except OSError as error:
        yield sentence("the journal", error)


def let_go(session: Session) -> Iterator[str]:
    """Let go what the conversation holds, when it ends."""
    doing = session.operations
    if doing.kept.plans:
        for released in release.let_go(doing.host, doing.store, doing.kept):
            yield from map(printable, released.lines)


def _names(session: Session, rest: str) -> list[str]:
    """The TARGETs that were said, by numbers or as they are."""
    if not rest:
        session.line(rest)  # It says what is missing.
    return [session.target(word) for word in rest.replace("group ", "group/").split()]


def _two(rest: str, form: str) -> tuple[str, str]:
    """What was said, where that is two words; the form says which they should be."""
    words = rest.replace("group ", "group/").split()
    if len(words) != 2:
        raise UnansweredError(f"say {form}; N is a number, as list tells them")
    return words[0], words[1]


def _plan_number(command: str, rest: str) -> int | None:
    number = number_of(rest)
    if rest and number is None:
        raise UnansweredError(f"{command} takes the number of a plan: say journal")
    return number


def _carry_out(session: Session, make: Maker) -> Iterator[str]:
    """Tell a plan, ask, and do it. Whatever prevents that is a sentence."""
    doing = session.operations
    host = doing.host
    try:
        entries = doing.entries()
        plan = patiently(host, lambda: make(host, read_snapshot(host), entries, doing.kept))
        for line in (*plan_lines(plan), demand(plan)):
            if line:
                yield printable(line.strip())
        consent = _consent(session, host, plan)

        def tell(progress: Progress) -> None:
            step = plan.steps[progress.step]
            told = f"step {progress.step + 1} of {len(plan.steps)}, {step.title}, {progress.words}"
            session.say(printable(told))

        with stopping() as stopped:
            result = execute(
                host, plan, store=doing.store, kept=doing.kept, consent=consent, tell=tell,
                stop=stopped.is_set, late=session.late.append,
            )  # fmt: skip
        yield from map(printable, result_lines(plan, result))
        if stopped.signal not in (None, signal.SIGINT):
            signal.raise_signal(stopped.signal)
        session.refresh()
    except (RefusedError, NothingToDoError, ValueError, OSError) as error:
        raise UnansweredError(sentence("not done", error)) from error


def _consent(session: Session, host: Host, plan: Plan) -> Consent:
    """What the operator says to a plan: yes, or all that is in use, typed in full.

    Raises `RefusedError` where nothing that could be said would help.
    """
    why = gate(host, plan)
    if why is not None:
        raise RefusedError(why)
    if plan.doubts:
        typed = session.ask("type it in full to go on> ")
        return Consent(typed == plan.phrase, typed)
    return Consent(session.ask("say yes to go on> ").lower() == "yes")
