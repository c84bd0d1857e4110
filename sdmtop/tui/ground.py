"""What lies behind the panes: the screen and its containers, which have nothing of their own.

Unless told that they are blank, Textual draws each of their lines, cuts it at the borders of the
panes and remembers the pieces: a megabyte, and work at every key.
"""

from typing import Any

from textual import events, on
from textual.await_complete import AwaitComplete
from textual.command import CommandPalette
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Input, OptionList

from sdmtop.tui.bars import FooterBar


class Fitting:
    """A screen that is laid out for the size that the terminal has now, and closed only once.

    Laid out for a size, a screen of Textual tells itself of it once more. Two sizes that wait at
    the same time then follow each other for ever, and nothing else gets its turn.

    Of keys that come together, each may send the screen a message that has it close. Textual would
    take away at the second whatever is on top by then, or end the program.
    """

    async def _on_resize(self, event: events.Resize) -> None:
        assert isinstance(self, Screen)  # noqa: S101 - this is what it is mixed into
        event.size = self.app.size

    def on_click(self, event: events.Click) -> None:
        """A page covers the footer, whose keys are its own now."""
        assert isinstance(self, Screen)  # noqa: S101 - this is what it is mixed into
        if not self.is_modal or event.widget is not self:
            return
        footer = self.app.screen_stack[0].query_one(FooterBar)
        if footer.region.contains(event.screen_x, event.screen_y):
            event.prevent_default()  # The palette would close, and the key come to what is below.
            footer.press(event.screen_x - footer.region.x)

    def dismiss(self, result: Any = None) -> AwaitComplete:
        """Close it with a result, unless it is closed or covered: see `Screen.dismiss`."""
        assert isinstance(self, Screen)  # noqa: S101 - this is what it is mixed into
        if self.is_active:
            return Screen.dismiss(self, result)
        return AwaitComplete()


class Ground(Fitting, Screen[None]):
    """The screen below the panes."""

    BLANK = True


class Palette(Fitting, CommandPalette):
    """The palette of commands."""

    @on(Input.Submitted)
    @on(OptionList.OptionSelected)
    def _choose_once(self, event: Input.Submitted | OptionList.OptionSelected) -> None:
        """Keep from Textual what comes after the choice: it would give the command again."""
        if not self.is_active:
            event.stop()
            event.prevent_default()


class Row(Horizontal):
    """Panes side by side."""

    BLANK = True


class Column(Vertical):
    """Panes one above the other."""

    BLANK = True
