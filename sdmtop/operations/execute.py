"""Carries out a plan: the only place where a host is changed.

The gate stands here: whatever makes a plan and however it was confirmed, nothing is done to a
host that may not be changed, nothing that is refused, and nothing in doubt that was not typed in
full. Every step is checked before and after; one that fails has those before it undone, and one
that finds another state than it expects is not begun. What somebody else has changed is left.
"""

from __future__ import annotations

import errno
import posixpath
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeGuard, TypeVar

from sdmtop.errors import RefusedError, because, sentence
from sdmtop.operations.equivalents import shell
from sdmtop.operations.facts import (
    all_hold,
    differences,
    first_difference,
    now,
    say_difference,
    virtual_functions,
)
from sdmtop.operations.plan import ANY, Action, Call, Close, Fact, FactKind, Load, Open, Write
from sdmtop.operations.preconditions import judge
from sdmtop.operations.trouble import what_the_kernel_says, where_it_hangs
from sdmtop.patience import patiently
from sdmtop.readers.groups import is_vfio
from sdmtop.readers.snapshot import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sdmtop.backends import base
    from sdmtop.backends.base import Host
    from sdmtop.model import Snapshot
    from sdmtop.operations.facts import Difference
    from sdmtop.operations.journal import Ending, StepState
    from sdmtop.operations.kept import Kept
    from sdmtop.operations.plan import Plan, Step
    from sdmtop.operations.store import Store

_Answer = TypeVar("_Answer")

WAITING = 10.0
"""Seconds that an unbind or a removal may take, which wait for a holder to let go."""

WORKING = 60.0
"""Seconds that any other step may take: a driver that starts its device is slow."""

_RETRIES = (0.1, 0.4, 1.0)
"""Seconds between the attempts at a write that fails for the moment."""

_SETTLING = (0.0, 0.05, 0.2, 0.75, 1.0)
"""Seconds between the looks whether a step has done what it should."""

_FOR_THE_MOMENT = frozenset({errno.EAGAIN, errno.EBUSY})

_FEW = 8
"""VFs that are named one by one."""


class Consent(NamedTuple):
    """What the operator has said to a plan: yes, and what was typed in full."""

    confirmed: bool
    typed: str = ""


Phase = Literal["begins", "waits", "done", "failed", "stuck", "undone", "left"]


class Progress(NamedTuple):
    """What has become of a step, by its index in the plan; `text` says more."""

    step: int
    phase: Phase
    text: str = ""

    @property
    def words(self) -> str:
        """`waits for 3 s`, `failed: Invalid argument (EINVAL)`, `done`."""
        between = " " if self.phase == "waits" else ": "
        return f"{self.phase}{between}{self.text}" if self.text else self.phase


class Pending(NamedTuple):
    """A write that has not returned, of a step by its index, and the locks that it needs."""

    step: int
    write: base.Write
    locks: ExitStack


class Result(NamedTuple):
    """How a plan has ended.

    `number` is the one in the journal. `trouble` says what went wrong, `left` what is not as it
    was before, `mend` are the commands that would set it right. `remarks` say what was for the
    kernel to choose, and what it has chosen.
    """

    number: int
    ending: Ending
    trouble: str | None = None
    left: tuple[str, ...] = ()
    mend: tuple[str, ...] = ()
    pending: Pending | None = None
    remarks: tuple[str, ...] = ()


def execute(
    host: Host,
    plan: Plan,
    *,
    store: Store,
    kept: Kept,
    consent: Consent,
    tell: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    late: Callable[[str], None] = lambda _: None,
) -> Result:
    """Carry out a plan, from the gate to the journal's last word about it.

    `tell` is told of each step, once that is in the journal; what it raises changes nothing, for
    an operator who has gone is no reason to end half-way. `stop` is asked before each step, and
    True has what was done undone. A step that hangs is followed in a thread of its own, which
    tells `late` of its return, whenever that is.
    Raises `RefusedError` before the first step where the gate is shut, `OSError` where the journal
    cannot be written.
    """
    result = begin(host, plan, store=store, kept=kept, consent=consent, tell=tell, stop=stop)
    if result.pending is not None:

        def work() -> None:
            try:
                late(follow(host, result, store, plan) or "")
            except OSError as error:
                late(sentence("a step has returned late, and what it did cannot be told", error))

        threading.Thread(target=work, name="sdmtop-late", daemon=True).start()
    return result


