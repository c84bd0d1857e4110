"""The bars: header, footer, and the line that says what a pane is about."""

import textwrap
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.content import Content
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Static

from sdmtop.commands import Hint
from sdmtop.text import cell, fit, width, wrap_at
from sdmtop.tour import STEPS
from sdmtop.tui.line import Bare, Line


class Bar(Widget):
    """One line of printable text, drawn again only when it is another text."""

    DEFAULT_CSS = """
    Bar { height: 1; background: $panel; color: $text; }
    """

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's own word)
        super().__init__(id=id)
        self._styles_cache = Bare()
        self._text = ""

    def show(self, text: str) -> None:
        """Show this text, which must be printable."""
        if text != self._text:
            self._text = text
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The text, as wide as the screen."""
        text = fit(self._text, self.size.width) if y == 0 else ""
        return Line([Segment(text, self.rich_style)], self.size.width)


class Scrubber(Bar):
    """The length of a recording, and where it stands; a click goes there."""

    class Sought(Message):
        """The line was clicked: at which cell of how many."""

        def __init__(self, cell: int, width: int) -> None:
            super().__init__()
            self.cell = cell
            self.width = width

    def on_click(self, event: events.Click) -> None:
        """Tell where."""
        self.post_message(self.Sought(event.x, self.size.width))


class TourPanel(Static):
    """The step of the tour, above the footer."""

    DEFAULT_CSS = """
    TourPanel { display: none; height: auto; background: $panel; color: $text; padding: 0 1; }
    """

    _number = 0

    def tell(self, number: int) -> None:
        """Show a step."""
        self._number = number
        self._fold()
        self.display = True

    def on_resize(self) -> None:
        """Leave the tree some of a low screen."""
        self._fold()

    def _fold(self) -> None:
        step = STEPS[self._number]
        head = f"Tour {self._number + 1} of {len(STEPS)}: {step.title}"
        columns, rows = self.app.size
        cells, most = max(columns - 2, 1), max(rows * 6 // 10, 1)
        told = [
            row
            for text in (f"{head}   (n next, b back, w ends it)", step.text)
            for row in textwrap.wrap(text, cells)
        ]
        if len(told) > most:
            told[most - 1 :] = [cell(" ".join(told[most - 1 :]), cells)]
        self.update(Content.from_text("\n".join(told), markup=False))


MOST_ROWS = 3
"""Rows that a sentence in the footer may take, where the screen is narrow."""


_LEAST_CELLS = 8
"""Cells below which a sentence is not folded: the screen has not been laid out yet."""


class FooterBar(Widget):
    """The keys that work now, dimmed those that do not; or a sentence about what was asked for."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"footer--dim", "footer--said"}

    DEFAULT_CSS = """
    FooterBar {
        height: 1; background: $panel; color: $text;
        & .footer--dim { color: $text-muted; }
        & .footer--said { color: $text; text-style: bold; }
        &:ansi .footer--dim { color: ansi_default; text-style: dim; }
    }
    """

    class Pressed(Message):
        """A key in the footer was clicked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's own word)
        super().__init__(id=id)
        self._styles_cache = Bare()
        self._hints: Sequence[Hint] = ()
        self._said = ""
        self._most = MOST_ROWS
        self._rows: Sequence[str] = ("",)

    def show(self, hints: Sequence[Hint]) -> None:
        """Show these keys."""
        if hints != self._hints:
            self._hints = hints
            self.refresh()

    def say(self, text: str, *, most: int = MOST_ROWS) -> None:
        """Show a printable sentence instead of the keys; the keys again, if it is empty.

        It has as many rows as it needs, `most` at most, for as long as it is shown.
        """
        if (text, most) != (self._said, self._most):
            self._said, self._most = text, most
            self._take_rows()
            self.refresh()

    def on_resize(self) -> None:
        """The same sentence may need more rows, or fewer."""
        self._take_rows()

    def _take_rows(self) -> None:
        before, self._rows = self._rows, _folded(f" {self._said}", self.size.width, self._most)
        if len(self._rows) != len(before):
            self.styles.height = len(self._rows)  # The screen is laid out again.

    def render_line(self, y: int) -> Strip:
        """The sentence or the keys, as wide as the screen."""
        cells = self.size.width
        if self._said:
            style = self.get_component_rich_style("footer--said")
            row = self._rows[y] if y < len(self._rows) else ""
            return Line([Segment(fit(row, cells), style)], cells)
        if y > 0:
            return Line([Segment(" " * cells, self.rich_style)], cells)
        dim = self.get_component_rich_style("footer--dim")
        segments = [
            Segment(hint.text, self.rich_style if hint.works else dim) for hint in self._hints
        ]
        used = sum(width(hint.text) for hint in self._hints)
        segments.append(Segment(" " * max(cells - used, 0), self.rich_style))
        return Line(segments, max(cells, used)).crop(0, cells)

    def on_click(self, event: events.Click) -> None:
        """Tell which key."""
        self.press(event.x)

    def press(self, x: int) -> None:
        """Tell which key stands at this cell."""
        end = 0
        for hint in () if self._said else self._hints:
            end += width(hint.text)
            if x < end:
                self.post_message(self.Pressed(hint.key))
                return


def _folded(text: str, cells: int, most: int) -> list[str]:
    """Rows of so many cells; all that `most` do not hold stands in the last, to be cut there."""
    if most == 1 or cells < _LEAST_CELLS or width(text) <= cells:
        return [text]
    room = wrap_at(text, cells)
    rows = textwrap.wrap(text, room, subsequent_indent=" ", break_on_hyphens=False)
    return rows if len(rows) <= most else [*rows[: most - 1], "".join(rows[most - 1 :])]
