"""Imports put off until something is used of them."""

import sys
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextmanager
def postponed(*names: str) -> "Iterator[None]":
    """Within it, whoever imports one of these modules gets a promise of it.

    The module is read at its first use, if there ever is one (`importlib.util.LazyLoader`). Who
    imports single names from a module uses it at once.
    """
    finder = _Finder(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    def __init__(self, names: "Sequence[str]") -> None:
        self._names = names

    def find_spec(
        self, name: str, path: "Sequence[str] | None", _target: object = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        spec = PathFinder.find_spec(name, path) if name in self._names else None
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec
