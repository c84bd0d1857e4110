"""Interrupt counts over time: rates and sparklines from a ring of bounded size."""

from collections.abc import Iterable, Sequence

RING = 64
"""Readings that are kept: about a minute at one a second."""

_WRAP = 1 << 32
_RESTART = 1 << 31
"""A step this large is not a wrap but a count that began anew: the irq has another owner."""


class Counters:
    """A frozen view: totals of every interrupt number at each of the last readings.

    Many views share one list, which only ever grows; a view sees it up to its own end. So a view
    costs nothing, may be kept for long, and is safe in the screen's thread.
    """

    __slots__ = ("_end", "_readings", "_start")

    def __init__(self, readings: Sequence[tuple[float, Sequence[int]]] = ()) -> None:
        self._readings = readings
        self._end = len(readings)
        self._start = max(self._end - RING, 0)

    @property
    def latest(self) -> tuple[float, Sequence[int]] | None:
        """The last reading: monotonic seconds, and the totals by interrupt number."""
        return self._readings[self._end - 1] if self._end else None

    @property
    def previous_at(self) -> float:
        """When the reading before the last was made; the last itself where it is the only one."""
        return self._readings[max(self._end - 2, self._start)][0] if self._end else 0.0

    def total(self, irq: int) -> int | None:
        """The count now, over all CPUs; None where the kernel shows no such interrupt."""
        if self.latest is None or irq >= len(self.latest[1]):
            return None
        return self.latest[1][irq]

    def rate(self, irq: int) -> float | None:
        """Interrupts a second between the last two readings; None until there are two."""
        return self._rate(self._end - 1, irq)

    def rates(self, irqs: Iterable[int]) -> float | None:
        """The sum of the rates of several interrupts; None if none of them has one."""
        known = [rate for rate in map(self.rate, irqs) if rate is not None]
        return sum(known) if known else None

    def history(self, irq: int, count: int) -> list[float]:
        """The last `count` rates at most, oldest first."""
        first = max(self._end - count, self._start + 1)
        return [self._rate(index, irq) or 0.0 for index in range(first, self._end)]

    def _rate(self, index: int, irq: int) -> float | None:
        if index <= self._start:
            return None
        (at, now), (before_at, before) = self._readings[index], self._readings[index - 1]
        if irq >= len(now) or irq >= len(before):
            return None
        seconds = at - before_at
        step = (now[irq] - before[irq]) % _WRAP
        if step >= _RESTART or seconds <= 0:
            return 0.0
        return step / seconds


class CounterRing:
    """The ring behind `Counters`."""

    def __init__(self) -> None:
        self._readings: list[tuple[float, Sequence[int]]] = []

    @property
    def readings(self) -> int:
        """How many there are."""
        return min(len(self._readings), RING)

    def add(self, at: float, totals: Sequence[int]) -> None:
        """Remember a reading taken at `at` (monotonic seconds)."""
        if len(self._readings) >= 2 * RING:
            # A new list: the old one belongs to the views of it, and goes with them.
            self._readings = self._readings[-RING:]
        self._readings.append((at, totals))

    def view(self) -> Counters:
        """The readings so far."""
        return Counters(self._readings)
