"""What can be said in the conversation, and what is answered."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from sdmtop.collector import Focus, Sample
from sdmtop.facts import FIELDS
from sdmtop.inspection import inspect
from sdmtop.model import Detail, Interrupt
from sdmtop.plain import sentences
from sdmtop.plain.session import Session, UnansweredError, number_of
from sdmtop.text import printable

PAGE = 20
"""Lines that are said at once."""

LATELY = 10
"""Events that are told where no number is asked for."""

_LEVELS = {"groups": 0, "devices": 1, "queues": 2}


class Command(NamedTuple):
    """Something that can be said: what comes behind the word, what it is for, what it does.

    `act` is given the words behind, and yields printable lines. It raises `UnansweredError`. A plan
    is told `whole` before it is asked about; other answers come in parts.
    """

    usage: str
    help: str
    act: Callable[[Session, str], Iterator[str]]
    whole: bool = False


def _list(session: Session, rest: str) -> Iterator[str]:
    if rest and rest not in (*_LEVELS, "all"):
        raise UnansweredError(f"list what? {', '.join(_LEVELS)} or all")
    if session.filter:
        yield f"filter {printable(session.filter)}"
    depth = _LEVELS.get(rest)
    lines = [line for line in session.chosen() if depth is None or line.depth == depth]
    if not lines:
        yield "nothing to list"
    outline, _ = session.tree()
    for line in lines:
        words = sentences.of_line(outline, line, session.rate(line))
        yield f"{session.number(line.key)}: {words}"


def _filter(session: Session, rest: str) -> Iterator[str]:
    if not rest:
        yield f"filter {printable(session.filter)}" if session.filter else "there is no filter"
        return
    session.choose("" if rest == "off" else rest)
    yield f"{sentences.count(len(session.chosen()), 'line')} to list"


def _show(session: Session, rest: str) -> Iterator[str]:
    for fact in _facts(session, rest):
        meaning = f". {fact.meaning}" if fact.meaning else ""
        yield printable(f"{fact.name}: {fact.value}{meaning}")


def _origin(session: Session, rest: str) -> Iterator[str]:
    for fact in _facts(session, rest):
        yield printable(f"{fact.name}: {fact.value}, from {fact.path}")


def _facts(session: Session, said: str) -> tuple[Detail, ...]:
    key = session.line(said).key
    sample = session.look(Focus(key), lambda one: one.details is not None and one.details[0] == key)
    return inspect(sample, key)


def _why(session: Session, rest: str) -> Iterator[str]:
    line = session.line(rest)
    _, lines = session.tree()
    while line.parent is not None:
        line = lines[line.parent]
    snapshot = session.sample.snapshot
    groups = [group for group in snapshot.groups if line.key == f"group/{group.id}"]
    if not groups:
        yield "it is in no IOMMU group: nothing translates its DMA, so it cannot be given away"
    for group in groups:
        yield from sentences.of_viability(snapshot, group)


def _interrupts(session: Session, rest: str) -> Iterator[str]:
    rows = session.sample.snapshot.interrupts
    if rest:
        irqs = set(map(str, session.tree()[0].irqs(session.line(rest))))
        rows = tuple(row for row in rows if row.irq in irqs)
    if not rows:
        yield "it has no interrupt of its own" if rest else "no interrupt is known"
    rows = tuple(sorted(rows, key=lambda row: -(_rate(session.sample, row) or 0.0)))
    first = tuple(int(row.irq) for row in rows[:PAGE] if row.irq.isdecimal())
    sample = session.look(Focus(irqs=first), lambda one: set(first) <= one.per_cpu.keys())
    for row in rows:
        yield sentences.of_interrupt(
            row, _rate(sample, row), _total(sample, row), _cpu(sample, row)
        )


def _rate(sample: Sample, row: Interrupt) -> float | None:
    return sample.counters.rate(int(row.irq)) if row.irq.isdecimal() else None


def _total(sample: Sample, row: Interrupt) -> int:
    total = sample.counters.total(int(row.irq)) if row.irq.isdecimal() else None
    return row.total if total is None else total


def _cpu(sample: Sample, row: Interrupt) -> int | None:
    """The CPU that has taken most."""
    counts = sample.per_cpu.get(int(row.irq), ()) if row.irq.isdecimal() else ()
    return counts.index(max(counts)) if any(counts) else None


def _pasids(session: Session, _rest: str) -> Iterator[str]:
    snapshot = session.sample.snapshot
    yield from map(sentences.of_pasid, snapshot.pasids)
    if not snapshot.pasids:
        yield "no live PASID is known here"
    for entry in snapshot.unknown:
        if "PASID" in entry.what:
            yield printable(f"not known: {entry.what}, {entry.errno}")


def _events(session: Session, rest: str) -> Iterator[str]:
    count = number_of(rest) if rest else LATELY
    if count is None:
        raise UnansweredError("events takes a number")
    happenings = session.lately(count)
    yield from map(sentences.of_happening, happenings)
    if not happenings:
        yield "nothing has happened"


def _watch(session: Session, _rest: str) -> Iterator[str]:
    session.lately(0)
    session.watching = True
    yield "watching: press enter to end"


def _host(session: Session, _rest: str) -> Iterator[str]:
    yield sentences.of_host(session.sample.snapshot)


def _pause(session: Session, _rest: str) -> Iterator[str]:
    session.source.playhead.toggle()
    yield session.source.playhead.state().lower() or "this is the newest moment"


def _back(session: Session, _rest: str) -> Iterator[str]:
    return _move(session, lambda: session.source.playhead.step(-1), "no older moment is kept")


def _forward(session: Session, _rest: str) -> Iterator[str]:
    return _move(session, lambda: session.source.playhead.step(1), "no newer moment is kept")


def _previous(session: Session, _rest: str) -> Iterator[str]:
    return _move(session, lambda: session.source.playhead.leap(-1), "no earlier event is kept")


def _next(session: Session, _rest: str) -> Iterator[str]:
    return _move(session, lambda: session.source.playhead.leap(1), "no later event is kept")


def _move(session: Session, go: Callable[[], bool], otherwise: str) -> Iterator[str]:
    if not session.move(go):
        raise UnansweredError(otherwise)
    yield session.source.playhead.state().lower()
    yield from map(sentences.of_happening, session.lately(1))


def _help(_session: Session, rest: str) -> Iterator[str]:
    if rest == "filter":
        for field in FIELDS.values():
            yield f"{field.name}: {field.meaning}"
        return
    for name, command in COMMANDS.items():
        yield f"{name} {command.usage}".rstrip() + f": {command.help}"


def _quit(session: Session, _rest: str) -> Iterator[str]:
    session.ended = True
    return iter(())


def _test(session: Session, rest: str) -> Iterator[str]:
    from sdmtop.plain.testing import test

    return test(session, rest)


def _act(name: str) -> Callable[[Session, str], Iterator[str]]:
    """What changes a host, imported when it is said for the first time."""

    def act(session: Session, rest: str) -> Iterator[str]:
        from sdmtop.plain import actions

        does: Callable[[Session, str], Iterator[str]] = getattr(actions, name)
        return does(session, rest)

    return act


COMMANDS = {
    "list": Command("[groups, devices or queues]", "the tree, every line with its number", _list),
    "show": Command("N", "all that is known of number N; the number alone does the same", _show),
    "origin": Command("N", "the same, with the file that each fact was read from", _origin),
    "why": Command("N", "whether its group can be given to VFIO, and what stands in the way", _why),
    "filter": Command(
        "QUERY or off", "list only what answers, such as driver:vfio or state:orphan; help "
        "filter tells the fields", _filter
    ),
    "interrupts": Command("[N]", "all interrupts, or those of number N, the busiest first",
                          _interrupts),
    "pasids": Command("", "PASIDs that are live", _pasids),
    "events": Command("[COUNT]", "what has happened lately", _events),
    "watch": Command("", "tell what happens as it happens, until enter is pressed", _watch),
    "pause": Command("", "answer about this moment; again: about the newest", _pause),
    "back": Command("", "answer about the moment before", _back),
    "forward": Command("", "answer about the next moment", _forward),
    "previous": Command("", "answer about the moment of the event before", _previous),
    "next": Command("", "answer about the moment of the next event", _next),
    "attach": Command("N ... [to DRIVER]", "give it to VFIO, or to that driver; hold it if it is a "
                      "queue; first the plan is told, and asked about", _act("attach"),
                      whole=True),
    "detach": Command("N ...", "give it back to the driver that it had", _act("detach"),
                      whole=True),
    "create": Command("[PARENT/TYPE]", "make a mediated device; alone, which types there are",
                      _act("create"), whole=True),
    "remove": Command("N ...", "remove mediated devices", _act("remove"), whole=True),
    "sriov": Command("N COUNT", "make or remove its virtual functions", _act("sriov"), whole=True),
    "affinity": Command("N CPUS", "say to which CPUs its interrupts may come; irq/24 is one of "
                        "them", _act("affinity"), whole=True),
    "domain-type": Command("N TYPE", "set the default domain of a group: identity, DMA, DMA-FQ, "
                           "auto", _act("domain_type"), whole=True),
    "reset": Command("N", "reset a PCI device", _act("reset"), whole=True),
    "undo": Command("[PLAN]", "undo the last plan, or the one of this number", _act("undo"),
                    whole=True),
    "finish": Command("PLAN", "do the rest of a plan that was cut off", _act("finish"),
                      whole=True),
    "journal": Command("", "what was done, and what became of it", _act("journal")),
    "test": Command("N or host", "known-answer tests of a device, a group or a queue; first they "
                    "are told, and asked about; host: what is wrong with the box", _test,
                    whole=True),
    "host": Command("", "which host this is", _host),
    "help": Command("", "what can be said; the beginning of a word is enough", _help),
    "quit": Command("", "end", _quit),
}  # fmt: skip
"""The registry of what can be said, but `more`, which is about the answers."""
