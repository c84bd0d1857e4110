"""What an operation wants to know before it can be planned: a driver, a number, CPUs, a type."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from sdmtop.collector import Sample
from sdmtop.commands import Now
from sdmtop.lookup import device_of_interrupt, devices_of
from sdmtop.operations.attach import DRIVERS, plan_attach
from sdmtop.operations.facts import say_set
from sdmtop.operations.plan import Plan
from sdmtop.operations.session import Means
from sdmtop.operations.settings import (
    DOMAIN_TYPES,
    as_count,
    plan_affinity,
    plan_domain_type,
    plan_sriov,
)
from sdmtop.readers.groups import is_vfio
from sdmtop.reasons import devices_at, group_of
from sdmtop.text import cell, printable
from sdmtop.tui.ground import Fitting

_NAMED = 3
"""Targets that a question names one by one."""

_VALUE = 24
"""Cells that the value of an answer gets at most; a list of CPUs can be longer than the screen."""

_LOW = 20
"""Rows from which there is room for blank ones."""


class Answer(NamedTuple):
    """One that can be chosen instead of typed, and what it means."""

    value: str
    meaning: str


class Question(NamedTuple):
    """For which operation it is, what it asks, answers that make sense, and what becomes of one.

    `plan` makes the plan for an answer, as `Maker` does; with `siblings` it may be for the
    `targets` only.
    """

    title: str
    asks: str
    answers: Sequence[Answer]
    targets: tuple[str, ...]
    plan: Callable[[str, Means, bool], Plan]
    siblings: bool = False


def attach_to(sample: Sample, now: Now) -> Question:
    """To which driver: VFIO's, or one that such devices on this host have."""
    snapshot = sample.snapshot
    targets = now.marked or _selected(now)
    given = [device for target in targets for device in devices_at(snapshot, target)]
    buses = {device.bus for device in given}
    kinds = {device.class_ for device in given}
    bound = Counter(
        one.driver
        for one in snapshot.devices
        if one.driver is not None and one.bus in buses
        if is_vfio(one.driver) or one.class_ in kinds
    )
    names = {*bound, *(driver for bus, driver in DRIVERS.items() if bus in buses)}
    return Question(
        "Attach to a driver",
        f"Which driver for {_some(targets)}? It need not be one of these.",
        [
            Answer(name, _devices(bound[name]))
            for name in sorted(names, key=lambda name: (not is_vfio(name), name))
        ],
        targets,
        lambda driver, means, only: plan_attach(
            means.host, means.snapshot, targets, driver=driver, only=only
        ),
        siblings=True,
    )


def sriov(sample: Sample, now: Now) -> Question:
    """How many VFs: none, or all that there can be."""
    (target,) = targets = _selected(now)
    has = devices_of(sample.snapshot)[target].sriov
    assert has is not None  # noqa: S101 - or the key would have said why not
    return Question(
        "SR-IOV",
        f"How many VFs of {target}? It has {has.vfs}, and can have 0 to {has.total}.",
        [Answer("0", "none"), Answer(f"{has.total}", "all")][: 2 if has.total else 1],
        targets,
        lambda count, means, _: plan_sriov(means.host, means.snapshot, target, as_count(count)),
    )


def affinity(sample: Sample, now: Now) -> Question:
    """Which CPUs: those of each NUMA node, the device's own first; or all."""
    (target,) = targets = (now.interrupt,) if now.interrupt is not None else _selected(now)
    snapshot = sample.snapshot
    one = now.interrupt is not None
    address = device_of_interrupt(snapshot, target) if one else target
    device = devices_of(snapshot).get(address) if address is not None else None
    own = device.numa_node if device is not None else None
    near = sorted((node for node in sample.nodes if node.cpus), key=lambda node: node.id != own)
    answers = [
        Answer(
            say_set(node.cpus), f"node {node.id}{', where the device is' if node.id == own else ''}"
        )
        for node in near
    ]
    if len(near) > 1:
        answers.append(Answer(say_set(cpu for node in near for cpu in node.cpus), "all"))
    what = target if one else f"the interrupts of {target}"
    return Question(
        "Affinity",
        f"To which CPUs may {what} come? A list such as 0-3,8.",
        answers,
        targets,
        lambda cpus, means, _: plan_affinity(means.host, means.snapshot, target, cpus),
    )


