"""The page on which the columns of the tree are chosen, and put in order."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import ModalScreen

from sdmtop.columns import COLUMNS, NAME
from sdmtop.text import cell
from sdmtop.tui.bindings import bindings
from sdmtop.tui.ground import Fitting
from sdmtop.tui.lines import Content, LinesPane

_TITLE = "Columns of the tree"


class Choices(LinesPane):
    """A line for each column: whether it is shown, and what is in it."""

    marks_always = True

    BINDINGS: ClassVar[list[BindingType]] = bindings("columns")

    def __init__(
        self,
        shown: Sequence[str],
        changed: Callable[[Sequence[str]], None],
        keep: Callable[[Sequence[str]], None],
    ) -> None:
        super().__init__(id="choices")
        self._keep = keep
        self._shown = set(shown)
        self._order = [*shown, *(name for name in COLUMNS if name not in (*shown, NAME))]
        self._changed = changed

    def on_mount(self) -> None:
        """Show them."""
        self.show_keys(list(self._order))

    def title(self) -> str:
        """What this is."""
        return f" {_TITLE}"

    def content(self, key: str) -> Content:
        """A box, the name, what the column tells."""
        box = "x" if key in self._shown else " "
        name = f" [{box}] {key:<10}"
        left = max(self.line_width - len(name), 0)
        return ((name, "plain"), (cell(COLUMNS[key].meaning, left), "dim"))

    def action_show_or_hide(self) -> None:
        """Show or hide the selected column."""
        if self.cursor is not None:
            self._shown ^= {self.cursor}
            self._tell()

    def action_shift(self, step: int) -> None:
        """Move the selected column by one place."""
        if self.cursor is None:
            return
        at = self._order.index(self.cursor)
        to = min(max(at + step, 0), len(self._order) - 1)
        self._order.insert(to, self._order.pop(at))
        self._tell()

    def action_write(self) -> None:
        """Keep the choice for the next time."""
        self._keep(self._chosen)

    @property
    def _chosen(self) -> tuple[str, ...]:
        return tuple(name for name in self._order if name in self._shown)

    def _tell(self) -> None:
        self.show_keys(list(self._order))
        self._changed(self._chosen)


class ColumnsScreen(Fitting, ModalScreen[None]):
    """The choices, above the tree that follows them."""

    CSS = """
    ColumnsScreen { align: right middle; }
    ColumnsScreen Choices {
        width: 70; max-width: 100%; height: 16; max-height: 100%; margin-bottom: 1;
        border: round $primary;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape,enter,q,C", "dismiss", "Close")]

    def __init__(
        self,
        shown: Sequence[str],
        changed: Callable[[Sequence[str]], None],
        keep: Callable[[Sequence[str]], None],
    ) -> None:
        """Make the page: `changed` is told each choice, `keep` writes one down."""
        super().__init__(id="columns")
        self._choices = Choices(shown, changed, keep)

    def compose(self) -> ComposeResult:
        """One list."""
        yield self._choices
