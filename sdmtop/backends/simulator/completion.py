"""What the kernel was asked for and has not done yet."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Completion:
    """An operation that may sleep: it ends with a value or an error, or never.

    `why` says what it waits for, in words; `wchan` is the kernel's function that sleeps; `device`
    is how the log begins a line about what is waited for (`vfio-pci 0000:01:00.0`).
    """

    __slots__ = ("_callbacks", "device", "done", "error", "value", "wchan", "why")

    def __init__(self, why: str = "", wchan: str = "", device: str = "") -> None:
        self.done = False
        self.value = 0
        self.error: OSError | None = None
        self.why = why
        self.wchan = wchan
        self.device = device
        self._callbacks: list[Callable[[Completion], None]] = []

    def finish(self, value: int = 0) -> None:
        """It has ended well."""
        self.value = value
        self._end()

    def fail(self, error: OSError) -> None:
        """It has ended with an error."""
        self.error = error
        self._end()

    def then(self, callback: Callable[[Completion], None]) -> None:
        """Do this at the end; at once where that has come."""
        if self.done:
            callback(self)
        else:
            self._callbacks.append(callback)

    def result(self) -> int:
        """The value, or the error raised; EINPROGRESS before the end."""
        if not self.done:
            raise OSError(errno.EINPROGRESS, self.why or "it has not returned")
        if self.error is not None:
            raise OSError(self.error.errno, self.error.strerror)
        return self.value

    def _end(self) -> None:
        self.done = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)


def completed(value: int = 0) -> Completion:
    """An operation that did not have to wait."""
    completion = Completion()
    completion.finish(value)
    return completion
