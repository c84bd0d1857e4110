"""A line on its way to the screen, which Textual calls a strip."""

from collections.abc import Sequence
from typing import Any

from rich.segment import Segment
from textual.cache import FIFOCache
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
