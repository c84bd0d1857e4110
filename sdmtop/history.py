"""The last minutes of a host, kept in memory: the screen can go back while reading goes on."""

import threading
import time
from collections import deque
from collections.abc import Callable

from msgspec.structs import replace

from sdmtop.collector import Sample
from sdmtop.differences import KEYS
from sdmtop.model import Interrupt, Record, Snapshot
from sdmtop.timeline import clock

MOST = 300
"""Samples that are kept: five minutes at one a second, more where not every second has one."""

MOST_BYTES = 16 << 20
"""Memory that they may take, roughly."""

_RECORD = 500
_COUNT = 40
"""Bytes of a record, and of one count in it, roughly."""


class History:
    """A ring of samples, each known by its number. Records that did not change are shared.

    Added to by one thread, read by others. The counts of single CPUs are left out: they are most
    of a sample, and those of the last reading of all interrupts are in its snapshot.
    """

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._samples: deque[tuple[Sample, int]] = deque()
        self._bytes = 0
        self._added = 0
        self.newest: Sample | None = None
        """The last one that was added, complete."""
        self._lock = threading.Lock()

    @property
    def last(self) -> int:
        """The number of the newest sample; -1 before there is one."""
        return self._added - 1

    @property
    def first(self) -> int:
        """The number of the oldest sample that is still here."""
        return self._added - len(self._samples)

    def add(self, sample: Sample) -> None:
        """Remember a sample, and forget the oldest ones beyond the bounds."""
        self.newest = sample
        sample = replace(sample, per_cpu={}, cpu_rates={})
        with self._lock:
            before, weight = self._samples[-1] if self._samples else (None, 0)
            if before is not None and _is_same_moment(before, sample):
                self._samples[-1] = replace(sample, at=before.at), weight
                return
            if before is not None and not before.complete:
                # Half a reading is no past to go back to, and shares little with the whole one.
                self._samples.pop()
                self._added -= 1
                self._bytes -= weight
                before = self._samples[-1][0] if self._samples else None
            weight = _weight(sample, before)
            self._samples.append((sample, weight))
            self._added += 1
            self._bytes += weight
            while len(self._samples) > self._most or (
                self._bytes > self._most_bytes and len(self._samples) > 1
            ):
                self._bytes -= self._samples.popleft()[1]

    def sample(self, number: int) -> tuple[int, Sample]:
        """The sample of this number, or the nearest one that is here; with its own number."""
        with self._lock:
            number = min(max(number, self.first), self.last)
            return number, self._samples[number - self.first][0]

    def eventful(self, number: int, step: int) -> int | None:
        """The nearest sample before (`step` -1) or after (1) one in which something happened."""
        with self._lock:
            number = max(number, self.first) + step
            while self.first < number <= self.last:
                index = number - self.first
                now, before = self._samples[index][0], self._samples[index - 1][0]
                if now.happenings[-1:] != before.happenings[-1:]:
                    return number
                number += step
        return None


class Playhead:
    """The moment that the screen shows: the newest one, or one that it is held at.

    Belongs to the thread of the screen; `show` is called there with each sample that is to be
    shown instead of the newest.
    """

    show: Callable[[Sample], None]

    def __init__(self, history: History) -> None:
        self._history = history
        self._number: int | None = None
        self._at = self._since = 0.0
        self.show = _to_nobody

    @property
    def frozen(self) -> bool:
        """Whether samples that are newly read are not to be shown."""
        return self._number is not None

    @property
    def paused(self) -> bool:
        """Whether time stands still on the screen."""
        return self.frozen

    def state(self) -> str:
        """How far the screen is behind, in words; nothing where it is not."""
        if self._number is None:
            return ""
        return f"PAUSED at {clock(self._at)}, {max(time.time() - self._since, 0):.0f} s behind"

    def toggle(self) -> None:
        """Freeze what is shown, or show the newest again."""
        newest = self._history.newest
        if self._number is not None:
            self._number = None
        elif newest is not None:
            self._number = self._history.last
            # Behind begins now: until now this was the newest.
            self._at = self._since = time.time()
        if newest is not None:
            self.show(newest)

    def step(self, count: int) -> bool:
        """Freeze so many samples later, or earlier; False where there is none."""
        return self._go_to(self._here + count)

    def leap(self, step: int) -> bool:
        """Freeze where something happened next (1) or last (-1); False where there is nothing."""
        number = self._history.eventful(self._here, step)
        return number is not None and self._go_to(number)

    @property
    def _here(self) -> int:
        """The number of what is shown; of the oldest where that is forgotten by now."""
        number = self._history.last if self._number is None else self._number
        return max(number, self._history.first)

    def _go_to(self, number: int) -> bool:
        if not self._history.first <= number <= self._history.last:
            return False
        self._number, sample = self._history.sample(number)
        self._at = self._since = sample.at
        self.show(sample)
        return True


def _to_nobody(_sample: Sample) -> None:
    """There is no screen yet."""


def _is_same_moment(before: Sample, now: Sample) -> bool:
    """Whether nothing is new but what was read for a selection."""
    return (
        now.snapshot is before.snapshot
        and now.counters.latest is before.counters.latest
        and now.happenings == before.happenings
    )


def _weight(sample: Sample, before: Sample | None) -> int:
    """The bytes that a sample takes beside the one before it, roughly."""
    weight = _RECORD
    latest = sample.counters.latest
    if latest is not None:
        weight += 8 * len(latest[1])
    if before is not None and before.snapshot is sample.snapshot:
        return weight
    for part in KEYS:
        old = _records(before.snapshot, part) if before is not None else ()
        new = _records(sample.snapshot, part)
        if new is not old:
            known = set(map(id, old))
            weight += 8 * len(new) + sum(_size(one) for one in new if id(one) not in known)
    return weight


def _records(snapshot: Snapshot, part: str) -> tuple[Record, ...]:
    records: tuple[Record, ...] = getattr(snapshot, part)
    return records


def _size(record: Record) -> int:
    return _RECORD + (_COUNT * len(record.per_cpu) if isinstance(record, Interrupt) else 0)
