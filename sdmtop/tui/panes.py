"""What the panes beside the tree have in common; the inspector and the PASIDs."""

import textwrap
from collections.abc import Mapping, Sequence

from textual import events

from sdmtop.collector import Sample
from sdmtop.columns import middle
from sdmtop.inspection import inspect
from sdmtop.model import Detail, Pasid, Unknown
from sdmtop.text import cell, printable, width, wrap_at
from sdmtop.timeline import clock
from sdmtop.tui.lines import Content, LinesPane, Span

_NAME, _LONG_NAME = 16, 32
"""Cells of the inspector before the value: as few as tell the names of capabilities apart, and as
many as show all of them."""

_GIST = 20
"""Cells in which a meaning that is cut still tells something."""

_IN_FULL = frozenset({"because"})
"""Facts whose value is never cut."""


class SamplePane(LinesPane):
    """A pane that shows a part of a Sample, and knows what is selected in the tree."""

    sample: Sample | None = None
    target: str | None = None

    def show(self, sample: Sample, target: str | None) -> None:
        """Show a newer sample, or the same for another selection."""
        self.sample, self.target = sample, target
        self.show_keys(self.make_keys(sample))

    def make_keys(self, sample: Sample) -> Sequence[str]:
        """The lines that this sample has here."""
        raise NotImplementedError

    def target_of(self, key: str) -> str | None:
        """The TARGET that a line is about, if it is about one."""
        del key
        return None

    @property
    def goal(self) -> str | None:
        """The TARGET of the selected line."""
        return self.target_of(self.cursor) if self.cursor is not None else None

    def copied(self) -> str | None:
        """What is copied of the selected line."""
        return self.goal


