"""The help page, made from the registry of commands."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from sdmtop.text import printable

_MARKS = (
    ("REAL / CAPTURE", "the running kernel, or a saved one"),
    ("READ-ONLY / ARMED", "whether this program may change the host"),
    ("?", "a fact that could not be read: the inspector says why"),
    ("kernel / vfio / free", "who owns a group, told by the drivers bound in it"),
    ("bound / unbound", "a device with a driver; without"),
    ("stuck", "an unbind that waits for the holder of the device to let go"),
    ("42 qemu / 42 +1", "held by process 42; by process 42 and one more"),
    ("NMI, LOC, ERR, ...", "read every 20 seconds, so they have a total but no rate"),
    ("orphan", "an mdev that holds a queue while no process holds it"),
)


class HelpScreen(ModalScreen[None]):
    """Keys and words."""

    CSS = """
    HelpScreen { align: center middle; }
    HelpScreen VerticalScroll {
        width: 92; max-width: 100%; height: auto; max-height: 100%;
        border: round $primary; background: $surface; padding: 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,question_mark", "dismiss", "Close")]

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        """Make the page; `keys` are keys and what they do."""
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        """One scrolling page."""
        lines = [*self._keys, ("Words", ""), *_MARKS]
        text = "\n".join(f"{left:<24} {printable(right)}".rstrip() for left, right in lines)
        with VerticalScroll():
            yield Static(Content(text))
