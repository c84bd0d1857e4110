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


class Replayer:
    """A recording in the place of a Sampler. It is its own playhead.

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
        self._first = self._recording.first
        self._tape = Tape(
            self._recording.times(),
            [number - self._first for number in self._recording.eventful()],
            self._recording.end,
        )
        if at:
            self._tape.index = self._recording.number(at) - self._first
        self._plays = not at
        self._trouble = ""
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

    # -- as a Playhead -------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether it stands."""
        return not self._tape.playing

    def state(self) -> str:
        """Where it is, in words."""
        if self._trouble:
            return self._trouble
        doing = f"PLAYING x{self._tape.speed:g}" if self._tape.playing else "PAUSED"
        return f"{doing} at {clock(self._tape.times[self._tape.index])}"

    def toggle(self) -> None:
        """Stop, or play."""
        with self._moved():
            if self._tape.playing:
                self._tape.playing = False
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
        return self._tape.line(width)

    def seek(self, cell: int, width: int) -> None:
        """Go to a cell of that line."""
        with self._moved():
            self._tape.seek(self._tape.at_cell(cell, width), time.monotonic())

    # -- the thread ----------------------------------------------------------------------------

    @contextmanager
    def _moved(self) -> Iterator[None]:
        """Move the tape, and wake the thread that reads it."""
        with self._changed:
            yield
            self._changed.notify()

    def _run(self) -> None:
        index = self._next()
        while index is not None:
            try:
                sample = self._recording.sample(self._first + index)
            except (OSError, ValueError) as error:
                self._fail(sentence("replay", error))
            else:
                self._trouble = ""
                self._subscriber(sample)
            index = self._next(index)

    def _next(self, shown: int = -1) -> int | None:
        """Wait until another moment is to be shown; None when it is over."""
        with self._changed:
            while not self._stopped:
                if self._tape.index != shown:
                    return self._tape.index
                self._changed.wait(self._tape.wait(time.monotonic()))
                self._tape.advance(time.monotonic())
        return None

    def _fail(self, why: str) -> None:
        with self._changed:
            self._tape.playing = False
            self._trouble = why


def _to_nobody(_sample: Sample) -> None:
    """There is no screen yet."""
