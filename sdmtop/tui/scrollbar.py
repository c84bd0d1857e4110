"""The scrollbar of a pane, of lines as the pane's own.

It moves at almost every key. Textual's makes a strip with seven caches for each of its cells,
which are garbage at the next key.
"""

from typing import Self

from rich.segment import Segment
from textual.geometry import Region
from textual.scrollbar import ScrollBar
from textual.strip import Strip

from sdmtop.tui.line import Bare, Line


class PaneScrollBar(ScrollBar):
    """A vertical scrollbar, one cell wide."""

    def __init__(self) -> None:
        super().__init__(vertical=True, name="vertical", thickness=1)
        self._styles_cache = Bare()
        self._cells: list[Segment] = []
        """What is drawn, from top to bottom; nothing while that is to be found out."""

    def refresh(self, *regions: Region, **what: bool) -> Self:
        """See `Widget.refresh`."""
        self._cells = []
        return super().refresh(*regions, **what)

    def render_line(self, y: int) -> Strip:
        """One cell (Textual's line API)."""
        height = self.size.height
        if len(self._cells) != height:
            self._cells = self._drawn(height)
        return Line([self._cells[y]], 1)

    def _drawn(self, height: int) -> list[Segment]:
        console = self.app.console
        room = console.options.update(width=1, height=height)
        drawn = Segment.apply_style(console.render(self.render(), room), self.rich_style)
        return [one for one in drawn if one.text != "\n"]
