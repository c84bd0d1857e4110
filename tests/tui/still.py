"""A console whose samples come when a test says so: no thread, no clock."""

import threading
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.events import Key
from textual.keys import key_to_character
from textual.pilot import Pilot

from sdmtop.backends.base import Host
from sdmtop.collector import Collector, Focus
from sdmtop.readers.names import Names
from sdmtop.sampler import Sampler, Stall
from sdmtop.tui.app import Console


class StillSampler(Sampler):
    """Reads in the caller's thread, once at the start and at each `tick`."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        names = Names((), hwdb=False)
        self.collector = Collector(host, self.timeline, names=names)
        self.collector.read_outline()
        self.collector.read_rest(0.0)
        self.stall: Stall | None = None
        self.now = 0.0
        self._events = host.events()
        self.stopped = False

    def start(self) -> None:
        """Hand over the one sample that there is."""
        self._publish(self.collector.sample())

    def look_at(self, focus: Focus) -> None:
        """Read at once what is looked at."""
        if focus != self._focus:
            self._focus = focus
            if self.collector.answer((), focus):
                self._publish(self.collector.sample())

    def tick(self, seconds: float = 1.0) -> None:
        """Let time pass, and read what is due."""
        self.now += seconds
        events = self._events.drain() if self._events is not None else ()
        if self.collector.tick(self.now, events, self._focus):
            self._publish(self.collector.sample())

    def hurry(self) -> threading.Event:
        """Read at once."""
        self.collector.hurry()
        self.tick()
        done = threading.Event()
        done.set()
        return done

    def watch(self) -> Stall | None:
        """The stall that the test has set."""
        return self.stall

    def stop(self) -> None:
        """Remember that the console let go."""
        self.stopped = True


def console(host: Host) -> Console:
    """A console on this host; its sampler is a `StillSampler`."""
    return Console(StillSampler(host))


async def burst(pilot: Pilot[None], *keys: str) -> None:
    """Press keys so fast that all have come before the first is obeyed, unlike `press`."""
    for key in keys:
        pilot.app.post_message(Key(key, key_to_character(key)))
    await pilot.pause()
    await pilot.pause()  # What has been queued by messages of the screens themselves.


async def until(pilot: Pilot[None], come: Callable[[], bool]) -> None:
    """Let the session's thread work; the runner of the tests ends what never comes."""
    while not come():
        await pilot.pause(0.01)


def screen_lines(app: App[Any]) -> list[str]:
    """What stands on the whole screen, borders and margins included."""
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]