def domain_type(sample: Sample, now: Now) -> Question:
    """Which of the words that the kernel takes."""
    (target,) = targets = _selected(now)
    number = group_of(sample.snapshot, target)
    name = f"group/{number}"
    has = next((one.domain_type for one in sample.snapshot.groups if one.id == number), None)
    return Question(
        "Domain type",
        f"Which default domain for {name}? It is {has or 'not known'} now.",
        [Answer(one, _DOMAINS[one]) for one in DOMAIN_TYPES],
        targets,
        lambda wanted, means, _: plan_domain_type(means.host, means.snapshot, name, wanted),
    )


QUESTIONS: Mapping[str, Callable[[Sample, Now], Question]] = {
    "attach_to": attach_to,
    "sriov": sriov,
    "affinity": affinity,
    "domain_type": domain_type,
}
"""By the ids of their commands. They are asked only where `why_not` of the command is silent."""


def _selected(now: Now) -> tuple[str, ...]:
    assert now.target is not None  # noqa: S101 - or the key would have said why not
    return (now.target,)


_DOMAINS = {
    "identity": "no translation: the group reaches all of memory",
    "DMA": "translated, and strict: what is unmapped is out of reach at once",
    "DMA-FQ": "translated, and lazy: faster, what is unmapped stays in reach a moment",
    "auto": "what the kernel would choose",
}


def _some(targets: Sequence[str]) -> str:
    """What fits into a sentence."""
    more = len(targets) - _NAMED
    return ", ".join(targets[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _devices(count: int) -> str:
    return f"has {count} {'device' if count == 1 else 'devices'}" if count else "has no device now"


class AskScreen(Fitting, ModalScreen[str | None]):
    """A question, a field, and answers to choose; its result is what was said."""

    CSS = """
    AskScreen { align: center middle; }
    AskScreen Vertical {
        width: 84; max-width: 100%; height: auto; border: round $primary;
        border-title-color: $text; border-subtitle-color: $text;
        background: $surface; padding: 0 1;
    }
    AskScreen Static { max-height: 2; }
    AskScreen Input { background: $boost; margin: 1 0; }
    AskScreen.-low Input { margin: 0; }
    AskScreen OptionList {
        height: auto; border: none; background: $surface;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    AskScreen OptionList:ansi:focus > .option-list--option-highlighted {
        text-style: bold underline;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "leave", "Close"),
        ("down", "choose", "Choose"),
    ]

    def __init__(self, question: Question) -> None:
        """Ask this."""
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The question, the field, the answers."""
        answers = self._question.answers
        values = [cell(printable(one.value), _VALUE).rstrip() for one in answers]
        width = max(map(len, values), default=0)
        with Vertical():
            yield Static(printable(self._question.asks), markup=False)
            yield Input(placeholder="type it here, or choose: down", compact=True)
            yield OptionList(
                *(
                    Option(Content(f"{value:<{width}}  {printable(one.meaning)}"))
                    for value, one in zip(values, answers, strict=True)
                ),
                markup=False,
            )

    def on_mount(self) -> None:
        """What is typed goes into the field."""
        box = self.query_one(Vertical)
        box.border_title = self._question.title
        box.border_subtitle = "enter the plan   esc close"
        self.query_one(Input).focus()

    def on_resize(self) -> None:
        """Give the list what the rest leaves: border, question, field."""
        rows = self.app.size.height
        self.set_class(rows < _LOW, "-low")
        self.query_one(OptionList).styles.max_height = max(rows - (5 if rows < _LOW else 7), 1)

    def action_choose(self) -> None:
        """Go from the field to the answers."""
        answers = self.query_one(OptionList)
        if answers.has_focus:
            answers.action_cursor_down()  # Of keys that came together, the field gets them all.
        else:
            self.set_focus(answers)
            answers.highlighted = answers.highlighted or 0

    def on_input_changed(self, event: Input.Changed) -> None:
        """It is not the filter."""
        event.stop()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take what was typed, if anything was."""
        event.stop()
        if not event.input.has_focus:
            self.query_one(OptionList).action_select()
        elif event.value.strip():
            self.dismiss(event.value.strip())

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take what was chosen."""
        self.dismiss(self._question.answers[event.option_index].value)

    def action_leave(self) -> None:
        """Close."""
        self.dismiss(None)
