"""A position among the moments of a recording, and how it moves: no clock, no file, no thread."""

from bisect import bisect_left, bisect_right
from collections.abc import MutableSequence, Sequence

from sdmtop.timeline import clock

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)

STILL = 5.0
"""Recorded seconds after which the next moment comes, however long nothing had changed."""

BEAT = 0.1
"""Seconds between two samples at least, however fast it is played."""

SKIP = 0.05
"""The part of a recording that is skipped at once."""

_BEHIND = 1.0
"""Seconds that are made up for at most, after the program was stopped or busy."""


class Tape:
    """A recording as it is played.

    `times` are those of the moments, in seconds since the epoch; `eventful` has the indices of
    those at which something happened. `now` is any clock that runs evenly, in seconds.
    """

    def __init__(self, times: MutableSequence[float], eventful: Sequence[int], end: float) -> None:
        self.times = times
        self.eventful = eventful
        self.begin = times[0]
        self.end = max(end, self.begin, times[-1])
        self.index = 0
        self.playing = False
        self.at_end = False
        """Whether it was played to the end, and goes on when there is more."""
        self._speed = SPEEDS.index(1.0)
        self._since = 0.0

    @property
    def speed(self) -> float:
        """Recorded seconds in one second."""
        return SPEEDS[self._speed]

    def play(self, now: float) -> None:
        """Go on; from the start, where this is the end."""
        if self.index == len(self.times) - 1:
            self.index = 0
        self.playing, self._since = len(self.times) > 1, now
        self.at_end = not self.playing

    def stop(self) -> None:
        """Stand where it is."""
        self.playing = self.at_end = False

    def grow(
        self, times: Sequence[float], eventful: Sequence[int], end: float, *, dropped: int = 0
    ) -> None:
        """There are more moments behind the last one, and so many less at the beginning.

        `eventful` has the indices of what is behind, as they are after that.
        """
        self.times.extend(times)
        del self.times[:dropped]
        self.index = max(self.index - dropped, 0)
        kept = [index - dropped for index in self.eventful if index >= dropped]
        self.eventful = [*kept, *eventful]
        self.begin = self.times[0]
        self.end = max(end, self.begin, self.times[-1])
        if self.at_end:
            self.index = len(self.times) - 1
        self._play_on()

    def advance(self, now: float) -> None:
        """Move on to where it should be now."""
        if self.playing:
            late = now - self._since - self._gap
            self._since += max(late - _BEHIND, 0.0)
        while self.playing and now - self._since >= self._gap:
            self._since += self._gap
            self.index += 1
            self._play_on()

    def wait(self, now: float) -> float | None:
        """Seconds until it moves by itself, in steps of `BEAT` at least; None if it stands."""
        return max(self._since + self._gap - now, BEAT) if self.playing else None

    def step(self, count: int) -> bool:
        """Stop so many moments later, or earlier; False where there is none."""
        return self._stop_at(self.index + count)

    def leap(self, step: int) -> bool:
        """Stop where something happened next (1) or last (-1); False where there is nothing."""
        if step > 0:
            place = bisect_right(self.eventful, self.index)
        else:
            place = bisect_left(self.eventful, self.index) - 1
        return 0 <= place < len(self.eventful) and self._stop_at(self.eventful[place])

    def seek(self, at: float, now: float) -> None:
        """Go to the last moment up to a time, or to the first one."""
        self.index = max(bisect_right(self.times, at) - 1, 0)
        self._since = now
        self._play_on()

    def skip(self, step: int, now: float) -> None:
        """Go on, or back, by a part of the whole; to another moment in any case if there is one."""
        at = self.times[self.index] + step * SKIP * (self.end - self.begin)
        before = self.index
        self.seek(at, now)
        if self.index == before and 0 <= before + step < len(self.times):
            self.index = before + step
            self._play_on()

    def faster(self, step: int, now: float) -> bool:
        """Play at the next higher (1) or lower (-1) speed; False where there is none."""
        speed = min(max(self._speed + step, 0), len(SPEEDS) - 1)
        changed = speed != self._speed
        self._speed, self._since = speed, now
        return changed

    def line(self, width: int) -> str:
        """The whole in so many cells: from when to when, where events are, and where it stands."""
        left, right = f" {clock(self.begin)} ", f" {clock(self.end)} "
        line = ["─"] * max(width - len(left) - len(right), 1)
        for index in self.eventful:
            line[self._cell(self.times[index], len(line))] = "!"
        line[self._cell(self.times[self.index], len(line))] = "●"
        return left + "".join(line) + right

    def at_cell(self, cell: int, width: int) -> float:
        """The time at a cell of `line`."""
        margin = len(f" {clock(self.begin)} ")
        cells = max(width - 2 * margin, 1)
        return self.begin + (self.end - self.begin) * (cell - margin) / max(cells - 1, 1)

    def _cell(self, at: float, cells: int) -> int:
        part = (at - self.begin) / (self.end - self.begin) if self.end > self.begin else 0.0
        return min(max(round(part * (cells - 1)), 0), cells - 1)

    @property
    def _gap(self) -> float:
        """Seconds from this moment to the next."""
        recorded = self.times[self.index + 1] - self.times[self.index]
        return min(max(recorded, 0.0), STILL) / self.speed

    def _play_on(self) -> None:
        """After a move: go on from here, unless it stood or this is the end."""
        moves = self.playing or self.at_end
        self.at_end = moves and self.index == len(self.times) - 1
        self.playing = moves and not self.at_end

    def _stop_at(self, index: int) -> bool:
        self.stop()
        if not 0 <= index < len(self.times):
            return False
        self.index = index
        return True
