"""A line on its way to the screen, which Textual calls a strip."""

from collections.abc import Sequence
from typing import Any

from rich.segment import Segment
from textual._styles_cache import StylesCache
from textual.cache import FIFOCache
from textual.filter import ANSIToTruecolor
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class _Forgetful(FIFOCache[Any, Any]):
    """Keeps nothing."""

    def set(self, key: Any, value: Any) -> None:
        del key, value

    __setitem__ = set


_FORGETFUL = _Forgetful(0)


class Line(Strip):
    """A strip that remembers nothing of what was made of it.

    Ours are drawn once. What Textual's own remembers are seven caches for each, and itself in one
    of them: garbage that stays until it is collected, some thousand lines later.
    """

    __slots__ = ()

    def __init__(self, segments: Sequence[Segment], cells: int) -> None:
        """`segments` must be just as wide as `cells`."""
        # Not by Textual's own, which makes the seven.
        self._segments = list(segments)
        self._cell_length = cells
        self._render_cache = self._link_ids = self._cell_count = None
        self._divide_cache = self._crop_cache = self._style_cache = _FORGETFUL
        self._filter_cache = self._line_length_cache = self._crop_extend_cache = _FORGETFUL
        self._offsets_cache = _FORGETFUL

    def crop(self, start: int, end: int | None = None) -> Strip:
        """See `Strip.crop`; of what is drawn, the compositor asks for nothing of its neighbours."""
        return _NOTHING if end is not None and end <= start else super().crop(start, end)


_NOTHING = Line((), 0)


class Bare(StylesCache):
    """The lines of a widget as the widget makes them, where nothing is around them.

    Textual puts padding, borders, opacity and tint around each line that is drawn, which costs as
    much as the line itself, also where there are none: here at most a border.
    """

    def render_widget(self, widget: Widget, crop: Region) -> list[Strip]:
        """The lines of a widget that are seen."""
        if widget.styles.gutter:
            return super().render_widget(widget, crop)
        width = widget.outer_size.width
        if width != self._width:
            self.clear()
            self._width = width
        cache, dirty = self._cache, self._dirty_lines
        for y in crop.line_range:
            if y in dirty or y not in cache:
                cache[y] = widget.render_line(y)
        dirty.difference_update(crop.line_range)
        lines = [cache[y] for y in crop.line_range]
        for one in widget.get_line_filters():
            # Not that for colours which the terminal names: ours are none, and it copies each line.
            if not isinstance(one, ANSIToTruecolor):
                background = widget.background_colors[1]
                lines = [line.apply_filter(one, background) for line in lines]
        if crop.column_span != (0, width):
            lines = [line.crop(*crop.column_span) for line in lines]
        return lines
