"""A running simulator, told what to do from outside: `sdmtop simulate inject` and its like.

Each has a socket in a directory that only its user can enter: $XDG_RUNTIME_DIR/sdmtop, or where
there is none, sdmtop-UID among the temporary files. A request is a line of JSON, so is its answer;
before that of a step comes a space each second while it works.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from sdmtop.backends.simulator.faults import FaultError
from sdmtop.backends.simulator.host import MOST_STEP, SimulatorHost
from sdmtop.backends.simulator.scenario import Fault  # noqa: TC001 - msgspec looks it up
from sdmtop.errors import sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sdmtop.backends.base import Host

_PREFIX, _SUFFIX = "sim-", ".sock"
_MOST = 65536
"""Bytes of a request or of an answer."""
_PATIENCE = 10.0
"""Seconds to wait for the other side."""
_BEAT = 1.0
"""Seconds after which whoever waits for a step is told that it still works."""


class Request(msgspec.Struct, frozen=True):
    """What to do. `value` is the rate of `run`, and the seconds of `step`."""

    do: Literal["status", "inject", "run", "step"]
    fault: Fault | None = None
    value: Annotated[float, Meta(ge=0, le=1e9)] = 0.0


class Answer(msgspec.Struct, frozen=True):
    """What came of it, as a sentence."""

    done: bool
    text: str


def runtime_directory() -> Path:
    """Where the sockets are; made if need be. Raises `OSError` for one that others can enter."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    directory = (
        Path(base) / "sdmtop" if base else Path(tempfile.gettempdir()) / f"sdmtop-{os.getuid()}"
    )
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700, parents=True)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise OSError(errno.EPERM, "others can enter it: it must be yours alone", str(directory))
    return directory


class Control:
    """The simulator's side: answers until it is closed."""

    def __init__(self, host: SimulatorHost) -> None:
        """Open the socket and a thread that listens. Raises `OSError`."""
        self._host = host
        self.path = runtime_directory() / f"{_PREFIX}{os.getpid()}{_SUFFIX}"
        self.path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.path))
        self.path.chmod(0o600)
        self._socket.listen()
        threading.Thread(target=self._serve, name="simulator control", daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self.path.unlink(missing_ok=True)
        # Closing alone would leave the thread in its accept().
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # Closed.
            # A step can take long, and others ask meanwhile.
            threading.Thread(
                target=self._attend, args=(connection,), name="simulator request", daemon=True
            ).start()

    def _attend(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(_PATIENCE)
            # Whoever asks and goes away is told nothing; a step of theirs ends.
            with contextlib.suppress(OSError):
                answer = self._answer(_line_of(connection), _beat(connection))
                connection.sendall(msgspec.json.encode(answer) + b"\n")

    def _answer(self, line: bytes, working: Callable[[], None]) -> Answer:
        try:
            request = msgspec.json.decode(line, type=Request)
            return Answer(done=True, text=perform(self._host, request, working))
        except (ValueError, msgspec.MsgspecError) as error:
            return Answer(done=False, text=str(error))
        except OSError as error:
            return Answer(done=False, text=sentence("refused", error))


def _beat(connection: socket.socket) -> Callable[[], None]:
    """What tells the other side, called often, that its request is worked on."""
    told = time.monotonic()

    def working() -> None:
        nonlocal told
        if time.monotonic() - told >= _BEAT:
            connection.sendall(b" ")
            told = time.monotonic()

    return working


@contextlib.contextmanager
def controlled(host: Host) -> Iterator[str]:
    """Listen while the block runs, if the host is a simulator; gives why it cannot, or nothing."""
    control, trouble = None, ""
    if isinstance(host, SimulatorHost):
        try:
            control = Control(host)
        except OSError as error:
            trouble = sentence("'sdmtop simulate' cannot reach this console", error)
    try:
        yield trouble
    finally:
        if control is not None:
            control.close()


def perform(
    host: SimulatorHost, request: Request, working: Callable[[], None] = lambda: None
) -> str:
    """Carry out a request: what has been done, as a sentence. `working`: see `SimulatorHost.step`.

    Raises `FaultError` for a fault that cannot be injected, `ValueError` for too long a step, and
    `OSError` as `SimulatorHost.step`.
    """
    if request.do == "inject":
        if request.fault is None:
            raise FaultError("there is no fault in the request")
        host.inject(request.fault)
        about = f" on {request.fault.target}" if request.fault.target else ""
        return f"injected {request.fault.kind}{about} at {host.now():.1f} s"
    if request.do == "run":
        host.run(request.value)
    elif request.do == "step":
        if request.value > MOST_STEP:
            raise ValueError(f"a step has {MOST_STEP:g} s at most: let time run instead")
        host.step(request.value, working)
    return describe(host)


def describe(host: SimulatorHost) -> str:
    """What time it is there, and how fast it passes."""
    now, rate = host.now(), host.rate
    how = f"running {rate:g} times as fast as real time" if rate != 1 else "running in real time"
    if host.is_behind:
        how = f"running as fast as this machine can, less than {rate:g} times real time"
    return f"{host.url} at {now:.1f} s, {how if rate else 'standing still'}"


def running() -> dict[int, Path]:
    """The socket of every simulator of this user that runs, by its pid."""
    found = {}
    for path in sorted(runtime_directory().glob(f"{_PREFIX}*{_SUFFIX}")):
        number = pid_of(path)
        if number.isdecimal():
            found[int(number)] = path
    return found


def pid_of(path: Path) -> str:
    """Whose socket it is, by its name."""
    return path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)


def ask(path: Path, request: Request) -> Answer:
    """Have a simulator do something. Raises `OSError` where nobody listens or answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE)
        connection.connect(str(path))
        try:
            connection.sendall(msgspec.json.encode(request) + b"\n")
            line = _line_of(connection)
        except TimeoutError as error:
            raise TimeoutError(errno.ETIMEDOUT, "it does not answer") from error
    if not line:
        raise ConnectionResetError(errno.ECONNRESET, "it has ended, and did not answer")
    return msgspec.json.decode(line, type=Answer)


def _line_of(connection: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < _MOST:
        part = connection.recv(_MOST)
        if not part:
            break
        line = (line + part).lstrip(b" ")
    return line