def begin(
    host: Host,
    plan: Plan,
    *,
    store: Store,
    kept: Kept,
    consent: Consent,
    tell: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Result:
    """As `execute`, for who calls `follow` himself: else what is pending is never let go."""
    _pass_the_gate(host, plan, consent)
    with store.locked(plan.locks, plan.command) as locks:
        result = _Run(host, plan, store, kept, tell, stop).run()
        if result.pending is not None:
            # What it may still change is nobody else's yet.
            result = result._replace(pending=result.pending._replace(locks=locks.pop_all()))
        return result


def follow(host: Host, result: Result, store: Store, plan: Plan) -> str | None:
    """Wait for a step that has not returned, for as long as it takes; what came of it.

    For a thread of its own. None where nothing is pending.
    """
    if result.pending is None:
        return None
    index, write, locks = result.pending
    with locks:
        while not write.wait(WAITING):
            pass
    title = plan.steps[index].title
    try:
        write.result()
    except OSError as error:
        store.journal.step(result.number, index, "failed", f"returned late: {error.strerror}")
        return sentence(f"{title}: returned late", error)
    holds = patiently(host, all_hold, host, plan.steps[index].after)
    state: StepState = "done" if holds else "failed"
    store.journal.step(result.number, index, state, "returned late")
    return f"{title}: returned late, {'done' if state == 'done' else 'without effect'}"


def gate(host: Host, plan: Plan) -> str | None:
    """Why this plan cannot be carried out, whatever the operator says; None where it can."""
    why = host.refusal()
    if why is not None:
        return why
    refusals = plan.refusals
    return f"{refusals[0].subject}: {refusals[0].sentence}" if refusals else None


def _pass_the_gate(host: Host, plan: Plan, consent: Consent) -> None:
    why = gate(host, plan)
    if why is not None:
        raise RefusedError(why)
    if not consent.confirmed:
        raise RefusedError("not confirmed")
    if plan.doubts and consent.typed != plan.phrase:
        raise RefusedError(
            f"in use, or not known to be free: '{plan.phrase}' has to be typed in full"
        )


class _Run:
    """One plan being carried out."""

    def __init__(
        self,
        host: Host,
        plan: Plan,
        store: Store,
        kept: Kept,
        tell: Callable[[Progress], None],
        stop: Callable[[], bool],
    ) -> None:
        self._host = host
        self._plan = plan
        self._journal = store.journal
        self._kept = kept
        self._listener = tell
        self._stop = stop
        self._number = 0
        self._expected: dict[tuple[str, str], Fact] = {
            (fact.kind, fact.path): fact for fact in plan.identity
        }
        """What the devices should be by now."""
        self._first = dict(self._expected)
        """What they were before the first step."""
        self._affinities: dict[tuple[str, tuple[str, ...]], str] = {}
        """Of interrupts by number and handlers: a driver that was away has forgotten them."""
        self._functions: list[Fact] = []
        """Of VFs that a step removes: made anew, they have the driver that the kernel finds."""
        self._made: dict[int, tuple[Fact, ...]] = {}
        """What each step that is done has made, by its index."""
        self._pending: Pending | None = None
        self._mend: list[str] = []
        self._remarks: list[str] = []

    def run(self) -> Result:
        """See `execute`."""
        self._look_again()
        self._number = self._journal.begin(self._plan, self._host)
        for index, step in enumerate(self._plan.steps):
            if not isinstance(step.action, Load):  # A module stays, and hurts nobody.
                for fact in step.before:
                    # The status of a group is one of a node that is closed before and after.
                    if fact.kind != "status":
                        self._first.setdefault((fact.kind, fact.path), fact)
            if self._stop():
                return self._turn_back(index - 1, "stopped by the operator")
            self._tell(Progress(index, "begins"))
            moved = self._moved((*self._expected.values(), *step.before))
            if moved is not None:
                return self._turn_back(index - 1, self._refuse(index, step, moved))
            trouble = self._advance(index, step)
            if trouble is not None:
                return self._turn_back(index, trouble, failed=True)
        self._journal.end(self._number, "done")
        self._remember()
        return Result(self._number, "done", remarks=tuple(self._remarks))

    def _look_again(self) -> None:
        """What was shown still holds, and nothing has come up since that was not shown."""
        moved = self._moved(self._plan.identity)
        if moved is not None:
            raise RefusedError(f"it has changed since the plan was made: {moved}")
        # The evidence tells one loss from another; sentences may count what changes by itself.
        shown = {(one.kind, one.subject, one.evidence) for one in self._plan.verdicts}
        snapshot = self._snapshot()
        self._affinities = _affinities(snapshot)
        self._functions = [*self._facts_of_functions(snapshot)]
        for verdict in self._read(judge, snapshot, self._plan.steps):
            told = (verdict.kind, verdict.subject, verdict.evidence)
            if verdict.kind != "safe" and told not in shown:
                raise RefusedError(
                    f"{verdict.subject}: {verdict.sentence} (since the plan was made: make it anew)"
                )

    def _facts_of_functions(self, snapshot: Snapshot) -> Iterator[Fact]:
        """What can be told again of the VFs that the plan takes away for a while."""
        physical = {step.subject for step in self._plan.steps if _makes_functions(step.action)}
        for device in snapshot.devices:
            if device.physfn in physical:
                for kind, name in _OF_A_FUNCTION:
                    try:
                        yield self._read(now, kind, f"{device.path}/{name}")
                    except OSError:
                        continue  # Of what cannot be read nothing is expected.

    def _snapshot(self) -> Snapshot:
        return self._read(read_snapshot)

    def _read(self, function: Callable[..., _Answer], *arguments: Any) -> _Answer:
        """What this function of the host tells, however long a file keeps us waiting."""
        return patiently(self._host, function, self._host, *arguments)

    def _moved(self, facts: Iterable[Fact]) -> str | None:
        """The first of these facts that is not so, in a sentence."""
        try:
            found = self._read(first_difference, [*facts], self._kept)
        except OSError as error:
            return sentence("it cannot be read", error)
        return say_difference(found) if found is not None else None

    # -- forward --

    def _refuse(self, index: int, step: Step, moved: str) -> str:
        """Leave a step that finds something else than it expects; why, in a sentence."""
        trouble = f"it has changed meanwhile: {moved}"
        # As if undone, for nothing of it may ever be: not even if somebody else has done the same.
        unwritten = self._write_down(index, "undone", f"never begun: {trouble}")
        trouble += f"; {unwritten}" if unwritten is not None else ""
        self._tell(Progress(index, "failed", trouble))
        return f"{step.title}: {trouble}"

    def _advance(self, index: int, step: Step) -> str | None:
        """Do one step; what went wrong, if anything did."""
        begun = self._host.now()
        trouble = self._perform(index, step.action, step.after)
        if trouble is None:
            made = tuple(map(self._as_it_is, step.after))
            for fact, found in zip(step.after, made, strict=True):
                if fact.kind not in ("open", "status"):
                    self._expected[fact.kind, fact.path] = found
                    self._remark(step.subject, fact, found)
            self._made[index] = made
            if _makes_functions(step.action) and step.action.data != "0":
                self._remark_functions(step.subject, step.action)
            return self._record(index, "done")
        trouble += self._details(step.subject, begun)
        self._record(index, "stuck" if self._pending is not None else "failed", trouble)
        return f"{step.title}: {trouble}"

    def _remark(self, subject: str, wanted: Fact, found: Fact) -> None:
        """Say which driver the kernel has found, where it was to look for one."""
        if wanted.value != ANY or found.value == ANY or not found.path.endswith("/driver"):
            return
        self._remarks.append(
            f"{subject}: the kernel has found no driver for it, and it has none now: "
            f"'sdmtop attach {subject} --driver NAME' would give it one"
            if found.value is None
            else f"{subject}: the kernel has bound it to {found.value}"
        )

    def _remark_functions(self, subject: str, made: Write) -> None:
        """Say which VFs the kernel has made."""
        links = f"{posixpath.dirname(made.path)}/virtfn"
        try:
            found = self._read(virtual_functions, links, int(made.data))
        except OSError as error:
            self._remarks.append(sentence(f"{subject}: which VFs it has cannot be told", error))
            return
        them = ", ".join(found) if len(found) <= _FEW else f"{found[0]} to {found[-1]}"
        self._remarks.append(f"{subject}: its VFs are {them}")

    def _details(self, subject: str, begun: float) -> str:
        """Where a step hangs, or why it has failed, as far as the kernel tells."""
        try:
            if self._pending is None:
                return self._read(what_the_kernel_says, subject, begun)
            return self._read(where_it_hangs, self._snapshot(), self._pending.write.pid, subject)
        except OSError as error:
            return sentence("; more cannot be told", error)

    def _as_it_is(self, fact: Fact) -> Fact:
        """A fact with its value, where that was for the kernel to say."""
        try:
            return self._read(now, fact.kind, fact.path) if fact.value == ANY else fact
        except OSError:
            return fact  # Of what cannot be read nothing is expected.

    def _perform(self, index: int, action: Action, after: Iterable[Fact]) -> str | None:
        """Do it, and look whether it has done what it should; what went wrong, if anything."""
        try:
            if not self._attempt(index, action):
                return "it does not return"
        except OSError as error:
            return because(error)
        moved = None
        for pause in _SETTLING:
            self._host.sleep(pause)
            moved = self._moved(after)
            if moved is None:
                return self._taken_back(after)
        return f"it was done, without effect: {moved}"

    def _taken_back(self, after: Iterable[Fact]) -> str | None:
        """Why the driver that the kernel has found for a device is not what was wanted, if so."""
        for fact in after:
            found = self._as_it_is(fact)
            if fact.value == ANY and found.path.endswith("/driver") and is_vfio(found.value or ""):
                return (
                    f"{found.value} took it back, for it has the id of this device (by "
                    "vfio-pci.ids= or new_id): 'sdmtop attach --driver NAME' gives it to another"
                )
        return None

    def _attempt(self, index: int, action: Action) -> bool:
        """Do it, again if it fails for the moment; whether it has returned in time."""
        for pause in _RETRIES:
            try:
                return self._act(index, action)
            except OSError as error:
                if error.errno not in _FOR_THE_MOMENT or not isinstance(action, Write):
                    raise
            self._host.sleep(pause)
        return self._act(index, action)

    def _act(self, index: int, action: Action) -> bool:
        """Whether it has returned in time. Raises the kernel's `OSError`."""
        if isinstance(action, Open):
            self._kept.open(action)
        elif isinstance(action, Call):
            self._kept.call(action)
        elif isinstance(action, Close):
            self._kept.close(action)
        else:
            if isinstance(action, Load):
                write = self._host.load_module(action.module)
            else:
                write = self._host.write(action.path, action.data.encode())
            return self._wait(index, write, action)
        return True

    def _wait(self, index: int, write: base.Write, action: Action) -> bool:
        begun = self._host.now()
        patience = _patience(action)
        while not write.wait(1.0):
            waited = self._host.now() - begun
            if waited >= patience:
                self._pending = Pending(index, write, ExitStack())
                return False
            self._tell(Progress(index, "waits", f"for {waited:.0f} s"))
        write.result()
        return True

    # -- back --

    def _turn_back(self, last: int, trouble: str, *, failed: bool = False) -> Result:
        """Undo what was done up to the last step that was begun, which may have `failed`."""
        blocked: dict[str, str] = {}
        steps = self._plan.steps
        made = len(self._remarks)  # What these are about is gone where all is taken back.
        if self._pending is not None:
            # Whatever else touches its device would wait for it.
            blocked[steps[last].subject] = "it would wait behind the step that hangs"
        for index in range(last, -1, -1):
            # Without facts to tell, a step that has failed has done nothing.
            has_failed = failed and index == last
            if not has_failed or (self._pending is None and steps[index].before):
                self._undo(index, steps[index], blocked)
        left = tuple(self._left())
        ending: Ending = "stuck" if self._pending is not None else "left" if left else "rolled back"
        if ending == "stuck" and any(step.inverse is not None for step in steps):
            self._mend.append(f"sdmtop undo {self._number}    # when it has returned")
        self._end(ending, left)
        self._remember()
        return Result(
            self._number, ending, trouble, left, tuple(self._mend), self._pending,
            tuple(self._remarks[made:] if ending == "rolled back" else self._remarks),
        )  # fmt: skip

    def _undo(self, index: int, step: Step, blocked: dict[str, str]) -> None:
        """Undo one step, unless what it began with is so; `blocked` says which cannot be."""
        if step.inverse is None:
            return
        if not (step.before and self._moved(step.before) is None):
            trouble = blocked.get(step.subject)
            foreign = None if trouble is not None else self._foreign(index, step.inverse)
            trouble = trouble or foreign or self._perform(index, step.inverse, step.before)
            if trouble is not None:
                if not isinstance(step.inverse, Call):  # Closing its node does it as well.
                    blocked.setdefault(step.subject, "what came after it could not be undone")
                self._record(index, "left", trouble)
                if foreign is None:
                    self._mend += filter(None, [shell(step.inverse)])
                return
            if _makes_functions(step.inverse) and step.inverse.data != "0":
                self._remarks.append(
                    f"{step.subject}: its VFs were made anew, and what had been set up on them "
                    "(addresses, VLANs, queues) is not set up again"
                )
        self._record(index, "undone")

    def _foreign(self, index: int, inverse: Action) -> str | None:
        """How it differs from what a step had made; nodes of ours are nobody else's to change."""
        if not isinstance(inverse, Write):
            return None
        moved = self._moved(self._made.get(index, ()))
        return f"it is not what the step has made, and is left so: {moved}" if moved else None

    def _left(self) -> Iterator[str]:
        """What is not as it was before the first step."""
        try:
            found = self._read(differences, [*self._first.values()], self._kept)
            yield from map(say_difference, found)
            yield from self._forgotten()
        except OSError as error:
            yield sentence("what is left cannot be told", error)

    def _forgotten(self) -> Iterator[str]:
        """What is not as it was of VFs that were made anew, and affinities: no step changed it."""
        for changed in self._read(differences, self._read(_of_those_there, self._functions)):
            self._mend += filter(None, [_mending(changed)])
            yield say_difference(changed)
        now_ = _affinities(self._snapshot())
        for (irq, actions), affinity in self._affinities.items():
            found = now_.get((irq, actions), affinity)
            path = f"/proc/irq/{irq}/smp_affinity_list"
            if found != affinity and ("cpus", path) not in self._first:
                self._mend.append(f"echo {affinity} > {path}")
                yield f"{path}: expected {affinity}, found {found}"

    # -- words --

    def _record(self, index: int, state: StepState, detail: str = "") -> str | None:
        """Tell the journal, then the operator; what went wrong with that, if anything did."""
        trouble = self._write_down(index, state, detail)
        self._tell(Progress(index, state, detail))
        return trouble

    def _write_down(self, index: int, state: StepState, detail: str) -> str | None:
        """Tell the journal; what went wrong with that, if anything did."""
        try:
            self._journal.step(self._number, index, state, detail)
        except OSError as error:
            return sentence("the journal cannot be written", error)
        return None

    def _tell(self, progress: Progress) -> None:
        """Tell the operator, if that can still be: what is under way does not depend on it."""
        try:
            self._listener(progress)
        except Exception:  # noqa: BLE001, S110 - whatever it is, a plan is not left half-way for it
            pass

    def _end(self, ending: Ending, left: tuple[str, ...]) -> None:
        try:
            self._journal.end(self._number, ending, left)
        except OSError as error:
            self._tell(Progress(0, "left", sentence("the journal cannot be written", error)))

    def _remember(self) -> None:
        """Which queues this process holds now, and by which plan."""
        for target in self._plan.targets:
            if self._kept.holds(target):
                self._kept.plans.setdefault(target, self._plan)
            else:
                self._kept.plans.pop(target, None)


_OF_A_FUNCTION: tuple[tuple[FactKind, str], ...] = (
    ("text", "driver_override"),  # First: with it, the kernel finds the driver that there was.
    ("link", "driver"),
)


def _makes_functions(action: Action) -> TypeGuard[Write]:
    """Whether it makes VFs, or makes them go."""
    return isinstance(action, Write) and action.path.endswith("/sriov_numvfs")


def _of_those_there(host: Host, facts: Iterable[Fact]) -> list[Fact]:
    """Those of devices that are there: that one is not, the number of VFs tells."""
    return [fact for fact in facts if now(host, "exists", fact.path.rpartition("/")[0]).value]


def _mending(changed: Difference) -> str | None:
    """The command that gives a VF the override, or the driver, that it had."""
    path, value = changed.fact.path, changed.fact.value
    device, _, name = path.rpartition("/")
    address = device.rpartition("/")[2]
    if name == "driver_override":
        return shell(Write(path, "\n" if value in (None, "(null)") else value))
    if value is None:
        return shell(Write(f"/sys/bus/pci/drivers/{changed.found}/unbind", address))
    return shell(Write(f"/sys/bus/pci/drivers/{value}/bind", address))


def _affinities(snapshot: Snapshot) -> dict[tuple[str, tuple[str, ...]], str]:
    return {
        (one.irq, one.actions): one.affinity
        for one in snapshot.interrupts
        if one.affinity is not None
    }


def _patience(action: Action) -> float:
    """Seconds after which an action counts as stuck."""
    waits = isinstance(action, Write) and action.path.endswith(("/unbind", "/remove"))
    return WAITING if waits else WORKING
