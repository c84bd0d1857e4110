"""Text in a pane, whole: plans, results, what a test has seen."""

import re
from collections.abc import Iterable, Sequence
from textwrap import TextWrapper

from textual import events

from sdmtop.text import cell, printable
from sdmtop.tui.lines import Content, LinesPane

_STYLES = {"+": "good", "!": "warn", "?": "warn", "x": "bad"}
"""By the sign that begins a verdict."""

_HANG = re.compile(r" *([+!?x] \w+ +|(?:do|check|undo) +|\d+\. +)?")
"""What the rest of a line hangs from: its sign and word, its label, its number."""


class _Wrapper(TextWrapper):
    """Breaks a path that has no room on a line of its own where a name in it ends."""

    def _handle_long_word(
        self, reversed_chunks: list[str], cur_line: list[str], cur_len: int, width: int
    ) -> None:
        room = width - cur_len
        end = reversed_chunks[-1].rfind("/", 0, max(room, 0)) + 1
        if end > 1:
            cur_line.append(reversed_chunks[-1][:end])
            reversed_chunks[-1] = reversed_chunks[-1][end:]
        elif cur_line:
            return  # It may have room on a line of its own.
        else:
            super()._handle_long_word(reversed_chunks, cur_line, cur_len, width)


def folded(line: str, width: int, indent: int) -> list[str]:
    """A line over several of at most `width` cells; those after the first are indented."""
    wrapper = _Wrapper(width=width, subsequent_indent=" " * indent, break_on_hyphens=False)
    return wrapper.wrap(line) or [""]


class Lines(LinesPane):
    """Lines of text, whole: what does not fit goes on in the next; verdicts in their colour."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's own word)
        super().__init__(id=id)
        self._heading = ""
        self._told: Sequence[str] = ()
        self._lines: dict[str, tuple[str, str]] = {}
        """(text, style) by key."""

    def tell(self, heading: str, lines: Iterable[str], *, end: bool = False) -> None:
        """Show these lines; with `end`, the last of them."""
        self._heading = heading
        self._told = [printable(line) for line in lines]
        self._wrap()
        if end:
            self.action_edge(1)

    def on_resize(self, event: events.Resize) -> None:
        """Wrap anew."""
        super().on_resize(event)
        self._wrap()

    def _wrap(self) -> None:
        self._lines = {}
        for number, line in enumerate(self._told):
            hang = _HANG.match(line)
            assert hang is not None  # noqa: S101 - it matches nothing, too
            style = _STYLES.get((hang[1] or "")[:1], "plain")
            # Room for the scrollbar, whether it is there yet or not.
            width = max(self.size.width - 2, 20)
            for part, text in enumerate(folded(line, width, hang.end() + (0 if hang[1] else 2))):
                # The first part has the number of the line itself.
                self._lines[f"{number}.{part}" if part else f"{number}"] = (text, style)
        self.show_keys(list(self._lines))

    def title(self) -> str:
        """The heading."""
        return cell(self._heading, self.line_width)

    def content(self, key: str) -> Content:
        """One line."""
        text, style = self._lines[key]
        return ((cell(text, self.line_width), style),)
