"""Writes to the terminal at once what it takes, and the rest when it is ready.

Textual hands its output to a thread, which then waits for the interpreter while the app goes on
computing: with that, a key is answered milliseconds later.
"""

import asyncio
import os
import select


class Output:
    """A terminal that is written to without ever waiting for it."""

    def __init__(self, terminal: int, loop: asyncio.AbstractEventLoop) -> None:
        """Open the terminal behind a descriptor once more.

        Raises OSError where that cannot be: it belongs to another user, after `su`.
        """
        # A descriptor of our own: O_NONBLOCK on the shared one would reach the shell as well.
        flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        self._fd = os.open(os.ttyname(terminal), flags)
        self._loop = loop
        self._pending = b""

    def write(self, text: str) -> None:
        """Write, or have it written later; a terminal that is gone takes everything."""
        waiting = bool(self._pending)
        self._pending += text.encode("utf-8", "replace")
        if not waiting:
            self._write_pending()
            if self._pending:
                self._loop.add_writer(self._fd, self._continue)

    def close(self, seconds: float) -> bool:
        """Write the rest, for so long at most; whether all is written."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        end = self._loop.time() + seconds
        while self._pending and (left := end - self._loop.time()) > 0:
            poll.poll(left * 1000)
            self._write_pending()
        self._loop.remove_writer(self._fd)
        os.close(self._fd)
        return not self._pending

    def _continue(self) -> None:
        self._write_pending()
        if not self._pending:
            self._loop.remove_writer(self._fd)

    def _write_pending(self) -> None:
        try:
            self._pending = self._pending[os.write(self._fd, self._pending) :]
        except BlockingIOError:
            return
        except OSError:
            self._pending = b""  # EIO: the thread that reads the keys ends the program.
