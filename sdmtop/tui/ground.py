"""What lies behind the panes: screens and containers, of which nothing is seen.

Textual draws them nevertheless, line by line, cuts every line at the borders of the panes and
remembers the pieces: a megabyte, and work at every key.
"""

from textual._styles_cache import StylesCache
from textual.containers import Horizontal, Vertical
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget


class _OneLine(StylesCache):
    """The lines of a widget that has no content and no border: one, as often as it is needed."""

    def render_widget(self, widget: Widget, crop: Region) -> list[Strip]:
        """The lines of a part of the widget."""
        return super().render_widget(widget, Region(crop.x, 0, crop.width, 1)) * crop.height


class Ground(Screen[None]):
    """The screen below the panes."""

    def __init__(self) -> None:
        super().__init__(id="_default")  # Textual's own name of it.
        self._styles_cache = _OneLine()


class Row(Horizontal):
    """Panes side by side."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's own word)
        super().__init__(id=id)
        self._styles_cache = _OneLine()


class Column(Vertical):
    """Panes one above the other."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's own word)
        super().__init__(id=id)
        self._styles_cache = _OneLine()
