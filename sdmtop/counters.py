"""Interrupt counts over time: rates and sparklines from a ring of bounded size."""

from collections import deque
from collections.abc import Iterable, Sequence

RING = 64
"""Readings that are kept: about a minute at one a second."""

_WRAP = 1 << 32
_RESTART = 1 << 31
"""A step this large is not a wrap but a count that began anew: the irq has another owner."""


class Counters:
    """A frozen view: totals of every interrupt number at each of the last readings.

    Shared with the screen's thread: it is never changed, each reading makes a new one.
    """

    __slots__ = ("_at", "_totals")

    def __init__(self, at: Sequence[float] = (), totals: Sequence[Sequence[int]] = ()) -> None:
        self._at = at
        self._totals = totals

    def total(self, irq: int) -> int | None:
        """The count now, over all CPUs; None where the kernel shows no such interrupt."""
        if not self._totals or irq >= len(self._totals[-1]):
            return None
        return self._totals[-1][irq]

    def rate(self, irq: int) -> float | None:
        """Interrupts a second between the last two readings; None until there are two."""
        return self._rate(len(self._at) - 1, irq)

    def rates(self, irqs: Iterable[int]) -> float | None:
        """The sum of the rates of several interrupts; None if none of them has one."""
        known = [rate for rate in map(self.rate, irqs) if rate is not None]
        return sum(known) if known else None

    def history(self, irq: int, count: int) -> list[float]:
        """The last `count` rates at most, oldest first."""
        last = len(self._at) - 1
        return [
            self._rate(index, irq) or 0.0 for index in range(max(last - count + 1, 1), last + 1)
        ]

    def _rate(self, index: int, irq: int) -> float | None:
        if index < 1:
            return None
        now, before = self._totals[index], self._totals[index - 1]
        if irq >= len(now) or irq >= len(before):
            return None
        seconds = self._at[index] - self._at[index - 1]
        step = (now[irq] - before[irq]) % _WRAP
        if step >= _RESTART or seconds <= 0:
            return 0.0
        return step / seconds


class CounterRing:
    """The ring behind `Counters`."""

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=RING)
        self._totals: deque[Sequence[int]] = deque(maxlen=RING)

    @property
    def readings(self) -> int:
        """How many there are."""
        return len(self._at)

    def add(self, at: float, totals: Sequence[int]) -> None:
        """Remember a reading taken at `at` (monotonic seconds)."""
        self._at.append(at)
        self._totals.append(totals)

    def view(self) -> Counters:
        """The readings so far."""
        return Counters(tuple(self._at), tuple(self._totals))
