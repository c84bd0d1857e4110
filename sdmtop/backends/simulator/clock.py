"""Virtual time: seconds since the modelled kernel has booted, and what is to happen when."""

from __future__ import annotations

import heapq
import itertools
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BOOTED = 1_790_000_000
"""When a modelled kernel has booted unless it is told, in seconds since the epoch (2026-09-21)."""


class Timer:
    """Something that is to happen."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Let it not happen."""
        self.action = None


class Clock:
    """Seconds since boot. What is due happens in order of time, then in the order of asking."""

    def __init__(self) -> None:
        self.now = 0.0
        self.booted = BOOTED
        """When that was, in seconds since the epoch."""
        self._timers: list[tuple[float, int, Timer]] = []
        self._serial = itertools.count()

    def at(self, when: float, action: Callable[[], None]) -> Timer:
        """Have something happen at a time; at once where that has passed."""
        timer = Timer(action)
        heapq.heappush(self._timers, (max(when, self.now), next(self._serial), timer))
        return timer

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Have something happen that many seconds from now."""
        return self.at(self.now + seconds, action)

    @property
    def next(self) -> float | None:
        """When something happens next; None if nothing is to happen."""
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def advance(self, until: float, budget: float | None = None) -> bool:
        """Let time pass up to `until`, and everything happen that is due by then.

        With a `budget` of real seconds it may stop on the way, at what has happened last; False
        then.
        """
        end = None if budget is None else time.monotonic() + budget
        while (due := self.next) is not None and due <= until:
            if end is not None and time.monotonic() >= end:
                return False
            when, _, timer = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            action, timer.action = timer.action, None
            if action is not None:
                action()
        self.now = max(self.now, until)
        return True


LONGEST_GAP = 60.0
"""Real seconds between two looks at a pace that are lived through; a program that was stopped for
an hour and goes on would otherwise have that hour to do at once.
"""
SHORTEST_SLICE, LONGEST_SLICE = 0.03, 1.0
"""Real seconds that may be spent at once on letting happen what has become due."""
_SHARE = 0.25
"""That slice, as a part of the time since the last look."""


class Pace:
    """How virtual time follows real time: `rate` seconds a second, 0 for a still picture.

    On a machine that cannot do so much it goes as fast as it can.
    """

    def __init__(self, start: float, rate: float) -> None:
        self.change(start, rate)

    def change(self, now: float, rate: float) -> None:
        """Go on from `now` (virtual) at another rate."""
        self.rate = rate
        self.is_behind = False
        """Whether this machine cannot do so much."""
        self._go_on(now, time.monotonic())

    def _go_on(self, now: float, since: float) -> None:
        self._start = now
        self._since = self._looked = since

    def now(self) -> float:
        """What the virtual time should be."""
        real = time.monotonic()
        self._since += max(0.0, real - self._looked - LONGEST_GAP)
        self._looked = real
        return self._start + (real - self._since) * self.rate

    def ahead(self, when: float) -> float:
        """Real seconds until a moment of virtual time comes."""
        return (when - self._start) / self.rate - (time.monotonic() - self._since)

    def catch_up(self, clock: Clock) -> None:
        """Let happen what has become due, in one slice of real time.

        Where that does not do, virtual time goes on from there, after as long a rest: others want
        to look at the host, too.
        """
        began = time.monotonic()
        if began < self._since:
            return
        budget = min(max((began - self._looked) * _SHARE, SHORTEST_SLICE), LONGEST_SLICE)
        self.is_behind = not clock.advance(self.now(), budget)
        if self.is_behind:
            ended = time.monotonic()
            self._go_on(clock.now, ended + (ended - began))
