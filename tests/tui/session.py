"""The real program in a real pseudo-terminal, as a person would use it."""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from benchmarks.ttybench import Emulator

PROGRAM = (sys.executable, "-m", "sdmtop")
_OF_THE_OPERATOR = (
    "NO_COLOR", "COLORTERM", "COLORFGBG", "SSH_TTY", "LC_ALL", "LC_CTYPE", "LANG",
    "XDG_CONFIG_HOME", "TMUX",
)  # fmt: skip
"""What decides how the console looks: not there, unless a test says so."""

PATIENCE = 20.0
"""Seconds to wait for something that must come; generous, for a loaded machine."""


class Session:
    """A program in a pty of its own; ended with the `with` block if it has not ended itself."""

    def __init__(
        self,
        *arguments: str,
        program: Sequence[str] = PROGRAM,
        size: tuple[int, int] = (120, 40),
        **environment: str,
    ) -> None:
        self.screen = Emulator(*size)
        self.output = b""
        self.status: int | None = None
        settings = {**os.environ, "TERM": "xterm-256color", "HOME": "/nonexistent", **environment}
        for name in _OF_THE_OPERATOR:
            if name not in environment:
                settings.pop(name, None)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execve(program[0], [*program, *arguments], settings)
            finally:
                os._exit(127)
        self.resize(*size)
        self.attributes = termios.tcgetattr(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self.fd >= 0:
            os.close(self.fd)

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(self.screen.screen.display)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.fd, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the terminal, as its window would."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def pump(self, seconds: float) -> bytes:
        """Let time pass; returns what the program wrote meanwhile."""
        end = time.monotonic() + seconds
        written = b""
        while (left := end - time.monotonic()) > 0 and self.fd >= 0:
            ready, _, _ = select.select([self.fd], [], [], left)
            if ready:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:  # EIO: the other side has closed the terminal.
                    break
                written += data
                self.screen.feed(data)
        self.output += written
        return written

    def wait_for(self, what: str | Callable[[], bool]) -> None:
        """Wait until a text is on the screen, or something is true."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if what in self.text if isinstance(what, str) else what():
                return
            self.pump(0.02)
        raise AssertionError(f"{what!r} did not come; the screen:\n{self.text}")

    def wait_for_exit(self) -> int:
        """The exit status as a shell would see it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self.pump(0.05):
                    pass  # On a busy machine it takes longer to read all that was written.
                self.status = os.waitstatus_to_exitcode(status)
                return self.status
            self.pump(0.01)
        raise AssertionError(f"the program did not end; the screen:\n{self.text}")

    def close(self) -> None:
        """Close the terminal under the program."""
        os.close(self.fd)
        self.fd = -1

    def leftovers(self) -> list[str]:
        """What the program left behind in the terminal: nothing, if it is well-behaved."""
        found: list[str] = []
        now: list[Any] = termios.tcgetattr(self.fd)
        if now != self.attributes:
            found.append("terminal attributes")
        if self.screen.alt:
            found.append("alternate screen")
        modes = {1000: "mouse", 1002: "mouse", 1003: "mouse", 1004: "focus", 1006: "mouse",
                 1015: "mouse", 1016: "mouse", 2004: "paste", 2026: "sync",
                 2048: "resize"}  # fmt: skip
        found += [name for mode, name in modes.items() if self.screen.private.get(mode)]
        found += [name for mode, name in ((25, "cursor"), (7, "wrap"))
                  if not self.screen.private.get(mode, True)]  # fmt: skip
        if self.screen.kitty_stack:
            found.append("kitty keys")
        return found
