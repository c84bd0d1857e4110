"""Signals that end an operation in good order: between two steps, with what was done taken back."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(threading.Event):
    """Set when a signal asks to end; `signal` is its number."""

    signal: int | None = None


@contextmanager
def stopping() -> Iterator[Stopped]:
    """Have signals ask to end, and not end: the step under way is not interrupted by one.

    A hang-up that `nohup` has the program ignore stays ignored. For the main thread only.
    """
    stopped = Stopped()

    def handle(number: int, _frame: FrameType | None) -> None:
        stopped.signal = number
        stopped.set()

    before = {
        number: signal.signal(number, handle)
        for number in _SIGNALS
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
