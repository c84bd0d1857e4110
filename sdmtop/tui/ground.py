"""What lies behind the panes: the screen and its containers, which have nothing of their own.

Unless told that they are blank, Textual draws each of their lines, cuts it at the borders of the
panes and remembers the pieces: a megabyte, and work at every key.
"""

from textual import events
from textual.command import CommandPalette
from textual.containers import Horizontal, Vertical
from textual.screen import Screen


class Fitting:
    """A screen that is laid out for the size that the terminal has now, and no other.

    Laid out for a size, a screen of Textual tells itself of it once more. Two sizes that wait at
    the same time then follow each other for ever, and nothing else gets its turn.
    """

    async def _on_resize(self, event: events.Resize) -> None:
        assert isinstance(self, Screen)  # noqa: S101 - this is what it is mixed into
        event.size = self.app.size


class Ground(Fitting, Screen[None]):
    """The screen below the panes."""

    BLANK = True


class Palette(Fitting, CommandPalette):
    """The palette of commands."""


class Row(Horizontal):
    """Panes side by side."""

    BLANK = True


class Column(Vertical):
    """Panes one above the other."""

    BLANK = True