class Inspector(SamplePane):
    """Every fact of the selection, with its meaning or (key `o`) its origin.

    While it has the focus, the selected fact stands in full, on as many lines as it takes. What
    stands in the way of VFIO does always: who asks why must not have to look for the answer.
    """

    # A scrollbar that comes and goes as the selection moves would lay out the screen each time.
    DEFAULT_CSS = "Inspector { overflow-y: scroll; }"

    origins = False
    _details: tuple[Detail, ...] = ()
    _read_at: Mapping[str, float] = {}
    _first: Mapping[str, str] = {}
    """What stands beside the name of a fact that goes on below, by its key."""
    _below: Mapping[str, tuple[str, Span]] = {}
    """Lines that are no fact of their own: the key of their fact, and what stands on them."""

    def title(self) -> str:
        """What is inspected; with origins, also when it was read."""
        title = f"2 Inspector {f'[origin{self._when(self._part)}]' if self.origins else ''} "
        left = max(self.line_width - len(title), 0)
        return title + printable(middle(self.target or "nothing selected", left))

    def make_keys(self, sample: Sample) -> Sequence[str]:
        """A line a fact."""
        details = inspect(sample, self.target) if self.target else ()
        if details != self._details:
            # Not with every sample: facts that are read again and are the same are not drawn.
            self._details = details
            self._read_at = sample.read_at
        return self._lines()

    def content(self, key: str) -> Content:
        """Name, value, and what it means or where it comes from; or a line of what was cut."""
        if key in self._below:
            text, style = self._below[key][1]
            return ((" " * self._name_cells + text, style),)
        detail = self._details[int(key.partition(" ")[0])]
        style = "warn" if detail.name == "unknown" else "plain"
        name = (cell(detail.name, self._name_cells - 1) + " ", "accent")
        if key in self._first:
            return (name, (self._first[key], style))
        value = self._value(detail)
        left = max(self.line_width - self._name_cells - width(value) - 2, 0)
        more = detail.path if self.origins else detail.meaning
        if _cells(more) > left < _GIST:
            return (name, (value, style))
        return (name, (f"{value}  ", style), (cell(more, left), "dim"))

    def copied(self) -> str | None:
        """The value; with origins, where it was read."""
        if self.cursor is None:
            return None
        detail = self._details[int(self.cursor.partition(" ")[0])]
        return printable(detail.path if self.origins else detail.value)

    def toggle_origins(self) -> None:
        """Show paths instead of meanings, or the other way round."""
        self.origins = not self.origins
        if self.sample is not None:
            self._read_at = self.sample.read_at
        self.show_keys(self._lines())

    def selected(self) -> None:
        """Show the newly selected fact in full, instead of the old one."""
        self.show_keys(self._lines())

    def on_focus(self) -> None:
        """Show the selected fact in full."""
        self.show_keys(self._lines(reading=True))

    def on_blur(self) -> None:
        """A line a fact, as long as nobody reads them one by one."""
        self.show_keys(self._lines(reading=False))

    def on_resize(self, _event: events.Resize) -> None:
        """Wrap anew."""
        self.show_keys(self._lines())

    def action_move(self, step: int) -> None:
        """Move from fact to fact."""
        self.show_keys(self._facts())
        super().action_move(step)
        self.show_keys(self._lines())

    def _select(self, row: int) -> None:
        below = self._below.get(self.keys[row]) if row >= 0 else None
        super()._select(self._row_of(below[0]) if below is not None else row)

    def _facts(self) -> list[str]:
        """The keys of the facts."""
        return [f"{index} {detail.name}" for index, detail in enumerate(self._details)]

    def _lines(self, *, reading: bool | None = None) -> list[str]:
        """The keys: one a fact, and one for each line below it."""
        reading = self.has_focus if reading is None else reading
        keys = []
        first: dict[str, str] = {}
        below: dict[str, tuple[str, Span]] = {}
        for key, detail in zip(self._facts(), self._details, strict=True):
            is_read = reading and key == self.cursor
            value = self._whole_value(detail) if is_read or detail.name in _IN_FULL else []
            meaning = self._rest_of_meaning(detail) if is_read else []
            if value or meaning:
                first[key] = value[0] if value else self._value(detail)
            rest = [*((one, "plain") for one in value[1:]), *((one, "dim") for one in meaning)]
            more = {f"{key}+{number}": (key, span) for number, span in enumerate(rest)}
            below |= more
            keys += [key, *more]
        self._first, self._below = first, below
        return keys

    def _whole_value(self, detail: Detail) -> list[str]:
        """The value, wrapped, where it does not fit on its line."""
        room = self.line_width - self._name_cells - 1
        is_cut = _cells(detail.value) > width(self._value(detail))
        return wrapped(detail.value, room) if is_cut and room > 0 else []  # Not laid out yet.

    def _rest_of_meaning(self, detail: Detail) -> list[str]:
        """The meaning or the origin, wrapped, where it or the name does not fit on the line."""
        room = self.line_width - self._name_cells - 1
        left = room - width(self._value(detail)) - 1
        rest = detail.path + self._when(_part_of(detail.path)) if self.origins else detail.meaning
        is_named = _cells(detail.name) < self._name_cells
        if room <= 0 or (is_named and _cells(rest) <= left):
            return []
        return wrapped(rest if is_named else f"{detail.name}: {rest}", room)

    def _value(self, detail: Detail) -> str:
        """The value, cut only where it leaves no room for anything else."""
        most = max(self.line_width - self._name_cells - 2, 8)
        return cell(detail.value, min(max(_cells(detail.value), 16), most))

    @property
    def _name_cells(self) -> int:
        return min(max(_NAME, self.line_width // 4 - 6), _LONG_NAME)

    @property
    def _part(self) -> str:
        """The part of a reading that the selection is of."""
        return _part_of(self._details[0].path) if self._details else ""

    def _when(self, part: str) -> str:
        at = self._read_at.get(part)
        return f" {clock(at)}" if at is not None else ""


def _part_of(path: str) -> str:
    """The part of a reading in which a file is read (see `Sample.read_at`)."""
    for start, part in _PARTS:
        if path.startswith(start):
            return part
    return "devices"


_PARTS = (
    ("/sys/kernel/iommu_groups", "topology"),
    ("/sys/kernel/debug", "domains"),
    ("/sys/class/iommu", "host"),
    ("/sys/bus/mdev", "queues"),
    ("/sys/bus/dsa", "queues"),
    ("/sys/class/uacce", "queues"),
    ("/proc", "holders"),
    ("/dev/kmsg", "holders"),  # It is read together with them.
)


def wrapped(text: str, cells: int) -> list[str]:
    """Text from outside over several lines, so many at most that a screen can show them."""
    shown = printable(text[:_LONGEST])
    return textwrap.wrap(shown, wrap_at(shown, max(cells, 8)))


def _cells(text: str) -> int:
    """Cells that text from outside takes where it is shown."""
    return width(printable(text[:_LONGEST]))


_LONGEST = 2000


class Pasids(SamplePane):
    """PASIDs that are live, whose they are, and who says so."""

    _pasids: dict[str, Pasid]
    _reasons: dict[str, str]
    """Lines that say why others are not known, by their keys."""

    def title(self) -> str:
        """How many, and the columns."""
        count = len(self.sample.snapshot.pasids) if self.sample else 0
        return f"3 {'PASID':>5} {'DEVICE':<14} {'PROCESS':<8} SOURCE ({count})"

    def make_keys(self, sample: Sample) -> Sequence[str]:
        """A line a PASID and device, then the reasons why others are not known."""
        pasids = sample.snapshot.pasids
        self._pasids = {f"{pasid.pasid} {pasid.device} {pasid.source}": pasid for pasid in pasids}
        reasons = {_reason(entry) for entry in sample.snapshot.unknown if _hides_pasids(entry)}
        if not pasids and not reasons:
            reasons = {"no live PASID is known here"}
        # Room for the scrollbar, whether it is there yet or not.
        room = self.container_size.width - 1
        lines = [line for reason in sorted(reasons) for line in wrapped(reason, room)]
        self._reasons = {f"- {number}": line for number, line in enumerate(lines)}
        return [*self._pasids, *self._reasons]

    def content(self, key: str) -> Content:
        """PASID, device, process, source."""
        if key in self._reasons:
            return ((self._reasons[key], "dim"),)
        pasid = self._pasids[key]
        process = "?" if pasid.process is None else str(pasid.process)
        return (
            (f"{pasid.pasid:>7} ", "accent"),
            (f"{cell(pasid.device, 14)} {cell(process, 8)} ", "plain"),
            (cell(pasid.source, max(self.line_width - 32, 0)), "dim"),
        )

    def on_resize(self, _event: events.Resize) -> None:
        """Wrap anew."""
        if self.sample is not None:
            self.show(self.sample, self.target)

    def target_of(self, key: str) -> str | None:
        """The device that it is live on."""
        pasid = self._pasids.get(key)
        return pasid.device if pasid is not None else None


def _hides_pasids(entry: Unknown) -> bool:
    """Whether this is a reason why live PASIDs are not known; capabilities are another matter."""
    return "PASIDs" in entry.what or entry.what.startswith("PASID of ")


def _reason(entry: Unknown) -> str:
    """The errno and the reason itself."""
    what, _, why = entry.what.split(" (and ")[0].partition(": ")
    return f"{entry.errno}: {why} ({what})" if why else f"{entry.errno}: {what}"
