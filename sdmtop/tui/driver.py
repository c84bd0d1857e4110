"""Textual's terminal driver with four habits changed.

It sleeps until there is input instead of waking ten times a second, it takes over a terminal that
is already in its alternate screen without clearing it, it writes without a thread, and it notices
when the terminal is gone.
"""

import os
import select
import sys
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING, Any

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from sdmtop.terminal import Terminal
from sdmtop.text import in_ascii
from sdmtop.tui.output import Output

if TYPE_CHECKING:
    from sdmtop.tui.app import Console

_ESCAPE_SECONDS = 0.1
"""How long a lone ESC may be the beginning of a longer sequence (Textual's own value)."""

_LAST_WORDS = 0.1
"""Seconds that a slow terminal has for what it was sent before it is given back."""

_ENTER_ALTERNATE_SCREEN = "\x1b[?1049h"


class ConsoleDriver(LinuxDriver):
    """A driver for a terminal that `sdmtop.terminal` has taken over."""

    _app: "Console"
    terminal: Terminal | None = None
    """The terminal, set before the app starts; None lets Textual take it over by itself."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Standard error may be a log file; what decided for the console is standard output.
        self._file = sys.__stdout__ or self._file
        self._waker = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._output: Output | None = None
        self._entered = self.terminal is not None

    def start_application_mode(self) -> None:
        """Take over; remember the attributes from before the first paint, not after it."""
        try:
            os.eventfd_read(self._waker)  # What woke the input thread before the program stopped.
        except BlockingIOError:
            pass
        terminal = self.terminal.output if self.terminal is not None else self.fileno
        try:
            self._output = Output(terminal, self._loop)
        except OSError:
            self._output = None  # Textual's own thread writes where we may not open the terminal.
        super().start_application_mode()  # type: ignore[no-untyped-call]
        if self.terminal is not None:
            self.attrs_before = self.terminal.original

    def write(self, data: str) -> None:
        """Write to the terminal, but do not enter the screen again that we are in."""
        # Some terminals clear on a second switch, and the first paint would blink.
        if data == _ENTER_ALTERNATE_SCREEN and self._entered:
            self._entered = False  # Not so after the program was stopped and continued.
            return
        if self.terminal is not None and self.terminal.ascii_only:
            data = in_ascii(data)
        if self._output is not None:
            self._output.write(data)
        else:
            super().write(data)

    def close(self) -> None:
        """Write what is left."""
        if self._output is not None:
            all_written = self._output.close(_LAST_WORDS)
            self._output = None
            if not all_written and self.terminal is not None:
                # A slow terminal is spared the last pictures, but not what gives it back.
                self.terminal.restore()
        super().close()

    def disable_input(self) -> None:
        """Stop reading keys; the input thread is woken instead of waited for."""
        os.eventfd_write(self._waker, 1)
        super().disable_input()

    def run_input_thread(self) -> None:
        """Feed what is typed to the app, asleep while nothing is."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        poll = select.poll()
        poll.register(self.fileno, select.POLLIN)
        poll.register(self._waker, select.POLLIN)
        timeout: float | None = None
        while not self.exit_event.is_set():
            ready = dict(poll.poll(timeout))
            timeout = None
            if self.fileno in ready:
                data = self._read_input()
                if data is None:
                    self._loop.call_soon_threadsafe(self._app.terminal_lost)
                    return
                for event in parser.feed(decode(data)):
                    self.process_message(event)
                timeout = _ESCAPE_SECONDS * 1000
            for event in parser.tick():
                self.process_message(event)

    def _read_input(self) -> bytes | None:
        """What was typed; None when the terminal is gone."""
        try:
            return os.read(self.fileno, 4096) or None
        except OSError:
            return None
