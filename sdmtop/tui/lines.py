"""A pane of lines drawn on demand, one of the line API of Textual.

Only what is visible is asked for, and only what differs from what stands on the screen is drawn
again; how many lines there are does not matter. The selection is a key, never a row number.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.dom import DOMNode
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import Reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from sdmtop.text import cell
from sdmtop.text import width as text_width
from sdmtop.tui.bindings import Actions, actions_of, bindings
from sdmtop.tui.line import Bare, Line
from sdmtop.tui.scrollbar import PaneScrollBar

Span = tuple[str, str]
"""Printable text, and the name of its style: a class `lines--NAME` of the style sheet below."""

Content = tuple[Span, ...]


class LinesPane(ScrollView, can_focus=True):
    """A heading that stays, and lines below it that scroll.

    A pane says what its lines are: `keys` in order, and the `content` of one.
    """

    DEFAULT_CSS = """
    LinesPane {
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        & .lines--heading { background: $panel; color: $text; text-style: bold; }
        &:focus .lines--heading { background: $primary; color: $text; text-style: bold; }
        & .lines--cursor { background: $boost; text-style: bold; }
        &:focus .lines--cursor { background: $secondary; text-style: bold; }
        & .lines--plain { color: $text; }
        & .lines--dim { color: $text-muted; }
        & .lines--good { color: $text-success; }
        & .lines--warn { color: $text-warning; }
        & .lines--bad { color: $text-error; text-style: bold; }
        & .lines--accent { color: $text-accent; }
        &:ansi .lines--heading { background: ansi_default; text-style: bold underline; }
        &:ansi:focus .lines--heading { background: ansi_default; text-style: bold reverse; }
        &:ansi .lines--cursor { background: ansi_default; text-style: bold underline; }
        &:ansi:focus .lines--cursor { background: ansi_default; text-style: reverse; }
        &:ansi .lines--dim { color: ansi_default; text-style: dim; }
    }
    """

    marks_always = False
    """Whether the selection is seen without the focus as well."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("pane")

    # Not a reason to lay out the screen anew, as it is for Textual's own views: the place of a
    # pane never depends on how many lines there are.
    virtual_size = Reactive(Size(0, 0))

    class Selected(Message):
        """The selection of a pane has moved to another key."""

        def __init__(self, pane: "LinesPane", key: str) -> None:
            super().__init__()
            self.pane = pane
            self.key = key

    def __init__(self, *, id: str) -> None:  # noqa: A002 (Textual's own word)
        super().__init__(id=id)
        self.keys: Sequence[str] = ()
        self.cursor: str | None = None
        self._row = -1
        """Where the selection stands in `keys`; -1 where there is none."""
        self._drawn: dict[int, tuple[int, Content]] = {}
        """What stands on the screen, by the line of the widget: (row, content)."""
        self._coming: dict[int, tuple[int, Content]] = {}
        """What was found to be different, until it is drawn: a line is made once."""
        self._height = 0
        """Lines of the widget, before it gets more or fewer."""
        self._rich_styles: dict[tuple[str, ...], Style] = {}
        self._styles_cache = Bare()

    @cached_property
    def actions(self) -> Actions:
        """What keys do while it has the focus."""
        return actions_of(self)

    # -- what a pane says ----------------------------------------------------------------------

    def title(self) -> str:
        """The heading."""
        raise NotImplementedError

    def content(self, key: str) -> Content:
        """The spans of one line."""
        raise NotImplementedError

    def nothing(self) -> str:
        """What stands where there are no lines."""
        return ""

    def selected(self) -> None:
        """The selection has moved."""

    def heading_clicked(self, x: int) -> None:
        """The heading was clicked, at a cell of it."""

    # -- what a pane is told -------------------------------------------------------------------

    def show_keys(self, keys: Sequence[str]) -> None:
        """Have these lines from now on; the selection stays with its key while that exists."""
        old, self.keys = self.keys, keys
        if keys != old:
            self._set_height()
            before, self._row = self._row, self._row_of(self.cursor)
            if self._row < 0:
                # What was selected is gone: its neighbour is selected, and that is announced.
                self._select(min(max(before, 0), len(keys) - 1))
        self.redraw()

    def redraw(self) -> None:
        """Draw again the visible lines whose content is not what stands on the screen."""
        self._coming = {}
        if not self.is_attached or not self.display:
            return
        first, width = self.scroll_offset.y, self.line_width
        for y in range(self.container_size.height):
            line = self._at(y, first)
            if self._drawn.get(y) != line:
                self._coming[y] = line
        if self._coming:
            self.refresh(*(Region(0, y, width, 1) for y in self._coming))

    def draw(self) -> None:
        """Draw now what is to be drawn again: Textual waits for a timer.

        Where the places of the panes are settled: of a widget that has none yet the compositor
        would make one, and the layout that comes next find nothing new and draw nothing.
        """
        widgets = {self, self.vertical_scrollbar} if self.show_vertical_scrollbar else {self}
        if widgets <= self.screen._compositor.visible_widgets.keys():
            self.screen._dirty_widgets |= widgets
            self.screen._on_timer_update()

    def select(self, key: str) -> bool:
        """Move the selection to a key and into view; False if there is no such line."""
        row = self._row_of(key)
        if row < 0:
            return False
        self._select(row)
        return True

    @property
    def vertical_scrollbar(self) -> PaneScrollBar:
        """See `Widget.vertical_scrollbar`: made when it is first asked for."""
        if not isinstance(self._vertical_scrollbar, PaneScrollBar):
            self._vertical_scrollbar = bar = PaneScrollBar()
            bar.display = False
            self.app._start_widget(self, bar)
        return self._vertical_scrollbar

    def watch_virtual_size(self, size: Size) -> None:
        """Let the scrollbar follow."""
        if self.is_attached:
            self._scroll_update(size)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Let other lines come."""
        self._coming.clear()
        super().watch_scroll_y(old_value, new_value)

    # -- drawing -------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """One line of the screen (Textual's line API)."""
        found = self._coming.pop(y, None) or self._at(y, self.scroll_offset.y)
        row, content = self._drawn[y] = found
        on = ["heading" if row == -1 else "plain"]
        if row >= 0 and self.keys[row] == self.cursor and (self.marks_always or self.has_focus):
            on.append("cursor")
        segments = [Segment(text, self._style(*on, name)) for text, name in content]
        cells, width = sum(text_width(text) for text, _ in content), self.line_width
        if cells < width:
            segments.append(Segment(" " * (width - cells), self._style(*on, "plain")))
        # Told how wide it is, a strip need not measure its text; and as wide as what is seen of
        # it, it is not cut at the scrollbar, either.
        line = Line(segments, max(cells, width))
        return line if cells <= width else line.crop(0, width)

    def notify_style_update(self) -> None:
        """Forget the styles of the old theme."""
        super().notify_style_update()
        self._rich_styles.clear()

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Draw heading and selection in other styles."""
        super().watch_has_focus(_has_focus)
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        """Forget what stood where; a selection that was in sight stays there."""
        self._drawn.clear()
        self._set_height()
        rows, self._height = self._height, event.size.height
        if 0 <= self._row - self.scroll_offset.y < rows - 1 and self._height > 1:
            self._scroll_into_view(self._row)

    def _at(self, y: int, first: int) -> tuple[int, Content]:
        """(row, content) at a line of the widget; row -1 is the heading, -2 nothing.

        `first` is the row below the heading.
        """
        if y == 0:
            return -1, ((cell(self.title(), self.line_width), "plain"),)
        row = first + y - 1
        if row >= len(self.keys):
            return -2, ((self.nothing(), "dim"),) if y == 1 and not self.keys else ()
        return row, self.content(self.keys[row])

    @property
    def line_width(self) -> int:
        """Cells of a line: without the scrollbar, where there is one."""
        # It is asked for with every line: `scrollable_content_region` would look the pane up on
        # the screen each time.
        return max(self.container_size.width - self.show_vertical_scrollbar, 0)

    def _set_height(self) -> None:
        self.virtual_size = Size(self.line_width, len(self.keys) + 1)

    def _style(self, *names: str) -> Style:
        """The style of text named last, upon the ground that the names before it make."""
        style = self._rich_styles.get(names)
        if style is None:
            style = self._rich_styles[names] = self._made_style(*names)
        return style

    def _made_style(self, *names: str) -> Style:
        *ground, name = names
        style = Style()
        for one in ground:
            style += self._style_of_class(one)
        if name == "plain":
            return style
        # Without its background, to lie upon the ground.
        text = self._style_of_class(name)
        return style + Style(color=text.color, bold=text.bold, dim=text.dim)

    def _style_of_class(self, name: str) -> Style:
        # As Textual does it for component classes, for which each pane keeps nodes of 7 KiB each,
        # and makes all of them anew when the focus comes or goes.
        node = DOMNode(classes=f"lines--{name}")
        node._attach(self)
        self.app.stylesheet.apply(node, animate=False)
        return node.rich_style

    # -- moving --------------------------------------------------------------------------------

    def action_move(self, step: int) -> None:
        """Move the selection by so many lines."""
        self._move_to((self._row if self._row >= 0 or step > 0 else 0) + step)

    def action_page(self, step: int) -> None:
        """Move the selection by a screenful."""
        self.action_move(step * max(self.size.height - 2, 1))

    def action_half(self, step: int) -> None:
        """Move the selection by half a screenful."""
        self.action_move(step * max((self.size.height - 1) // 2, 1))

    def action_edge(self, side: int) -> None:
        """Move the selection to the first or the last line."""
        self._move_to(0 if side < 0 else len(self.keys) - 1)

    def on_click(self, event: events.Click) -> None:
        """Select the line that was clicked."""
        row = self.scroll_offset.y + event.y - 1
        if event.y == 0:
            self.heading_clicked(event.x)
        elif row < len(self.keys):
            self._select(row)

    def _move_to(self, row: int) -> None:
        if self.keys:
            self._select(min(max(row, 0), len(self.keys) - 1))

    def _row_of(self, key: str | None) -> int:
        """The row of a key; -1 where it has none."""
        if 0 <= self._row < len(self.keys) and self.keys[self._row] == key:
            return self._row
        # No mapping: it would take more memory than the keys, to be asked for once in a while.
        try:
            return self.keys.index(key) if key is not None else -1
        except ValueError:
            return -1

    def _select(self, row: int) -> None:
        """Have the selection on a row, or nowhere (-1)."""
        key = self.keys[row] if row >= 0 else None
        if key == self.cursor:
            return
        before, self._row, self.cursor = self._row, row, key
        for changed in (before, row):
            y = changed - self.scroll_offset.y + 1
            if changed >= 0 and 0 < y < self.size.height:
                self.refresh(Region(0, y, self.line_width, 1))
        if key is not None:
            self._scroll_into_view(row)
            self.selected()
            self.post_message(self.Selected(self, key))

    def _scroll_into_view(self, row: int) -> None:
        first, height = self.scroll_offset.y, max(self.size.height - 1, 1)
        if row < first:
            self.scroll_to(y=row, animate=False)
        elif row >= first + height:
            self.scroll_to(y=row - height + 1, animate=False)
