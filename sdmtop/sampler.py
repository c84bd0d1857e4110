"""Runs a Collector in a thread of its own, and notices when a read does not return.

The thread is a daemon and never joined: a read of sysfs can hang for good. `watch`, called from
outside by whoever shows the result, finds such a read, leaves its thread behind, and starts
another that keeps off the path until it answers.
"""

import os
import select
import threading
import time
from collections.abc import Callable

from sdmtop.backends.base import Events, Host
from sdmtop.collector import Collector, Focus, Sample
from sdmtop.errors import sentence
from sdmtop.history import History, Playhead
from sdmtop.model import Record
from sdmtop.readers.names import SHARED_NAMES, Names
from sdmtop.text import fact
from sdmtop.timeline import Timeline

DEADLINE = 2.0
"""Seconds that one read may take before it counts as hung."""

MOST_HUNG = 8
"""After so many hung reads no new thread is started: each has cost one, and its memory."""

RECOVERY = 2.0
"""Seconds to wait after a failure of our own before reading begins anew."""

_SETTLE = 0.1
"""Seconds to wait after a uevent for the rest of its chain: a bind sends several."""


class Stall(Record, frozen=True):
    """Reads that do not return: their paths, and for how many seconds the oldest has hung."""

    paths: tuple[str, ...]
    seconds: float


class Sampler:
    """Keeps a Sample of a host up to date, and makes a new one only when something has changed."""

    def __init__(
        self,
        host: Host,
        *,
        interval: float = 1.0,
        names: Names | None = None,
    ) -> None:
        self.host = host
        self.interval = interval
        self.timeline = Timeline()
        self.history = History()
        self.playhead = Playhead(self.history)
        self._latest: Sample | None = None
        self._subscriber: Callable[[Sample], None] | None = None
        self._names = names or SHARED_NAMES
        self._generation = 0
        self._focus = Focus()
        self._hurry: threading.Event | None = None
        """Set once all has been read that is polled; None where nobody waits for the next tick."""
        self._busy = False
        self._suspect = ("", 0.0)
        self._hung: dict[int, tuple[str, float]] = {}
        """By generation of the thread that hangs: the path, and since when."""
        self._lock = threading.Lock()
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def start(self) -> None:
        """Begin to read."""
        self._generation += 1
        self._busy = False
        threading.Thread(
            target=self._run, args=(self._generation,), name="sdmtop-sampler", daemon=True
        ).start()

    def subscribe(self, subscriber: Callable[[Sample], None]) -> None:
        """Have each new Sample handed over, in the reading thread; the latest one at once."""
        with self._lock:
            self._subscriber = subscriber
            latest = self._latest
        if latest is not None:
            subscriber(latest)

    def stop(self) -> None:
        """Read no more. Does not wait for the thread, which may hang in the kernel."""
        self._generation += 1
        self._wake()

    def look_at(self, focus: Focus) -> None:
        """Read this as well, now and at every tick."""
        if focus != self._focus:
            self._focus = focus
            self._wake()

    def hurry(self) -> threading.Event:
        """Read everything that is polled at once: something was changed.

        The event is set when that has been read and handed over; if a read hangs, never.
        """
        with self._lock:
            self._hurry = done = self._hurry or threading.Event()
        self._wake()
        return done

    def watch(self) -> Stall | None:
        """The watchdog, to be called every few seconds; the reads that hang now, if any."""
        now = time.monotonic()
        path = self.host.reading if self._busy else ""
        if path != self._suspect[0]:
            self._suspect = (path, now)
        elif path and now - self._suspect[1] >= DEADLINE and self._generation not in self._hung:
            self._leave_behind(path)
            self._suspect = ("", now)
        with self._lock:
            if not self._hung:
                return None
            paths = tuple(fact(path) for path, _ in sorted(self._hung.values()))
            return Stall(paths=paths, seconds=now - min(since for _, since in self._hung.values()))

    @property
    def suspects(self) -> bool:
        """Whether the watchdog has seen a read under way, and should look again in `DEADLINE`."""
        return bool(self._suspect[0] or self._hung)

    def _leave_behind(self, path: str) -> None:
        """Let the thread that reads this path hang, and go on with another."""
        with self._lock:
            self._hung[self._generation] = path, self._suspect[1]
            self.host.avoid = frozenset(path for path, _ in self._hung.values())
        if len(self._hung) < MOST_HUNG:
            self.timeline.add("trouble", None, f"{fact(path)} does not answer: left alone")
            self.start()
        else:
            self.timeline.add("trouble", None, "too many reads hang: nothing more is read")

    def _publish(self, sample: Sample) -> None:
        self.history.add(sample)
        with self._lock:
            self._latest = sample
            subscriber = self._subscriber
        if subscriber is not None:
            subscriber(sample)

    def _wake(self) -> None:
        try:
            os.write(self._waker, b"x")
        except BlockingIOError:
            return  # The pipe is full of wake-ups already.

    def _run(self, generation: int) -> None:
        """One generation of the thread; when it has hung and returns, it is no longer the one."""
        collector = Collector(self.host, self.timeline, names=self._names)
        events: Events | None = None
        try:
            events = self.host.events()
            self._collect(generation, collector, events)
        except Exception as error:  # noqa: BLE001 - told on the screen, and begun anew
            self._busy = False
            if self._is_current(generation):
                self.timeline.add("trouble", None, sentence("reading failed, begun anew", error))
                time.sleep(RECOVERY)
        finally:
            collector.close()
            if events is not None:
                events.close()
        if self._is_current(generation):
            self.start()

    def _collect(self, generation: int, collector: Collector, events: Events | None) -> None:
        """Read, publish, sleep, until another generation takes over."""
        self._busy = True
        collector.read_outline()
        if not collector.small and self._is_current(generation):
            self._publish(collector.sample())
        collector.read_rest(time.monotonic())
        collector.tick(time.monotonic(), (), self._focus)
        changed: bool = True
        due = time.monotonic() + self.interval
        hurry: threading.Event | None = None
        while self._is_current(generation):
            if changed:
                self._publish(collector.sample())
            if hurry is not None:
                hurry.set()
            self._busy = False
            arrived = self._wait(events, due)
            now = time.monotonic()
            fresh = events.drain() if events is not None and arrived else ()
            self._busy = True
            with self._lock:
                hurry, self._hurry = self._hurry, None
            if hurry is not None:
                collector.hurry()
                due = now
            if now < due:
                changed = collector.answer(fresh, self._focus)
            else:
                due = now + self.interval
                changed = collector.tick(now, fresh, self._focus)

    def _is_current(self, generation: int) -> bool:
        with self._lock:
            # If this thread was taken for hung in a read, that read has now returned.
            if self._hung.pop(generation, None) is not None:
                self.host.avoid = frozenset(path for path, _ in self._hung.values())
        return generation == self._generation

    def _wait(self, events: Events | None, due: float) -> bool:
        """Sleep until the next tick, a wake-up or a uevent; whether there was a uevent."""
        # Made anew each time: after an overflow the events come from another descriptor.
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        if events is not None:
            poll.register(events.fileno(), select.POLLIN)
        ready = [fd for fd, _ in poll.poll(max(0.0, due - time.monotonic()) * 1000)]
        if self._woken in ready:
            os.read(self._woken, 4096)
        if events is None or events.fileno() not in ready:
            return False
        time.sleep(_SETTLE)
        return True
