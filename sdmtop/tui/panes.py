"""The panes beside the tree: inspector, PASIDs, interrupts, events."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from textual import events

from sdmtop.collector import Sample
from sdmtop.columns import middle
from sdmtop.inspection import inspect
from sdmtop.model import Detail, Interrupt, Pasid, Unknown
from sdmtop.text import cell, printable
from sdmtop.timeline import Happening, clock
from sdmtop.tui.lines import Content, LinesPane

SPARK = " ▁▂▃▄▅▆▇█"

_ROOMY = 60
"""Columns of the interrupts pane from which it shows affinity and longer columns."""

_NAME = 14
"""Columns of the inspector before the value."""

_KIND_STYLES = {
    "added": ("+", "good"),
    "removed": ("-", "warn"),
    "changed": ("~", "accent"),
    "fault": ("!", "bad"),
    "trouble": ("!", "warn"),
}


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


class Inspector(SamplePane):
    """Every fact of the selection, with its meaning or (key `o`) its origin.

    While it has the focus, what is cut off the selected line stands in full below it.
    """

    origins = False
    _details: tuple[Detail, ...] = ()
    _read_at: Mapping[str, float] = {}
    _below: tuple[str, ...] = ()

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
        number, _, below = key.partition("+")
        if below:
            return ((" " * _NAME + self._below[int(below)], "dim"),)
        detail = self._details[int(number.partition(" ")[0])]
        style = "warn" if detail.name == "unknown" else "plain"
        value = self._value(detail)
        left = max(self.line_width - _NAME - len(value) - 2, 0)
        return (
            (cell(detail.name, _NAME - 1) + " ", "accent"),
            (f"{value}  ", style),
            (cell(detail.path if self.origins else detail.meaning, left), "dim"),
        )

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
        self.show_keys(self._lines(reading=False))
        super().action_move(step)
        self.show_keys(self._lines())

    def _select(self, key: str | None) -> None:
        super()._select(key.partition("+")[0] if key is not None else None)

    def _lines(self, *, reading: bool | None = None) -> list[str]:
        """The keys: one a fact, and one for each line below the selected one."""
        self._below = ()
        keys = [f"{index} {detail.name}" for index, detail in enumerate(self._details)]
        reading = self.has_focus if reading is None else reading
        if reading and self.cursor in keys:
            row = keys.index(self.cursor)
            self._below = tuple(self._rest_of(self._details[row]))
            keys[row + 1 : row + 1] = [f"{self.cursor}+{n}" for n in range(len(self._below))]
        return keys

    def _rest_of(self, detail: Detail) -> Iterator[str]:
        """What does not fit on the line of a fact, wrapped."""
        width = self.line_width - _NAME - 1
        if width <= 0:
            return  # Not laid out yet.
        value = self._value(detail)
        left = self.line_width - _NAME - len(value) - 2
        rest = detail.path + self._when(_part_of(detail.path)) if self.origins else detail.meaning
        if len(detail.value) > len(value):
            yield from wrapped(detail.value, width)
        if len(rest) > left:
            yield from wrapped(rest, width)

    def _value(self, detail: Detail) -> str:
        """The value, cut only where it leaves no room for anything else."""
        most = max(self.line_width - _NAME - 2, 8)
        return cell(detail.value, min(max(len(detail.value), 16), most))

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
)


def wrapped(text: str, width: int) -> list[str]:
    """Text from outside over several lines, so many at most that a screen can show them."""
    return textwrap.wrap(printable(text[:_LONGEST]), max(width, 8))


_LONGEST = 2000


class Pasids(SamplePane):
    """PASIDs that are live, whose they are, and who says so."""

    _pasids: dict[str, Pasid]

    def title(self) -> str:
        """How many, and the columns."""
        count = len(self.sample.snapshot.pasids) if self.sample else 0
        return f"3 {'PASID':>5} {'DEVICE':<14} {'PROCESS':<8} SOURCE ({count})"

    def make_keys(self, sample: Sample) -> Sequence[str]:
        """A line a PASID and device, then the reasons why others are not known."""
        pasids = sample.snapshot.pasids
        self._pasids = {f"{pasid.pasid} {pasid.device} {pasid.source}": pasid for pasid in pasids}
        reasons = {_reason(entry) for entry in sample.snapshot.unknown if _hides_pasids(entry)}
        found = [*self._pasids, *(f"- {reason}" for reason in sorted(reasons))]
        return found or ["- no live PASID is known here"]

    def content(self, key: str) -> Content:
        """PASID, device, process, source."""
        pasid = self._pasids.get(key)
        if pasid is None:
            return ((cell(key[2:], self.line_width), "dim"),)
        process = "?" if pasid.process is None else str(pasid.process)
        return (
            (f"{pasid.pasid:>7} ", "accent"),
            (f"{cell(pasid.device, 14)} {cell(process, 8)} ", "plain"),
            (cell(pasid.source, max(self.line_width - 32, 0)), "dim"),
        )


def _hides_pasids(entry: Unknown) -> bool:
    """Whether this is a reason why live PASIDs are not known; capabilities are another matter."""
    return "PASIDs" in entry.what or entry.what.startswith("PASID of ")


def _reason(entry: Unknown) -> str:
    """The errno and the reason itself, which must not be cut off."""
    what, _, why = entry.what.split(" (and ")[0].partition(": ")
    return f"{entry.errno}: {why} ({what})" if why else f"{entry.errno}: {what}"


class Interrupts(SamplePane):
    """Counts, rates and sparklines of interrupts; those of the selected device first."""

    by_rate = False
    _interrupts: dict[str, Interrupt]
    _irq_cells = 4

    def title(self) -> str:
        """The columns, and how they are sorted."""
        order = "rate" if self.by_rate else "number"
        spark, count = self._spark_cells, self._count_cells
        affinity = f" {'AFFINITY':<8}" if self._roomy else ""
        total = f"{'HISTORY' if self._roomy else 'HIST':<{spark}} {'TOTAL':>{count}}"
        return (
            f"4 {cell('IRQ', self._irq_cells - 1)} {'/S':>5} {total} CPU{affinity} WHO (by {order})"
        )

    def make_keys(self, sample: Sample) -> Sequence[str]:
        """A line an interrupt."""
        rows = sample.snapshot.interrupts
        self._interrupts = {row.irq: row for row in rows}
        self._irq_cells = min(max(4, *(len(row.irq) for row in rows), 0), 6)
        if self.by_rate:
            rows = tuple(sorted(rows, key=lambda row: -(self._rate(row) or 0.0)))
        mine = [row.irq for row in rows if self.target and row.device == self.target]
        if not mine:
            return [row.irq for row in rows]
        return [*mine, *(row.irq for row in rows if row.device != self.target)]

    def content(self, key: str) -> Content:
        """Number, rate, sparkline, total, affinity, device and actions."""
        row = self._interrupts[key]
        rate = self._rate(row)
        mark = "▸" if self.target and row.device == self.target else " "
        who = f"{', '.join(row.actions)} {row.device or ''}".strip()
        affinity = f" {cell(row.affinity or '', 8)}" if self._roomy else ""
        count = self._count_cells
        left = self.line_width - 14 - self._irq_cells - self._spark_cells - count - len(affinity)
        return (
            (f"{mark}{cell(row.irq, self._irq_cells)} ", "accent"),
            (f"{rate_text(rate):>5} ", "plain" if rate else "dim"),
            (f"{self._spark(row)} ", "good"),
            (f"{count_text(self._total(row), count):>{count}} ", "plain"),
            (f"{self._busiest_cpu(row):>3}{affinity} ", "dim"),
            (cell(who, max(left, 0)), "plain"),
        )

    def visible_irqs(self) -> list[int]:
        """The interrupt numbers that stand on the screen."""
        first = self.scroll_offset.y
        keys = self.keys[first : first + max(self.size.height - 1, 0)]
        return [int(key) for key in keys if key.isdecimal()]

    @property
    def _roomy(self) -> bool:
        return self.line_width >= _ROOMY

    @property
    def _spark_cells(self) -> int:
        return 16 if self._roomy else 6

    @property
    def _count_cells(self) -> int:
        return 8 if self._roomy else 5

    def _busiest_cpu(self, row: Interrupt) -> str:
        """The CPU that has taken most of them."""
        if self.sample is None or not row.irq.isdecimal():
            return ""
        counts = self.sample.per_cpu.get(int(row.irq), ())
        return str(counts.index(max(counts))) if any(counts) else ""

    def toggle_order(self) -> None:
        """Sort by rate, or by number again."""
        self.by_rate = not self.by_rate

    def _rate(self, row: Interrupt) -> float | None:
        if self.sample is None or not row.irq.isdecimal():
            return None
        return self.sample.counters.rate(int(row.irq))

    def _total(self, row: Interrupt) -> int:
        if self.sample is None or not row.irq.isdecimal():
            return row.total
        total = self.sample.counters.total(int(row.irq))
        return row.total if total is None else total

    def _spark(self, row: Interrupt) -> str:
        if self.sample is None or not row.irq.isdecimal():
            return " " * self._spark_cells
        history = self.sample.counters.history(int(row.irq), self._spark_cells)
        return sparkline(history, self._spark_cells)


class Events(SamplePane):
    """What happened, newest last; follows the newest unless an older line is selected."""

    _shown: dict[str, Happening]

    def title(self) -> str:
        """How many."""
        count = len(self.sample.happenings) if self.sample else 0
        return f"5 Events ({count})"

    def make_keys(self, sample: Sample) -> Sequence[str]:
        """A line a happening."""
        happenings = sample.happenings
        self._shown = {f"{happening.at} {happening.text}": happening for happening in happenings}
        return list(self._shown)

    def show(self, sample: Sample, target: str | None) -> None:
        """Show a newer sample, and its newest line if the newest was in view."""
        following = not self.keys or self.cursor == self.keys[-1]
        super().show(sample, target)
        if following and self.keys:
            self.select(self.keys[-1])

    def content(self, key: str) -> Content:
        """Time, glyph, text."""
        happening = self._shown[key]
        glyph, style = _KIND_STYLES[happening.kind]
        return (
            (f"{clock(happening.at)} ", "dim"),
            (f"{glyph} ", style),
            (cell(happening.text, max(self.line_width - 11, 0)), "plain"),
        )


def rate_text(rate: float | None) -> str:
    """A rate in at most seven cells; blank where there is none yet."""
    if rate is None:
        return ""
    if rate < 10:
        return f"{rate:.1f}" if rate else "0"
    for unit in ("", "k", "M"):
        if rate < 10_000:
            return f"{rate:.0f}{unit}"
        rate /= 1000
    return f"{rate:.0f}G"


def count_text(count: int, cells: int = 8) -> str:
    """A count in at most so many cells, five at least."""
    for unit in ("", "k", "M", "G"):
        text = f"{count}{unit}"
        if len(text) <= cells:
            return text
        count //= 1000
    return f"{count}T"


def sparkline(rates: Sequence[float], cells: int) -> str:
    """The rates as blocks, scaled to the highest, right-aligned in so many cells."""
    top = max(rates, default=0.0)
    if top <= 0:
        return ("▁" * len(rates)).rjust(cells)
    steps = len(SPARK) - 1
    bars = (SPARK[max(round(rate / top * steps), 1)] for rate in rates)
    return "".join(bars).rjust(cells)
