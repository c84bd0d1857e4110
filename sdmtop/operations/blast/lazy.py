"""A property that is made when first asked for, and by whoever asks."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 - used as a decorator, like `property`
    """As `functools.cached_property`, without its lock.

    Up to Python 3.11 that is one lock for all objects: a read that hangs below it would have
    every later plan hang, too.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._name = make.__name__

    def __get__(self, instance: object, owner: type | None = None) -> T:
        # Found in the object itself from now on.
        value = instance.__dict__[self._name] = self._make(instance)
        return value
