"""The console in a terminal of a real kernel, while that kernel changes under it."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING

import pytest

from benchmarks.ttybench import Emulator
from tests.guest.conftest import EVERY_KERNEL
from tests.guest.topologies import EDU, PLUGGED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.guest.guest import Guest

pytestmark = [
    pytest.mark.guest,
    pytest.mark.parametrize("guest", EVERY_KERNEL, indirect=True, ids="-".join),
]

SIZE = (120, 120)
PATIENCE = 60.0


class Console:
    """The program in a pty of the guest, its screen drawn here."""

    def __init__(self, guest: Guest, interval: float) -> None:
        self.job = guest.start(
            guest.program, "--interval", str(interval), terminal=SIZE, TERM="xterm-256color"
        )
        self._guest = guest
        self._screen = Emulator(*SIZE)
        self._drawn = 0

    @property
    def text(self) -> str:
        """What stands on the screen now."""
        out = self.job.out
        self._screen.feed(out[self._drawn :])
        self._drawn = len(out)
        return "\n".join(self._screen.screen.display)

    def wait_for(self, what: Callable[[str], bool], timeout: float = PATIENCE) -> None:
        """Wait until the screen is so."""
        if not self._guest.wait_until(lambda: what(self.text), timeout):
            raise self._guest.failed(f"the console did not come to show it:\n{self.text}")

    def wait_for_change(self) -> None:
        """Wait until something else is on the screen than now."""
        now = self.text
        self.wait_for(lambda text: text != now)

    def leftovers(self) -> list[str]:
        """What a program that has ended left switched on in the terminal."""
        assert self.text
        found = [] if self.job.restored else ["terminal attributes"]
        found += ["alternate screen"] if self._screen.alt else []
        modes = {1000: "mouse", 1002: "mouse", 1003: "mouse", 1004: "focus", 1006: "mouse",
                 2004: "paste", 2026: "sync", 2048: "resize"}  # fmt: skip
        found += [name for mode, name in modes.items() if self._screen.private.get(mode)]
        return found + ([] if self._screen.private.get(25, True) else ["cursor hidden"])


def is_in_tree(text: str) -> bool:
    return re.search(rf"^\W+{PLUGGED}\s", text, re.MULTILINE) is not None


@contextlib.contextmanager
def console(guest: Guest, interval: float = 1.0) -> Iterator[Console]:
    session = Console(guest, interval)
    try:
        session.wait_for(lambda text: "Inspector" in text)
        yield session
    finally:
        if session.job.status is None:
            session.job.kill()
            session.job.wait()


def test_it_shows_the_tree_and_leaves_a_clean_terminal(guest: Guest) -> None:
    with console(guest) as session:
        text = session.text
        assert "group 0" in text
        assert EDU in text
        assert guest.kernel.release in text
        session.job.type("q")
        assert session.job.wait().status == 0
        assert session.leftovers() == []


def test_a_hotplug_is_on_the_screen_within_two_intervals(guest: Guest) -> None:
    """From the plug itself, so with the time that the kernel takes to find the device.

    The interval is a long one because the machine is slow: emulated, a look at all devices takes a
    second, and another guest runs beside it.
    """
    interval = 5.0
    with console(guest, interval) as session:
        began = time.monotonic()
        guest.plug("edu", id="guest-of-honour", bus="vacant")
        try:
            session.wait_for(is_in_tree)
            assert time.monotonic() - began < 2 * interval
        finally:
            guest.pull("guest-of-honour")
        session.wait_for(lambda text: not is_in_tree(text) and f"{PLUGGED} is gone" in text)


def test_it_keeps_going_while_a_cpu_goes_away_and_comes_back(guest: Guest) -> None:
    online = "/sys/devices/system/cpu/cpu1/online"
    with console(guest) as session:
        for state in ("0", "1"):
            guest.write(online, state)
            for _ in range(3):  # Counters go on counting: what is shown is read anew.
                session.wait_for_change()
        assert session.job.status is None
        assert "group 0" in session.text
        session.job.type("q")
        assert session.job.wait().status == 0
        assert session.leftovers() == []
