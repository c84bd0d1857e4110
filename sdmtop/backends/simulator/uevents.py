"""Uevents: what the kernel tells everyone who listens (kernel-abi 10b says which change tells)."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sdmtop.backends.base import Event

QUEUED = 4096
"""Events that wait for one listener; when more come, they are lost, and that is told."""


class Uevent(NamedTuple):
    """See `base.Event`."""

    action: str
    subsystem: str
    path: str


class Listener:
    """One socket that is listening: see `base.Events`."""

    def __init__(self, uevents: Uevents) -> None:
        self._uevents = uevents
        self._waiting: deque[Event] = deque()
        self._signal = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """See `Events.fileno`."""
        return self._signal

    def tell(self, event: Event) -> None:
        """Queue an event."""
        if self._signal < 0:
            return
        if len(self._waiting) >= QUEUED:
            self._waiting.clear()
            event = Uevent("lost", "", "/sys/devices")
        self._waiting.append(event)
        os.eventfd_write(self._signal, 1)

    def drain(self) -> list[Event]:
        """See `Events.drain`."""
        found = []
        while self._waiting:
            found.append(self._waiting.popleft())
        if found:
            os.eventfd_read(self._signal)
        return found

    def close(self) -> None:
        """See `Events.close`."""
        self._uevents.forget(self)
        number, self._signal = self._signal, -1
        if number >= 0:
            os.close(number)


class Uevents:
    """The kernel's side."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def listen(self) -> Listener:
        """A new listener, who hears what comes from now on."""
        listener = Listener(self)
        self._listeners.append(listener)
        return listener

    def forget(self, listener: Listener) -> None:
        """Tell this one no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def emit(self, action: str, subsystem: str, path: str) -> None:
        """Tell everyone that something has happened to the device at a sysfs path."""
        for listener in self._listeners:
            listener.tell(Uevent(action, subsystem, path))
