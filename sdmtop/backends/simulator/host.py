"""The simulator as a host: the same paths, texts and errors as the running kernel's."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from sdmtop.backends.limits import PAGE, READ_LIMIT, SIDE_EFFECTS, refuse_side_effects
from sdmtop.backends.logs import ListedLog
from sdmtop.backends.simulator import processes
from sdmtop.backends.simulator.carried import Block
from sdmtop.backends.simulator.clock import Pace
from sdmtop.backends.simulator.completion import Completion, completed
from sdmtop.backends.simulator.crypto import Transform
from sdmtop.backends.simulator.filesystem import filesystem
from sdmtop.backends.simulator.kernel import Kernel
from sdmtop.backends.simulator.scenario import ScenarioError, read_scenario
from sdmtop.backends.simulator.syscalls import System
from sdmtop.backends.simulator.vfs import Device, Directory, File, Link, Node, error, walk
from sdmtop.backends.simulator.world import World
from sdmtop.backends.tree import KeptPaths
from sdmtop.errors import UsageError

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Sequence

    from sdmtop.backends.base import Algorithm, Events, Handle, Log, Memory, Write
    from sdmtop.backends.base import Signal as BaseSignal
    from sdmtop.backends.simulator.processes import Area, OpenFile, Process
    from sdmtop.backends.simulator.scenario import Fault, Scenario
    from sdmtop.model import Backend

SCENARIOS = Path(__file__).parent / "scenarios"
_MOST_BYTES = 1 << 24
_OPTIONS = ("seed", "at", "rate")
MOST_STEP = 86_400.0
"""Virtual seconds that are lived through at once: on a busy host an hour or more of real time."""
_FOR_EVER = 600.0
"""Virtual seconds after which a wait without a limit is given up, where time does not run."""
_PROMPT = 0.02
"""Real seconds after which a thread that waits looks at the clock again."""
_LEAST = 0.001
"""Real seconds that such a thread waits at least: the moment may be late that it waits for."""
_SLICE, _REST = 0.03, 0.01
"""Real seconds that a step takes at once, and those in between that it leaves to others."""


def open_simulator(rest: str) -> SimulatorHost:
    """The host of `sim:REST`: `NAME` or `FILE.toml`, and `?seed=N&at=SECONDS&rate=R` behind it.

    Raises `UsageError` for options that make no sense, `ValueError` for a scenario that is broken,
    `OSError` for one that cannot be read.
    """
    name, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    for key in options:
        if key not in _OPTIONS:
            raise UsageError(f"no such option of a simulated host: {key}; there are seed, at, rate")
    at = _number(options, "at", 0.0, MOST_STEP)
    # A moment that was asked for stands still, so that it is the same for everyone.
    rate = _number(options, "rate", 0.0 if "at" in options else 1.0)
    seed = options.get("seed", "0")
    if not seed.isdecimal():
        raise UsageError(f"{seed!r} is no seed: give a whole number")
    host = SimulatorHost(scenario_of(name or "default"), seed=int(seed), url=f"sim:{rest}")
    if "at" not in options:
        # It lives now: its log and our events have the same time of day.
        host.kernel.clock.booted = int(time.time())
    host.kernel.clock.advance(at)
    host.run(rate)
    return host


def scenario_names() -> list[str]:
    """The scenarios that come with this program."""
    return sorted(path.stem for path in SCENARIOS.glob("*.toml"))


def scenario_of(name: str) -> Scenario:
    """The scenario of a name, or in a file. Raises as `open_simulator`."""
    if name.endswith(".toml") or "/" in name:
        return read_scenario(_text_of(Path(name)), name)
    file = SCENARIOS / f"{name}.toml"
    known = scenario_names()
    if name not in known:
        raise UsageError(f"no such scenario: {name}; there are {', '.join(known)}")
    return read_scenario(_text_of(file), file.name)


def _text_of(file: Path) -> str:
    """The text of a scenario. Raises `ScenarioError` for what is no text, or too long for one."""
    if not stat.S_ISREG(file.stat().st_mode):
        raise ScenarioError(f"{file}: it is no file of text")
    with file.open("rb") as stream:
        data = stream.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ScenarioError(f"{file}: a scenario has {_MOST_BYTES >> 20} MiB at most")
    try:
        return data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScenarioError(f"{file}:{line}: it is no text in UTF-8") from error


def _number(options: dict[str, str], key: str, otherwise: float, most: float = 1e9) -> float:
    try:
        value = float(options.get(key, otherwise))
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise UsageError(f"{key} is no number of seconds from 0 to {most:.0f}")
    return value


class SimulatorHost:
    """A modelled kernel as a host. Without `run`, its time stands still until it is stepped.

    Safe to be called from several threads; the lock is never held while one of them waits.
    """

    backend: Backend = "simulator"
    taken_at: str | None = None

    def __init__(self, scenario: Scenario, *, seed: int = 0, url: str = "sim:") -> None:
        self.url = url
        self.reading = ""
        self.avoid: frozenset[str] = frozenset()
        self.disarmed: str | None = None
        self.kernel = Kernel(scenario, seed)
        self.root = filesystem(self.kernel)
        self.system = System(self.kernel, self.root)
        self.world = World(self.system)
        self._pace: Pace | None = None
        self._is_stepping = False
        self._runs = 0
        """How often somebody has said how time is to pass; a step that is under way ends then."""
        self._changed = threading.Condition(threading.RLock())
        self.world.start()

    def inject(self, fault: Fault) -> None:
        """Let something go wrong now. Raises `FaultError` (a sentence) for what cannot."""
        with self._changed:
            self._catch_up()
            self.world.faults.inject(fault)
            self._changed.notify_all()

    # -- time ------------------------------------------------------------------------------------

    def run(self, rate: float) -> None:
        """Let time pass by itself, `rate` virtual seconds a second; 0 lets it stand still."""
        with self._changed:
            self._catch_up()
            self._pace = Pace(self.kernel.clock.now, rate) if rate else None
            self._runs += 1
            self._changed.notify_all()

    @property
    def rate(self) -> float:
        """How fast time passes by itself."""
        return self._pace.rate if self._pace is not None else 0.0

    @property
    def is_behind(self) -> bool:
        """Whether this machine cannot let time pass so fast: it passes as fast as it can."""
        return self._pace is not None and self._pace.is_behind

    def step(self, seconds: float, working: Callable[[], None] = lambda: None) -> None:
        """Let that much time pass now. Others can look at the host meanwhile.

        `working` is called now and then; what it raises ends the step. Raises EBUSY during another
        step, and ECANCELED where `run` has ended this one.
        """
        with self._changed:
            if self._is_stepping:
                raise OSError(errno.EBUSY, "another step is under way")
            self._catch_up()
            clock, runs = self.kernel.clock, self._runs
            end = clock.now + seconds
            self.kernel.look_at_pages()
            self._is_stepping = True
            try:
                while not clock.advance(end, _SLICE):
                    self._changed.notify_all()
                    working()
                    self._changed.wait(_REST)
                    if self._runs != runs:
                        why = f"the step was ended at {clock.now:.1f} s"
                        raise OSError(errno.ECANCELED, why)
            finally:
                self._is_stepping = False
                if self._pace is not None:
                    self._pace.change(clock.now, self._pace.rate)
                self.kernel.look_at_pages()
                self._changed.notify_all()

    def now(self) -> float:
        """See `Host.now`."""
        with self._changed:
            self._catch_up()
            return self.kernel.clock.now

    def sleep(self, seconds: float) -> None:
        """See `Host.sleep`."""
        self.wait(lambda: False, seconds)

    def wait(self, ready: Callable[[], bool], seconds: float | None) -> bool:
        """Let time pass until something is so, or `seconds` are over; whether it is so."""
        with self._changed:
            self._catch_up()
            clock = self.kernel.clock
            end = clock.now + (_FOR_EVER if seconds is None else max(0.0, seconds))
            while not ready():
                due = min(end, end if clock.next is None else clock.next)
                if self._pace is not None:
                    self._let_pass(self._pace, due)
                else:
                    self._advance(due)
                if clock.now < end or ready():
                    continue
                if seconds is not None:
                    return False
                if self._pace is None:
                    raise OSError(errno.EDEADLK, "nothing happens that would end this wait")
                end = clock.now + _FOR_EVER
            return True

    def _let_pass(self, pace: Pace, due: float) -> None:
        """Wait, without the lock, for a moment of virtual time, or for another thread's doing."""
        self._changed.wait(min(max(pace.ahead(due), _LEAST), _PROMPT))
        self._catch_up()

    def _catch_up(self) -> None:
        """Let happen what has become due since we looked last."""
        if self._pace is not None and not self._is_stepping:
            self.kernel.look_at_pages()
            self._pace.catch_up(self.kernel.clock)
            self._changed.notify_all()
        self.kernel.look_at_pages()

    def _advance(self, until: float) -> None:
        self.kernel.look_at_pages()
        self.kernel.clock.advance(until)
        self.kernel.look_at_pages()
        self._changed.notify_all()

    # -- reading ---------------------------------------------------------------------------------

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        """See `Host.read`."""
        refuse_side_effects(path)
        with self._changed:
            return self._content(path)[:limit]

    def read_into(self, path: str, buffer: bytearray, limit: int) -> int:
        """See `Host.read_into`."""
        data = self.read(path, limit)
        buffer[: len(data)] = data
        return len(data)

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """See `Host.read_at`."""
        refuse_side_effects(path)
        if offset < 0 or size < 0:
            raise error(errno.EINVAL, path)
        with self._changed:
            return self._content(path)[offset : offset + size]

    def look(
        self, directory: str, files: Sequence[str], links: Sequence[str] = ()
    ) -> list[bytes | OSError]:
        """See `Host.look`."""
        if not SIDE_EFFECTS.isdisjoint(files):
            for name in files:
                refuse_side_effects(f"{directory}/{name}")
        found: list[bytes | OSError] = []
        with self._changed:
            place = self._directory(directory)
            for name in files:
                try:
                    found.append(self._look(place, directory, name))
                except OSError as failure:
                    failure.__traceback__ = None
                    found.append(failure)
            for name in links:
                node = place.get(name)
                if isinstance(node, Link):
                    found.append(os.fsencode(node.text))
                else:
                    number = errno.ENOENT if node is None else errno.EINVAL
                    found.append(error(number, f"{directory}/{name}"))
        return found

    def _look(self, place: Directory, directory: str, name: str) -> bytes:
        path = f"{directory}/{name}"
        node = place.get(name)
        if node is None:
            raise error(errno.ENOENT, path)
        if isinstance(node, Link):
            return self._content(path)[:PAGE]
        if path in self.avoid:
            raise error(errno.ETIMEDOUT, path)
        self.reading = path
        return self.show(node, path)[:PAGE]

    def list(self, path: str) -> list[str]:
        """See `Host.list`."""
        with self._changed:
            return [*self._directory(path).names()]

    def readlink(self, path: str) -> str:
        """See `Host.readlink`."""
        with self._changed:
            node = self._enter(path, follow=False)
            if not isinstance(node, Link):
                raise error(errno.EINVAL, path)
            return node.text

    def mode(self, path: str) -> int:
        """See `Host.mode`."""
        with self._changed:
            return self._enter(path, follow=False).mode

    def keep(self, paths: Sequence[str], limit: int = PAGE) -> KeptPaths:
        """See `Host.keep`."""
        return KeptPaths(self, paths, limit)

    def device_number(self, path: str) -> int:
        """See `Host.device_number`."""
        with self._changed:
            node = self._enter(path, follow=False)
            if isinstance(node, Link) and node.number is not None:
                return node.number
            node = walk(self.root, path)
            return node.number if isinstance(node, Device | Block) else 0

    def kernel_log(self) -> builtins.list[bytes]:
        """See `Host.kernel_log`."""
        with self._changed:
            self._catch_up()
            return self.kernel.log.records()

    def follow_log(self) -> Log:
        """See `Host.follow_log`."""
        return ListedLog(self.kernel_log)

    def events(self) -> Events | None:
        """See `Host.events`."""
        with self._changed:
            return self.kernel.uevents.listen()

    def _enter(self, path: str, *, follow: bool = True) -> Node:
        self.reading = path
        if path in self.avoid:
            raise error(errno.ETIMEDOUT, path)
        self._catch_up()
        return walk(self.root, path, follow=follow)

    def _directory(self, path: str) -> Directory:
        node = self._enter(path)
        if not isinstance(node, Directory):
            raise error(errno.ENOTDIR, path)
        return node

    def _content(self, path: str) -> bytes:
        return self.show(self._enter(path), path)

    @staticmethod
    def show(node: Node, path: str) -> bytes:
        """The text of what is at a path. Raises ETIMEDOUT where a reader would hang."""
        if isinstance(node, Directory):
            raise error(errno.EISDIR, path)
        if not isinstance(node, File):
            raise error(errno.ENXIO, path)
        if node.show is None:
            raise error(errno.EACCES, path)
        lock = node.locked() if node.locked is not None else None
        if lock is not None:
            # On a real kernel the reader would now sleep in state D (kernel-abi rule 4).
            raise OSError(errno.ETIMEDOUT, f"reading it would hang: {lock.why}", path)
        try:
            text = node.show()
        except OSError as failure:
            raise OSError(failure.errno, failure.strerror, path) from None
        return text if isinstance(text, bytes) else os.fsencode(text)

    # -- changing --------------------------------------------------------------------------------

    def refusal(self) -> str | None:
        """See `Host.refusal`: nobody is refused anything here but by their own wish."""
        return self.disarmed

    def _refuse_if_disarmed(self, what: str) -> None:
        if self.disarmed is not None:
            raise OSError(errno.EROFS, self.disarmed, what)

    def write(self, path: str, data: bytes) -> Write:
        """See `Host.write`."""
        self._refuse_if_disarmed(path)
        with self._changed:
            child = self.kernel.processes.fork()
            self._catch_up()
            outcome = self._attempt(lambda: self.system.write(path, data))
            return SimulatedWrite(self, path, child, outcome)

    def load_module(self, name: str) -> Write:
        """See `Host.load_module`."""
        self._refuse_if_disarmed(name)
        with self._changed:
            self._catch_up()
            child = self.kernel.processes.fork()
            outcome = completed()
            if not self.kernel.load(name):
                outcome = Completion()
                outcome.fail(OSError(errno.ENOENT, "modprobe cannot load it"))
            return SimulatedWrite(self, name, child, outcome)

    @staticmethod
    def _attempt(action: Callable[[], Completion]) -> Completion:
        """What came of a call: an error is an outcome, too."""
        try:
            return action()
        except OSError as failure:
            outcome = Completion()
            outcome.fail(failure)
            return outcome

    def open(self, path: str) -> Handle:
        """See `Host.open`."""
        self._refuse_if_disarmed(path)
        own = self.kernel.processes.own
        try:
            number = self.call(lambda: self.system.open(own, path))
        except OSError as failure:
            raise OSError(failure.errno, failure.strerror, path) from None
        return SimulatedHandle(self, own, number)

    def memory(self, size: int) -> Memory:
        """See `Host.memory`."""
        with self._changed:
            own = self.kernel.processes.own
            return SimulatedMemory(self, own, own.memory.map(memoryview(bytearray(size))))

    def signal(self) -> BaseSignal:
        """See `Host.signal`."""
        with self._changed:
            own = self.kernel.processes.own
            return SimulatedSignal(self, own)

    def algorithm(self, kind: str, driver: str, key: bytes = b"") -> Algorithm:
        """See `Host.algorithm`."""
        with self._changed:
            return SimulatedAlgorithm(self, Transform(self.kernel, kind, driver, key))

    def close(self) -> None:
        """See `Host.close`: our process ends, and gives back all it had."""
        with self._changed:
            self.kernel.end(self.kernel.processes.own)

    def call(self, action: Callable[[], int | Completion]) -> int:
        """A system call of our process: it may have to sleep, and time passes meanwhile."""
        with self._changed:
            self._catch_up()
            answer = action()
            if isinstance(answer, int):
                return answer
        self.wait(lambda: answer.done, None)
        return answer.result()

    @property
    def lock(self) -> threading.Condition:
        """What whoever looks into the kernel from outside must hold."""
        return self._changed


