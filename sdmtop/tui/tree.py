"""The tree pane: group -> parent -> sdmdev, with folding, filter and order."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.binding import BindingType

from sdmtop import report
from sdmtop.collector import Sample
from sdmtop.columns import DEFAULT, NAME
from sdmtop.facts import FIELDS, RATE
from sdmtop.graphs import rate_text
from sdmtop.layout import line_columns
from sdmtop.model import Device
from sdmtop.outline import Line, Outline
from sdmtop.query import Query, parse
from sdmtop.search import Search
from sdmtop.text import printable
from sdmtop.tui.bindings import bindings
from sdmtop.tui.lines import Content, LinesPane

_STYLES = {
    "vfio": "accent",
    "held": "good",
    "started": "good",
    "orphan": "warn",
    "stuck": "bad",
    "unbound": "dim",
}


class TreePane(LinesPane):
    """The lines of the newest sample, as far as they are unfolded and match the filter."""

    marks_always = True
    fields = FIELDS

    BINDINGS: ClassVar[list[BindingType]] = bindings("tree")

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 (Textual's own word)
        columns: Sequence[str] = DEFAULT,
        order: str = NAME,
    ) -> None:
        super().__init__(id=id)
        self.filter = ""
        self._query: Query = ()
        self._search: Search | None = None
        self.columns = columns
        self.order = order
        """The column that the lines are sorted by; groups stay whole."""
        self.turned = False
        """Whether they are sorted the other way round."""
        self._folded: set[str] = set()
        self._marked: set[str] = set()
        self._sample: Sample | None = None
        self._chosen: str | None = None
        """What the operator has put the selection on last."""
        self._settled: str | None = None
        """Where it stood when the lines were last arranged: moved on since, it is chosen."""
        self._outline = Outline(
            (), _no_device, (), {}, {}, holders={}, states={}, blind=False, holding=False
        )
        self._lines: dict[str, Line] = {}
        self._parents: set[str | None] = set()

    def title(self) -> str:
        """Column headings, which say how the lines are sorted, and what is asked of them."""
        notes = [f"{len(self.marked)} marked"] if self.marked else []
        notes += [f"/{printable(self.filter)}"] if self.filter else []
        heading = self._outline.columns.heading(
            self._widths,
            order=self.order,
            turned=self.turned is not (self.order == RATE),
            note="  ".join(notes),
        )
        return f"  {heading}"

    def content(self, key: str) -> Content:
        """The line as `snapshot --format tree` prints it, with its interrupt rate."""
        line = self._lines[key]
        core = self._outline.core(line, rate_text(self._rate(key)))
        fold = "▸" if self._is_folded(key) else "▾" if key in self._parents else " "
        if key in self._marked:
            fold = "*"
        cells = self._outline.cells(line, core)
        text = self._outline.columns.render(cells, line.depth, self._widths)
        return ((f"{fold} ", "dim"), (text, _STYLES.get(core[2], "plain")))

    def nothing(self) -> str:
        """Say that it is the filter that hides everything."""
        return f"  no line answers to {printable(self.filter)}" if self.filter else ""

    @property
    def _widths(self) -> Sequence[int]:
        return self._outline.columns.widths(line_columns(self.container_size.width))

    def begin(self, outline: Outline, lines: Iterable[Line]) -> None:
        """Show these lines until there is a sample."""
        self._outline = outline
        self._lines = {line.key: line for line in lines}
        self._parents = {line.parent for line in self._lines.values()}
        self.rearrange()

    def show(self, sample: Sample) -> None:
        """Show a newer sample."""
        old, self._sample = self._sample, sample
        if old is None or old.snapshot is not sample.snapshot:
            self._make(sample)
        elif self.order == RATE or any(term.field == RATE for term in self._query):
            self.rearrange()
        else:
            self.redraw()

    def _make(self, sample: Sample) -> None:
        """Make the lines anew."""
        self._lines = {}  # A large host has megabytes of them: not two of each.
        self._outline = report.outline(sample.snapshot, self.columns)
        self._lines = {line.key: line for line in self._outline.lines()}
        self._parents = {line.parent for line in self._lines.values()}
        self._search = None
        self.rearrange()

    def choose(self, columns: Sequence[str]) -> None:
        """Show these columns beside the name."""
        self.columns = columns
        if self.order not in (NAME, *columns):
            self.order = NAME
        if self._sample is not None:
            self._make(self._sample)

    def rearrange(self) -> None:
        """Decide anew which lines are seen, and in which order.

        What a filter hides is selected again as soon as it is shown.
        """
        if self.cursor != self._settled:
            self.settle()
        lines: Iterable[Line] = self._lines.values()
        if self._query and (search := self.search()) is not None:
            found = search.found(self._query, self._rate)
            lines = [line for line in lines if line.key in found]
        elif self._folded:
            lines = self._unfolded(lines)
        if self.order != NAME or self.turned:
            lines = self._sorted(lines)
        self.show_keys([line.key for line in lines])
        if self._chosen not in self._lines:
            self._chosen = self.cursor  # It is gone, not hidden: what comes back is another.
        elif self._chosen is not None:
            self.select(self._chosen)
        self._settled = self.cursor

    def settle(self) -> None:
        """Take what is selected for chosen, as if the operator had moved the selection there."""
        if self.cursor is not None:
            self._chosen = self.cursor

    @property
    def foldable(self) -> bool:
        """Whether the selected line can be folded or unfolded now."""
        return self.cursor in self._parents and self.cursor is not None and not self.filter

    def fold(self) -> None:
        """Fold or unfold the selected line, if anything hangs below it."""
        if self.foldable and self.cursor is not None:
            self._folded ^= {self.cursor}
            self.rearrange()

    def mark(self) -> None:
        """Mark the selected line, or no longer, and go on to the next."""
        if self.cursor is not None:
            self._marked ^= {self.cursor}
            self.redraw()
            self.action_move(1)

    def unmark(self) -> None:
        """Mark nothing."""
        self._marked.clear()
        self.redraw()

    @property
    def marked(self) -> tuple[str, ...]:
        """What is marked and still there, in the order of the host."""
        # Asked for with every key: a large host has many lines.
        return tuple(key for key in self._lines if key in self._marked) if self._marked else ()

    def action_outwards(self) -> None:
        """Fold the selected line, or go to the one that it hangs below."""
        line = self._lines.get(self.cursor or "")
        if self.foldable and not self._is_folded(self.cursor):
            self.fold()
        elif line is not None and line.parent is not None:
            self.select(line.parent)

    def action_inwards(self) -> None:
        """Unfold the selected line, or go to the first that hangs below it."""
        if self._is_folded(self.cursor):
            self.fold()
        elif self.cursor in self._parents:
            self.action_move(1)

    def _is_folded(self, key: str | None) -> bool:
        """A filter shows what it finds, folded or not."""
        return key in self._folded and not self.filter

    def next_order(self) -> None:
        """Sort by the next column: the rates are what is wanted most often, and come first."""
        shown = self._outline.columns.names
        rates = [name for name in shown if name == RATE]
        orders = [NAME, *rates, *(name for name in shown if name not in (NAME, RATE))]
        at = orders.index(self.order) if self.order in orders else -1
        self.sort_by(orders[(at + 1) % len(orders)])

    def sort_by(self, column: str) -> None:
        """Sort by a column; by the same again, the other way round."""
        self.turned = column == self.order and not self.turned
        self.order = column
        self.rearrange()

    def turn(self) -> None:
        """Sort the other way round."""
        self.turned = not self.turned
        self.rearrange()

    def heading_clicked(self, x: int) -> None:
        """Sort by the column whose heading was clicked."""
        self.sort_by(self._outline.columns.at(x - 2, self._widths))

    def find(self, text: str) -> None:
        """Show only lines that answer to a query, with what they hang below.

        The selection stays where the operator has put it last, as soon as that is shown again.
        Raises `QueryError`, and changes nothing.
        """
        query = parse(text, FIELDS)
        if not query and self.filter:
            self._unfold_to(self.cursor if self.cursor != self._settled else self._chosen)
        self.filter = text if query else ""
        self._query = query
        self.rearrange()

    def _unfold_to(self, key: str | None) -> None:
        """Have a line shown that a filter has found in what is folded."""
        while key is not None and (line := self._lines.get(key)) is not None:
            key = line.parent
            self._folded.discard(key or "")

    def search(self) -> Search | None:
        """What can be asked about the lines; None while nothing has been read in full."""
        if self._search is None and self._sample is not None:
            self._search = Search(self._sample.snapshot, self._outline, self._lines.values())
        return self._search

    def values(self, field: str) -> Sequence[str]:
        """What a field has on this host."""
        search = self.search()
        return search.values(field) if search is not None else ()

    def _rate(self, key: str) -> float | None:
        """Interrupts a second of a device, or of all devices of a group."""
        if self._sample is None:
            return None
        return self._sample.counters.rates(self._outline.irqs(self._lines[key]))

    def _sorted(self, lines: Iterable[Line]) -> list[Line]:
        """Groups, and what is in each, by the order chosen; ties stay as they were."""
        children: dict[str | None, list[Line]] = {}
        for line in lines:
            children.setdefault(line.parent, []).append(line)
        found: list[Line] = []

        def walk(parent: str | None) -> None:
            for line in self._in_order(children.get(parent, [])):
                found.append(line)
                walk(line.key)

        walk(None)
        return found

    def _in_order(self, lines: list[Line]) -> list[Line]:
        """Lines that hang below the same, in order; those with nothing to sort by come last."""
        if self.order not in self._outline.columns.names:
            return lines  # There is no such column on this host, or no more.
        if self.order == NAME:
            return lines[::-1] if self.turned else lines
        values = [(self._value_of(line), line) for line in lines]
        some = [(value, line) for value, line in values if value is not None]
        # The busiest first; of everything else, the lowest.
        some.sort(key=lambda pair: pair[0], reverse=self.turned is not (self.order == RATE))
        return [*(line for _, line in some), *(line for value, line in values if value is None)]

    def _value_of(self, line: Line) -> tuple[float, str] | None:
        """What a line is sorted by."""
        if self.order == RATE:
            rate = self._rate(line.key)
            return (rate, "") if rate else None
        core = self._outline.core(line)
        at = self._outline.columns.names.index(self.order)
        text = self._outline.cells(line, core)[at]
        if text in ("", "-"):
            return None
        return (float(text), "") if text.isdecimal() else (0.0, text)

    def _unfolded(self, lines: Iterable[Line]) -> list[Line]:
        hidden: set[str | None] = set()
        found = []
        for line in lines:
            if line.parent in hidden:
                hidden.add(line.key)
                continue
            found.append(line)
            if line.key in self._folded:
                hidden.add(line.key)
        return found


def _no_device(_address: str) -> Device | None:
    return None
