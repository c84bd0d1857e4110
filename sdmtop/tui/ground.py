"""What lies behind the panes: the screen and its containers, which have nothing of their own.

Unless told that they are blank, Textual draws each of their lines, cuts it at the borders of the
panes and remembers the pieces: a megabyte, and work at every key.
"""

from textual.containers import Horizontal, Vertical
from textual.screen import Screen


class Ground(Screen[None]):
    """The screen below the panes."""

    BLANK = True


class Row(Horizontal):
    """Panes side by side."""

    BLANK = True


class Column(Vertical):
    """Panes one above the other."""

    BLANK = True