class SimulatedWrite:
    """A write of a child of ours (see `base.Write`)."""

    def __init__(self, host: SimulatorHost, path: str, child: Process, outcome: Completion) -> None:
        self._host = host
        self._path = path
        self._outcome = outcome
        self.pid: int | None = child.pid
        child.waits_for = outcome
        outcome.then(lambda _: host.kernel.end(child))

    def wait(self, seconds: float) -> bool:
        """See `Write.wait`."""
        return self._host.wait(lambda: self._outcome.done, seconds)

    def result(self) -> None:
        """See `Write.result`."""
        try:
            self._outcome.result()
        except OSError as failure:
            raise OSError(failure.errno, failure.strerror, self._path) from None


class SimulatedHandle:
    """A descriptor of our process (see `base.Handle`)."""

    def __init__(self, host: SimulatorHost, process: Process, number: int) -> None:
        self._host = host
        self._process = process
        self.number = number

    def _file(self) -> OpenFile:
        return self._process.file(self.number)

    def ioctl(self, request: int, argument: int | bytearray = 0) -> int:
        """See `Handle.ioctl`."""
        system = self._host.system
        return self._host.call(lambda: system.ioctl(self._process, self.number, request, argument))

    def adopt(self, number: int) -> SimulatedHandle:
        """See `Handle.adopt`."""
        return SimulatedHandle(self._host, self._process, number)

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Handle.read_at`."""
        with self._host.lock:
            self._host.now()
            return self._file().read_at(offset, size)

    def write_at(self, offset: int, data: bytes) -> int:
        """See `Handle.write_at`."""
        with self._host.lock:
            self._host.now()
            return self._file().write_at(offset, data)

    def map(self, offset: int, size: int) -> Memory:
        """See `Handle.map`."""
        with self._host.lock:
            self._host.now()
            file = self._file()
            view = file.memory_at(offset, size)
            return SimulatedMemory(
                self._host, self._process, self._process.memory.map(view, file, offset)
            )

    def close(self) -> None:
        """See `Handle.close`."""
        number, self.number = self.number, -1
        if number >= 0:
            with self._host.lock:
                self._host.now()
                self._process.close(number)


class SimulatedAlgorithm:
    """An algorithm of the crypto API (see `base.Algorithm`)."""

    def __init__(self, host: SimulatorHost, transform: Transform) -> None:
        self._host = host
        self._transform = transform

    def digest(self, data: bytes) -> bytes:
        """See `Algorithm.digest`."""
        with self._host.lock:
            return self._transform.digest(data)

    def cipher(self, data: bytes, vector: bytes, *, encrypt: bool) -> bytes:
        """See `Algorithm.cipher`."""
        with self._host.lock:
            return self._transform.cipher(data, vector, encrypt=encrypt)

    def close(self) -> None:
        """See `Algorithm.close`."""


class SimulatedMemory:
    """Pages of our process (see `base.Memory`)."""

    def __init__(self, host: SimulatorHost, process: Process, area: Area) -> None:
        self._host = host
        self._process = process
        self._area = area
        self.address = area.start
        self.view = area.view

    def close(self) -> None:
        """See `Memory.close`."""
        with self._host.lock:
            self._host.now()
            self._process.memory.unmap(self._area)


class SimulatedSignal:
    """An eventfd of our process (see `base.Signal`)."""

    def __init__(self, host: SimulatorHost, process: Process) -> None:
        self._host = host
        self._process = process
        self._signal = processes.Signal()
        self.number = process.install(self._signal)

    def wait(self, seconds: float) -> int:
        """See `Signal.wait`."""
        self._host.wait(lambda: self._signal.count > 0, seconds)
        with self._host.lock:
            return self._signal.take_count()

    def close(self) -> None:
        """See `Signal.close`."""
        number, self.number = self.number, -1
        if number >= 0:
            with self._host.lock:
                self._process.close(number)
