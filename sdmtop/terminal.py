"""The terminal before the console has it: taken over early, given back whatever happens.

On the path of the first paint: light imports only.
"""

# `signal` wraps these in enumerations, which costs a tenth of the first paint.
import _signal
import os
import sys
import termios

from sdmtop.text import in_ascii

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType
    from typing import NoReturn

SIGNALS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)
"""Signals that end the program; each must leave a clean terminal and its own exit status."""

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[H"
_SYNC = "\x1b[?2026h", "\x1b[?2026l"
# All that Textual may have switched on, in case a signal comes while it is about to take over.
_LEAVE = (
    f"{_SYNC[1]}\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l\x1b[?1004l\x1b[?2004l"
    "\x1b[?2048l\x1b[<u\x1b[?7h\x1b[?1049l\x1b[?25h"
)


def way_of_a_copy(environment: "Mapping[str, str]") -> str:
    """Which way a copied text goes, and what it may meet there: nobody answers for OSC 52."""
    if environment.get("TERM") == "linux":
        return "over OSC 52, which a text console does not know"
    if "TMUX" in environment:
        return "over OSC 52 to tmux, which passes it on with 'set-clipboard on'"
    if "SSH_TTY" in environment:
        return "over OSC 52 to the terminal at your end of ssh, if it allows that"
    return "over OSC 52, if the terminal allows that"


class Terminal:
    """A terminal in its alternate screen, keys unechoed and unbuffered, to be handed over."""

    def __init__(self, *, ascii_only: bool = False) -> None:
        """Take the terminal over.

        Raises `termios.error` (from termios) where standard input is no terminal.
        """
        self.ascii_only = ascii_only
        self.input = sys.__stdin__.fileno() if sys.__stdin__ else 0
        self.output = sys.__stdout__.fileno() if sys.__stdout__ else 1
        self.original = termios.tcgetattr(self.input)
        self.columns, self.rows = os.get_terminal_size(self.output)
        for number in SIGNALS:
            _signal.signal(number, self._die)
        attributes = termios.tcgetattr(self.input)
        # What is typed before the console listens waits in the kernel's queue, a key at a time.
        attributes[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
        attributes[0] &= ~(termios.IXON | termios.ICRNL)
        termios.tcsetattr(self.input, termios.TCSANOW, attributes)
        self._write(_ENTER)

    def paint(self, lines: "list[str]") -> None:
        """Show a full screen: one string a row, each as wide as the screen at most."""
        body = "\x1b[K\r\n".join(lines[: self.rows])
        if self.ascii_only:
            body = in_ascii(body)
        self._write(f"{_SYNC[0]}\x1b[H{body}\x1b[K{_SYNC[1]}")

    def restore(self) -> None:
        """Give the terminal back as it was, if it is still there."""
        try:
            termios.tcsetattr(self.input, termios.TCSANOW, self.original)
            self._write(_LEAVE)
        except (OSError, termios.error):
            pass  # It is gone: there is nothing to give back.

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        while data:
            data = data[os.write(self.output, data) :]

    def abandon(self, status: int) -> "NoReturn":
        """End the program at once, leaving the terminal as it was."""
        self.restore()
        os._exit(status)

    def _die(self, number: int, _frame: "FrameType | None") -> "NoReturn":
        self.abandon(128 + number)
