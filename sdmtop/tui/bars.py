"""The one-line bars: header, footer, and the line that says what a pane is about."""

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
from sdmtop.text import fit, width
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

    def tell(self, number: int) -> None:
        """Show a step."""
        step = STEPS[number]
        head = f"Tour {number + 1} of {len(STEPS)}: {step.title}   (n next, b back, w ends it)"
        self.update(Content.from_text(f"{head}\n{step.text}", markup=False))
        self.display = True


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

    def show(self, hints: Sequence[Hint]) -> None:
        """Show these keys."""
        if hints != self._hints:
            self._hints = hints
            self.refresh()

    def say(self, text: str) -> None:
        """Show a printable sentence instead of the keys; the keys again, if it is empty."""
        if text != self._said:
            self._said = text
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The sentence or the keys, as wide as the screen."""
        del y  # There is one line.
        cells = self.size.width
        if self._said:
            style = self.get_component_rich_style("footer--said")
            return Line([Segment(fit(f" {self._said}", cells), style)], cells)
        dim = self.get_component_rich_style("footer--dim")
        segments = [
            Segment(hint.text, self.rich_style if hint.works else dim) for hint in self._hints
        ]
        used = sum(width(hint.text) for hint in self._hints)
        segments.append(Segment(" " * max(cells - used, 0), self.rich_style))
        return Line(segments, max(cells, used)).crop(0, cells)

    def on_click(self, event: events.Click) -> None:
        """Tell which key."""
        end = 0
        for hint in () if self._said else self._hints:
            end += width(hint.text)
            if event.x < end:
                self.post_message(self.Pressed(hint.key))
                return
