"""The one-line bars: header, footer, and the line that says what a pane is about."""

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from sdmtop.text import fit


class Bar(Widget):
    """One line of printable text, drawn again only when it is another text."""

    DEFAULT_CSS = """
    Bar { height: 1; background: $panel; color: $text; }
    """

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's own word)
        super().__init__(id=id)
        self._text = ""

    def show(self, text: str) -> None:
        """Show this text, which must be printable."""
        if text != self._text:
            self._text = text
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The text, as wide as the screen."""
        text = fit(self._text, self.size.width) if y == 0 else ""
        return Strip([Segment(text, self.rich_style)], self.size.width)
