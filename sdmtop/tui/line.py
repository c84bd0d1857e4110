"""A line on its way to the screen, which Textual calls a strip."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.segment import Segment
from textual._styles_cache import StylesCache
from textual.cache import FIFOCache
from textual.filter import ANSIToTruecolor, LineFilter
from textual.geometry import Size
from textual.strip import Strip


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
    """The lines of a widget as the widget makes them.

    Textual puts padding, borders, opacity and tint around each line that is drawn, which costs as
    much as the line itself, also where there are none: here at most a border above all lines.
    """

    def render_line(
        self, styles: Any, y: int, size: Size, content_size: Size, padding: Any,
        base_background: Any, background: Any, render_content_line: Callable[[int], Strip],
        *around: Any,
    ) -> Strip:  # fmt: skip
        """One line of the widget."""
        if size == content_size:
            return render_content_line(y)
        return super().render_line(
            styles, y, size, content_size, padding, base_background, background,
            render_content_line, *around,
        )  # fmt: skip


def needed(filters: Sequence[LineFilter]) -> Sequence[LineFilter]:
    """Without that for colours which the terminal names: ours are none, and it copies each line."""
    return [one for one in filters if not isinstance(one, ANSIToTruecolor)]
