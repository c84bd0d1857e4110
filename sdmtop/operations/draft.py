"""A plan in the making: what all planners share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.conclusions import untold_drivers
from sdmtop.operations.equivalents import shell
from sdmtop.operations.facts import now, say, value_of
from sdmtop.operations.plan import ANY, WORST_FIRST, Fact, Plan, Step, Verdict, Write
from sdmtop.operations.preconditions import judge
from sdmtop.readers.groups import GROUPS
from sdmtop.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdmtop.backends.base import Host
    from sdmtop.model import Device, Snapshot
    from sdmtop.operations.plan import Action, Operation, VerdictKind


class Draft:
    """Collects the steps of one plan on one host, and what is known about them."""

    def __init__(self, host: Host, snapshot: Snapshot, operation: Operation) -> None:
        self.host = host
        self.snapshot = snapshot
        self._operation: Operation = operation
        self.steps: list[Step] = []
        self.gone: set[str] = set()
        """Devices and queues that a step removes."""
        self._verdicts: list[Verdict] = []
        # Sets that keep their order.
        self._targets: dict[str, None] = {}
        self._locks: dict[str, None] = {}
        self._identity: dict[Fact, None] = {}
        self._decisions: dict[str, None] = {}
        self._equivalents: dict[Step, list[str]] = {}
        self._notes: dict[str, None] = {}

    # -- what it is about ----------------------------------------------------------------------

    def target(self, name: str) -> None:
        """What the operator has named."""
        self._targets[name] = None

    def lock(self, name: str) -> None:
        """A group (`group/18`) or device that nobody else may operate on meanwhile."""
        self._locks[name] = None

    def lock_device(self, device: Device) -> None:
        """The group of a device, or the device alone where it has none."""
        self.lock(device.address if device.group is None else f"group/{device.group}")

    def identify(self, *facts: Fact) -> None:
        """What must be so when the plan begins, and go on to be so unless a step changes it."""
        self._identity.update(dict.fromkeys(facts))

    def identify_device(self, device: Device) -> None:
        """Its driver, what it is, its group, and who is in it. Raises what reading raises."""
        path = device.path
        self.identify(
            # The driver first: where an unbind is under way, nothing after it is read.
            now(self.host, "link", f"{path}/driver"),
            now(self.host, "text", f"{path}/modalias"),
            now(self.host, "link", f"{path}/iommu_group"),
        )
        if device.group is not None:
            self.identify(now(self.host, "names", f"{GROUPS}/{device.group}/devices"))

    # -- what is known of it ---------------------------------------------------------------------

    def verdict(self, kind: VerdictKind, subject: str, sentence: str, *evidence: str) -> None:
        """What the plan costs in some respect."""
        verdict = Verdict(kind, subject, sentence, evidence)
        if verdict not in self._verdicts:
            self._verdicts.append(verdict)

    def refuse(self, subject: str, sentence: str, *evidence: str) -> None:
        """Why it cannot be carried out."""
        self.verdict("refused", subject, sentence, *evidence)

    def refuse_stuck(self, device: Device) -> None:
        """Whatever takes its lock would wait behind the unbind that has it."""
        why = untold_drivers(self.snapshot).get(device.address)
        if why is not None:
            self.refuse(device.address, why, f"{device.path}/driver")

    def decide(self, subject: str, decision: str) -> None:
        """What becomes of a device of the group that was not named."""
        self._decisions[f"{subject}: {decision}"] = None

    def equivalent(self, command: str, *steps: Step) -> None:
        """A command of a known tool that does the same as these steps."""
        for step in steps:
            self._equivalents.setdefault(step, []).append(command)

    def note(self, sentence: str) -> None:
        """Something that an operator should know besides."""
        self._notes[sentence] = None

    # -- steps -----------------------------------------------------------------------------------

    def step(
        self,
        subject: str,
        title: str,
        action: Action,
        *,
        before: tuple[Fact, ...] = (),
        after: tuple[Fact, ...] = (),
        inverse: Action | None = None,
        inverse_title: str = "",
    ) -> Step:
        """One change; `before` and `after` as in `Step`."""
        step = Step(subject, title, inverse_title, action, before, after, inverse)
        self.steps.append(step)
        return step

    def finish(
        self, command: str, *, undoes: int | None = None, finishes: int | None = None
    ) -> Plan:
        """The plan, with what its steps would cost."""
        self._refuse_hidden()
        self._refuse_lost()
        self._refuse_contradictions()
        verdicts = (*self._verdicts, *judge(self.host, self.snapshot, self.steps))
        return Plan(
            operation=self._operation,
            targets=tuple(self._targets),
            command=command,
            locks=tuple(self._locks),
            identity=tuple(self._identity),
            decisions=tuple(self._decisions),
            verdicts=tuple(sorted(verdicts, key=lambda one: WORST_FIRST.index(one.kind))),
            steps=tuple(self.steps),
            equivalents=tuple(self._by_hand()),
            notes=tuple(self._notes),
            undoes=undoes,
            finishes=finishes,
        )

    def _by_hand(self) -> Iterator[str]:
        """Commands for all steps, in their order; that of a tool where its first step stands."""
        told: set[str] = set()
        for step in self.steps:
            commands = self._equivalents.get(step)
            if commands is None:
                yield from filter(None, [shell(step.action)])
                continue
            for command in commands:
                if command not in told:
                    told.add(command)
                    yield command

    def _refuse_hidden(self) -> None:
        """Nothing is written that the operator cannot see exactly as it is."""
        for step in self.steps:
            for action in (step.action, step.inverse):
                if isinstance(action, Write):
                    shown = f"{action.path} {action.data.rstrip()}"
                    if printable(shown) != shown or "\\x" in shown:
                        why = "its name has characters that cannot be shown as they are"
                        self.refuse(step.subject, why)

    def _refuse_lost(self) -> None:
        """Nothing is worked on that the same plan removes: it would be lost, or wait for itself."""
        for subject in dict.fromkeys(step.subject for step in self.steps):
            if subject in self.gone:
                self.refuse(
                    subject,
                    "another step of this plan removes it: name either it or the device that it "
                    "belongs to",
                )

    def _refuse_contradictions(self) -> None:
        """What a step expects is so now, or an earlier step makes it so."""
        made: dict[tuple[str, str], str | None] = {}
        for step in self.steps:
            for fact in step.before:
                place = (fact.kind, fact.path)
                if fact.kind in ("open", "status") or fact.value == ANY:
                    continue
                value = made[place] if place in made else value_of(self.host, fact)
                if value not in (fact.value, ANY):
                    self.refuse(
                        step.subject, f"it is not as the plan needs it: {say(fact)}", fact.path
                    )
            made.update(((fact.kind, fact.path), fact.value) for fact in step.after)
