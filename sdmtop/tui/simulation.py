"""What can be done to a simulated host by hand: its time, and faults of what is selected."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from sdmtop.backends.simulator.control import Request
from sdmtop.backends.simulator.scenario import Fault, FaultKind
from sdmtop.model import Snapshot
from sdmtop.text import printable
from sdmtop.tui.ground import Fitting

_WHILE = 15.0
"""Seconds that a fault lasts which would otherwise last for ever."""
_STEPS = (1.0, 10.0, 60.0)
_RATES = (1.0, 10.0, 100.0)


class Choice(NamedTuple):
    """A line of the menu."""

    title: str
    request: Request


def choices(snapshot: Snapshot | None, target: str | None, rate: float) -> list[Choice]:
    """What can be done, faults of the selection first; `rate` is how fast time passes."""
    found = [*_faults(snapshot, target)] if snapshot is not None and target is not None else []
    everybody = Fault("pasid-exhaustion", lasts=_WHILE)
    found.append(Choice(f"no PASID is left, for {_WHILE:g} s", Request("inject", everybody)))
    if rate:
        found.append(Choice("let time stand still", Request("run")))
    found += [
        Choice(
            "let time pass" + (f" {one:g} times as fast" if one != 1 else ""),
            Request("run", value=one),
        )
        for one in _RATES
        if one != rate
    ]
    found += [Choice(f"let {one:g} s pass now", Request("step", value=one)) for one in _STEPS]
    return found


def _faults(snapshot: Snapshot, target: str) -> Iterator[Choice]:
    queue = next((one for one in snapshot.sdmdevs if one.id == target), None)
    if queue is not None:
        if queue.kind == "sdmdev":
            yield _choice("stall", f"{target}: does no work for {_WHILE:g} s", target, lasts=_WHILE)
        for pid in queue.holders or ():
            yield _choice("kill", f"{target}: its holder {pid} is killed", str(pid))
        if queue.kind in ("sdmdev", "mdev"):
            yield _refused("remove", target)
            yield _hanging("remove", target)
        return
    device = next((one for one in snapshot.devices if one.address == target), None)
    if device is None:
        return
    if device.irqs:
        yield _choice("lost-interrupt", f"{target}: its next interrupt is lost", target)
        yield _choice("spurious-interrupt", f"{target}: an interrupt out of nowhere", target)
        yield _choice(
            "interrupt-storm", f"{target}: a storm of interrupts for {_WHILE:g} s", target,
            lasts=_WHILE,
        )  # fmt: skip
    if any(one.parent == target for one in snapshot.sdmdevs):
        yield _choice("stall", f"{target}: all its queues stall for {_WHILE:g} s", target,
                      lasts=_WHILE)  # fmt: skip
    if device.group is not None:
        yield _choice("iommu-fault", f"{target}: its DMA misses", target)
    if device.driver is not None:
        yield _refused("unbind", target)
        yield _hanging("unbind", target)
    yield _choice("removal", f"{target}: is pulled out", target)


def _choice(kind: FaultKind, title: str, target: str, *, lasts: float | None = None) -> Choice:
    return Choice(title, Request("inject", Fault(kind, target=target, lasts=lasts)))


def _refused(operation: str, target: str) -> Choice:
    fault = Fault("errno", target=target, operation=operation, errno="EIO", times=1)
    return Choice(f"{target}: its next {operation} fails (EIO)", Request("inject", fault))


def _hanging(operation: str, target: str) -> Choice:
    fault = Fault("hang", target=target, operation=operation, times=1, lasts=_WHILE)
    title = f"{target}: its next {operation} hangs for {_WHILE:g} s"
    return Choice(title, Request("inject", fault))


class SimulationScreen(Fitting, ModalScreen[Request | None]):
    """A menu; what is chosen is the screen's result."""

    CSS = """
    SimulationScreen { align: center middle; }
    SimulationScreen OptionList {
        width: 78; max-width: 100%; height: auto; max-height: 100%;
        border: round $primary; background: $surface; padding: 0 1;
        border-title-color: $text;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,i", "dismiss", "Close")]

    def __init__(self, offered: Sequence[Choice]) -> None:
        """Make the menu of these choices."""
        super().__init__()
        self._offered = offered

    def compose(self) -> ComposeResult:
        """One list."""
        yield OptionList(
            *(Option(Content(printable(choice.title))) for choice in self._offered), markup=False
        )

    def on_mount(self) -> None:
        """It has the keys."""
        menu = self.query_one(OptionList)
        menu.border_title = "Simulate"
        menu.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take what was chosen."""
        self.dismiss(self._offered[event.option_index].request)
