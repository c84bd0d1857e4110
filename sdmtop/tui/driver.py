"""Textual's terminal driver with four habits changed.

It sleeps until there is input instead of waking ten times a second, it takes over a terminal that
is already in its alternate screen without clearing it, it reads and writes without threads, and it
notices when the terminal is gone.
"""

import os
import sys
from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

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
        self._listens = False
        self._output: Output | None = None
        self._had_output = False
        self._is_gone = False
        self._entered = self.terminal is not None

    def start_application_mode(self) -> None:
        """Take over; remember the attributes from before the first paint, not after it."""
        terminal = self.terminal.output if self.terminal is not None else self.fileno
        try:
            self._output = Output(terminal, self._loop)
            self._had_output = True
        except OSError:
            self._output = None  # Textual's own thread writes where we may not open the terminal.
            # Continued after a hang-up: that thread would wait for ever, and the loop for it.
            self._is_gone = self._had_output
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
        elif not self._is_gone:
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
        """Stop reading keys."""
        self._listens = False
        self._loop.remove_reader(self.fileno)
        super().disable_input()

    def run_input_thread(self) -> None:
        """Have the loop read what is typed, and end: a key need not pass from thread to thread."""
        self._listens = True
        self._loop.call_soon_threadsafe(self._listen)

    def send_message(self, message: Message) -> None:
        """Put an event of the terminal, which is read by the loop, into the queue of the app."""
        self._app.post_message(message)

    def _listen(self) -> None:
        if self._listens:
            parser, decoder = XTermParser(self._debug), getincrementaldecoder("utf-8")("replace")
            self._loop.add_reader(self.fileno, self._hear, parser, decoder)

    def _hear(self, parser: XTermParser, decoder: IncrementalDecoder) -> None:
        """Feed what was typed to the app."""
        data = self._read_input()
        if data is None:
            self._loop.remove_reader(self.fileno)
            self._app.terminal_lost()
            return
        text = decoder.decode(data)
        if text:  # Not where a character has only begun: nothing is the end of input to a parser.
            self._pass_on(parser.feed(text))
        # Asked for only then, `tick` looks at its clock.
        self._loop.call_later(_ESCAPE_SECONDS, lambda: self._pass_on(parser.tick()))

    def _pass_on(self, heard: Iterable[Message]) -> None:
        try:
            for event in heard:
                self.process_message(event)
        except Exception as error:  # noqa: BLE001 - ends the console, as one in a message does
            self._app._handle_exception(error)

    def _read_input(self) -> bytes | None:
        """What was typed; None when the terminal is gone."""
        try:
            return os.read(self.fileno, 4096) or None
        except OSError:
            return None
