"""Plays a recording: hands out its samples as a Sampler does, at the times that they were made.

The thread of the screen moves the tape; the recording is read in a thread of its own.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sdmtop.backends.tree import TreeHost
from sdmtop.collector import Focus, Sample
from sdmtop.errors import sentence
from sdmtop.recording import Recording, split_url
from sdmtop.tape import Tape
from sdmtop.timeline import Timeline, clock

_LOOK = 1.0
"""Seconds between two looks for what a recorder has added."""

_SILENCE = 10.0
"""Seconds after which a recorder that adds nothing is there no more: it writes every two."""


class Replayer:
    """A recording in the place of a Sampler. It is its own playhead.

    A recording that is being written grows while it is played; played to its end, it is followed.

    `url` is `replay:FILE`, and may end with `?at=TIME`, to begin there and not to play. Raises
    `UsageError` for what is no time, `OSError` and `ValueError` (a sentence) for a file that
    cannot be played.
    """

    frozen = False
    """Every sample that comes is to be shown."""

    interval = 0.0
    """It reads nothing at intervals."""

    def __init__(self, url: str) -> None:
        path, at = split_url(url)
        self._recording = Recording(path)
        self._version = self._recording.version
        found = self._recording.extent()
        self._first = found.first
        self._tape = Tape(found.times, [one - found.first for one in found.eventful], found.end)
        if at:
            self._tape.index = self._recording.number(at) - self._first
        self._plays = not at
        self._grown = float("-inf")
        self._trouble = ""
        self._note = ""
        self._stopped = False
        self._changed = threading.Condition()
        self._subscriber: Callable[[Sample], None] = _to_nobody
        self.playhead = self
        self.timeline = Timeline()
        self.host = TreeHost({}, url=url)
        self.host.why_frozen = "a recording is only looked at"
        self.show = _to_nobody

    # -- as a Sampler --------------------------------------------------------------------------

    def subscribe(self, subscriber: Callable[[Sample], None]) -> None:
        """Have each sample handed over, in the reading thread."""
        self._subscriber = subscriber

    def start(self) -> None:
        """Begin to play."""
        if self._plays:
            self._tape.play(time.monotonic())
        threading.Thread(target=self._run, name="sdmtop-replay", daemon=True).start()

    def stop(self) -> None:
        """Read no more."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def look_at(self, _focus: Focus) -> None:
        """Nothing more can be read than was recorded."""

    def watch(self) -> None:
        """No read of a recording is expected to hang."""

    suspects = False

    # -- as a Playhead -------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether it stands."""
        return not self._tape.playing and not self._follows

    def state(self) -> str:
        """Where it is, in words."""
        if self._trouble:
            return self._trouble
        with self._changed:
            at = clock(self._tape.times[self._tape.index])
            if self._tape.playing:
                return f"PLAYING x{self._tape.speed:g} at {at}{self._note}"
        return f"{'FOLLOWING' if self._follows else 'PAUSED'} at {at}{self._note}"

    def toggle(self) -> None:
        """Stop, or play."""
        with self._moved():
            if not self.paused:
                self._tape.stop()
            else:
                self._tape.play(time.monotonic())

    def step(self, count: int) -> bool:
        """See `Tape.step`."""
        with self._moved():
            return self._tape.step(count)

    def leap(self, step: int) -> bool:
        """See `Tape.leap`."""
        with self._moved():
            return self._tape.leap(step)

    def skip(self, step: int) -> None:
        """See `Tape.skip`."""
        with self._moved():
            self._tape.skip(step, time.monotonic())

    def faster(self, step: int) -> bool:
        """See `Tape.faster`."""
        with self._moved():
            return self._tape.faster(step, time.monotonic())

    def line(self, width: int) -> str:
        """See `Tape.line`."""
        with self._changed:
            return self._tape.line(width)

    def seek(self, cell: int, width: int) -> None:
        """Go to a cell of that line."""
        with self._moved():
            self._tape.seek(self._tape.at_cell(cell, width), time.monotonic())

    @property
    def _follows(self) -> bool:
        """Whether it stands at the end of what somebody is still writing, and goes on with that."""
        return self._tape.at_end and time.monotonic() - self._grown < _SILENCE

    # -- the thread ----------------------------------------------------------------------------

    @contextmanager
    def _moved(self) -> Iterator[None]:
        """Move the tape, and wake the thread that reads it."""
        with self._changed:
            yield
            self._changed.notify()

    def _run(self) -> None:
        shown = -1
        while not self._stopped:
            number = self._first + self._tape.index
            try:
                if number != shown:
                    self._subscriber(self._recording.sample(number))
                    self._trouble = ""
                self._grow()
            except (OSError, ValueError) as error:
                self._fail(sentence("replay", error))
            shown = number
            self._wait(shown)

    def _wait(self, shown: int) -> None:
        """Until another moment is to be shown, or it is time to look for more of them."""
        look = time.monotonic() + _LOOK
        with self._changed:
            while not self._stopped and self._first + self._tape.index == shown:
                now = time.monotonic()
                if now >= look:
                    return
                self._changed.wait(min(self._tape.wait(now) or _LOOK, look - now))
                self._tape.advance(time.monotonic())

    def _grow(self) -> None:
        """Take what a recorder has added and deleted since the last look."""
        # What was opened can be played to its end, but nobody adds to it.
        self._note = "" if self._recording.is_there else ", its file is gone"
        version = self._recording.version
        if version == self._version:
            return
        self._version, self._grown = version, time.monotonic()
        known = len(self._tape.times)
        found = self._recording.extent(self._first + known - 1)
        with self._changed:
            self._tape.grow(
                found.times,
                [one - found.first for one in found.eventful],
                found.end,
                dropped=min(found.first - self._first, known),
            )
            self._first = found.first

    def _fail(self, why: str) -> None:
        with self._changed:
            self._tape.stop()
            self._trouble = why


def _to_nobody(_sample: Sample) -> None:
    """There is no screen yet."""
