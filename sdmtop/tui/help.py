"""The help page, made from the registry of commands."""

from collections.abc import Sequence
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from sdmtop.text import printable
from sdmtop.tui.ground import Fitting

_MARKS = (
    ("REAL / SIM", "a running kernel; a simulated host"),
    ("CAPTURE / REPLAY", "a saved host; a recording"),
    ("READ-ONLY / ARMED", "whether this program may change the host"),
    ("*", "a line that is marked: attach, attach to a driver, detach and remove are for all"),
    ("?", "a fact that could not be read: the inspector says why"),
    ("kernel / vfio / free", "who owns a group, told by the drivers bound in it"),
    ("bound / unbound", "a device with a driver; without"),
    ("stuck", "an unbind that waits for the holder of the device to let go"),
    ("42 qemu / 42 +1", "held by process 42; by process 42 and one more"),
    ("NMI, LOC, ERR, ...", "read every 30 seconds, so they have a total but no rate"),
    ("orphan", "an mdev that holds a queue while no process holds it"),
)

_KEYS = 24
"""Cells of the keys of one command, at most."""


class HelpScreen(Fitting, ModalScreen[None]):
    """Keys and words."""

    CSS = """
    HelpScreen { align: center middle; }
    HelpScreen VerticalScroll {
        width: 92; max-width: 100%; height: auto; max-height: 100%;
        border: round $primary; background: $surface; padding: 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,q,question_mark", "dismiss", "Close"),
        ("j", "turn('scroll_down')", "Down"),
        ("k", "turn('scroll_up')", "Up"),
        ("ctrl+d", "turn('page_down')", "Page down"),
        ("ctrl+u", "turn('page_up')", "Page up"),
        ("g", "turn('scroll_home')", "First"),
        ("G", "turn('scroll_end')", "Last"),
    ]

    def __init__(self, keys: Sequence[tuple[str, str]]) -> None:
        """Make the page; `keys` are keys and what they do."""
        super().__init__()
        self._keys = keys

    def compose(self) -> ComposeResult:
        """One scrolling page."""
        page = Table.grid(padding=(0, 2, 0, 0))
        page.add_column(max_width=_KEYS, overflow="fold")
        page.add_column()
        for left, right in (*self._keys, ("Words", ""), *_MARKS):
            # A title is a line without anything beside it.
            page.add_row(Text(left, "" if right else "bold"), Text(printable(right)))
        with VerticalScroll():
            yield Static(page)

    async def action_turn(self, where: str) -> None:
        """Scroll as the same keys do in the panes; the arrows are Textual's own."""
        await self.app.run_action(where, self.query_one(VerticalScroll))
