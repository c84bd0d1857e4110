"""One test on one target: what it works with, what it has seen, and how it ends."""

import errno
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NoReturn, Protocol, TypeVar

from sdmtop.backends.base import Host, Signal
from sdmtop.model import Device, IommuGroup, Sdmdev, Snapshot
from sdmtop.readers.interrupts import InterruptTable, Row
from sdmtop.readers.sysfs import is_absent
from sdmtop.selftests.records import Cancelled, Evidence, Failed, Skipped

_SLICE = 0.1
"""Seconds after which a wait looks whether it was cancelled."""

_SHOWN_BYTES = 16


class _Closing(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=_Closing)
T = TypeVar("T")


class Trial:
    """Handed to a test. `snapshot` is the host as it is before it; `lent` are queues made for it.

    What is entered with `closing` or called with `finally_` is undone in reverse order when the
    test has ended, however it ends.
    """

    def __init__(
        self,
        host: Host,
        snapshot: Snapshot,
        target: str,
        *,
        say: Callable[[str], None] = lambda _step: None,
        stop: threading.Event | None = None,
        lent: tuple[str, ...] = (),
    ) -> None:
        self.host = host
        self.snapshot = snapshot
        self.target = target
        self.lent = lent
        self.evidence: list[Evidence] = []
        self.step = "starting"
        self._say = say
        self._stop = stop or threading.Event()
        self._cleanup = ExitStack()
        self._ends: list[tuple[Signal, str]] = []

    # -- how it goes ---------------------------------------------------------------------------

    def say(self, step: str) -> None:
        """What the test does next. Raises `Cancelled` if it need not go on."""
        self.step = step
        self._say(step)
        if self._stop.is_set():
            raise Cancelled
        for signal, why in self._ends:
            if signal.wait(0):
                self.skip(why)

    def end_on(self, signal: Signal, why: str) -> None:
        """End at the next step after the signal was raised."""
        self._ends.append((signal, why))

    def skip(self, reason: str) -> NoReturn:
        """End: it cannot be made here."""
        raise Skipped(reason)

    def fail(self, reason: str) -> NoReturn:
        """End: what was seen must not be."""
        raise Failed(reason)

    # -- what it has seen ----------------------------------------------------------------------

    def note(self, what: str, got: object, address: int | None = None) -> None:
        """A fact that decides nothing by itself."""
        self.evidence.append(Evidence(what, None, shown(got), _hex(address)))

    def expect(
        self,
        what: str,
        expected: T,
        got: T,
        address: int | None = None,
        show: Callable[[T], str] | None = None,
    ) -> None:
        """Keep both as evidence; fail if they differ. `show` words a value."""
        words = show or shown
        self.evidence.append(Evidence(what, words(expected), words(got), _hex(address)))
        if expected != got:
            place = f" at {address:#x}" if address is not None else ""
            self.fail(f"{what}{place}: expected {words(expected)}, got {words(got)}")

    def holds(self, what: str, got: bool, *, wanted: bool = True) -> None:
        """Keep a yes or no as evidence; fail if it is not the one that is wanted."""
        self.expect(what, _yes(wanted), _yes(got))

    def refused(
        self, what: str, allowed: tuple[int, ...], call: Callable[..., object], *arguments: Any
    ) -> None:
        """Make a call that the kernel must refuse with one of these errnos."""
        wanted = " or ".join(errno.errorcode[number] for number in allowed)
        before, self.step = self.step, what  # It is what is told should the call hang.
        try:
            call(*arguments)
        except OSError as error:
            name = errno.errorcode.get(error.errno or 0, str(error.errno))
            self.evidence.append(Evidence(what, wanted, name, errno=name))
            if error.errno not in allowed:
                self.fail(f"{what}: expected {wanted}, got {name} ({error.strerror})")
            return
        finally:
            self.step = before
        self.evidence.append(Evidence(what, wanted, "accepted"))
        self.fail(f"{what}: expected {wanted}, and it was accepted")

    def wait(self, signal: Signal, seconds: float) -> int:
        """How often the signal was raised; 0 when nothing has come in time."""
        deadline = self.host.now() + seconds
        while True:
            count = signal.wait(max(0.0, min(_SLICE, deadline - self.host.now())))
            if count or self.host.now() >= deadline:
                return count
            self.say(self.step)

    def until(self, come: Callable[[], bool], seconds: float, every: float = 0.0001) -> bool:
        """Wait for something to be true; False when the time is over. Pauses grow to 50 ms."""
        deadline = self.host.now() + seconds
        while not come():
            if self.host.now() >= deadline:
                return False
            self.host.sleep(every)
            every = min(every * 1.5, 0.05)
            self.say(self.step)
        return True

    def is_there(self, path: str) -> bool:
        """Whether the host has something at a path. Raises `OSError` where it cannot be told."""
        try:
            self.host.mode(path)
        except OSError as error:
            if is_absent(error):
                return False
            raise
        return True

    def interrupts(self, chosen: Callable[[Row], bool]) -> int | None:
        """How many have come by now on the lines that are chosen; None if none is."""
        data = self.host.read("/proc/interrupts", 16 << 20)
        counts = [sum(row.per_cpu) for row in InterruptTable().parse(data) if chosen(row)]
        return sum(counts) if counts else None

    def samples(
        self,
        count: int,
        act: Callable[[], object],
        then: Callable[[], object] = lambda: None,
    ) -> list[float]:
        """The seconds that each of so many calls takes; `then` comes after each, unmeasured."""
        taken = []
        for _ in range(count):
            began = self.host.now()
            act()
            taken.append(max(self.host.now() - began, 1e-9))
            then()
        return taken

    # -- what it changes -----------------------------------------------------------------------

    def write(self, path: str, text: str) -> None:
        """Write to a file of the kernel's, in a process of its own, which is waited for."""
        write = self.host.write(path, text.encode())
        while not write.wait(1.0):  # The limit of the test is that of the write.
            pass
        write.result()

    # -- what must be undone -------------------------------------------------------------------

    def closing(self, thing: C) -> C:
        """Close it at the end."""
        self._cleanup.callback(thing.close)
        return thing

    def finally_(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call this at the end."""
        self._cleanup.callback(call, *arguments)

    def clean_up(self) -> None:
        """Undo what is left to be undone; raises the first `OSError` of it, after all is tried."""
        self._cleanup.close()

    # -- what it is about ----------------------------------------------------------------------

    @property
    def device(self) -> Device:
        """The device that is the target."""
        return next(one for one in self.snapshot.devices if one.address == self.target)

    @property
    def group(self) -> IommuGroup:
        """The group of the device that is the target; skips where it has none."""
        number = self.device.group
        group = next((one for one in self.snapshot.groups if one.id == number), None)
        return group or self.skip("it is in no IOMMU group")

    @property
    def queue(self) -> Sdmdev:
        """The queue that is the target."""
        return next(one for one in self.snapshot.sdmdevs if one.id == self.target)


def shown(value: object) -> str:
    """A value as evidence."""
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        text = data[:_SHOWN_BYTES].hex(" ", 4)
        return text if len(data) <= _SHOWN_BYTES else f"{text} ... ({len(data)} bytes)"
    return str(value)


def plural(count: int, noun: str) -> str:
    """So many of them, in words."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def word(value: int) -> str:
    """A 32-bit register."""
    return f"{value:#010x}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _hex(address: int | None) -> str | None:
    return None if address is None else f"{address:#x}"
