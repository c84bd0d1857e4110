"""The panes beside the tree: inspector, PASIDs, interrupts, events."""

import time
from collections.abc import Sequence

from sdmtop.collector import Sample
from sdmtop.inspection import inspect
from sdmtop.model import Detail, Interrupt, Pasid
from sdmtop.text import cell, printable
from sdmtop.timeline import Happening
from sdmtop.tui.lines import Content, LinesPane

SPARK = " ▁▂▃▄▅▆▇█"

_ROOMY = 60
"""Columns of the interrupts pane from which it shows affinity and a longer history."""

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
    """Every fact of the selection, with its meaning or (key `o`) its origin."""

    origins = False
    _details: tuple[Detail, ...] = ()

    def title(self) -> str:
        """What is inspected."""
        what = printable(self.target or "nothing selected")
        return f"2 Inspector  {what}{'  [origin]' if self.origins else ''}"

    def make_keys(self, sample: Sample) -> Sequence[str]:
        """A line a fact."""
        self._details = inspect(sample, self.target) if self.target else ()
        return [f"{index} {detail.name}" for index, detail in enumerate(self._details)]

    def content(self, key: str) -> Content:
        """Name, value, and what it means or where it comes from."""
        detail = self._details[int(key.partition(" ")[0])]
        style = "warn" if detail.name == "unknown" else "plain"
        rest = detail.path if self.origins else detail.meaning
        width = self.size.width
        value = cell(detail.value, min(max(len(detail.value), 16), max(width - 16, 8)))
        return (
            (cell(detail.name, 13) + " ", "accent"),
            (value + "  ", style),
            (cell(rest, max(width - 16 - len(value), 0)), "dim"),
        )

    def toggle_origins(self) -> None:
        """Show paths instead of meanings, or the other way round."""
        self.origins = not self.origins
        self.redraw()


class Pasids(SamplePane):
    """PASIDs that are live, whose they are, and who says so."""

    _pasids: dict[str, Pasid]

    def title(self) -> str:
        """How many, and the columns."""
        count = len(self.sample.snapshot.pasids) if self.sample else 0
        return f"3  PASID {'DEVICE':<14} {'PROCESS':<8} SOURCE ({count})"

    def make_keys(self, sample: Sample) -> Sequence[str]:
        """A line a PASID and device, or the reasons why none is known."""
        pasids = sample.snapshot.pasids
        self._pasids = {f"{pasid.pasid} {pasid.device} {pasid.source}": pasid for pasid in pasids}
        if self._pasids:
            return list(self._pasids)
        unknown = sample.snapshot.unknown
        reasons = {entry.what.split(" (and ")[0] for entry in unknown if "PASID" in entry.what}
        return [f"- {reason}" for reason in sorted(reasons)] or ["- no live PASID is known here"]

    def content(self, key: str) -> Content:
        """PASID, device, process, source."""
        pasid = self._pasids.get(key)
        if pasid is None:
            return ((cell(key[2:], self.size.width), "dim"),)
        process = "?" if pasid.process is None else str(pasid.process)
        return (
            (f"{pasid.pasid:>7} ", "accent"),
            (f"{cell(pasid.device, 14)} {cell(process, 8)} ", "plain"),
            (cell(pasid.source, max(self.size.width - 32, 0)), "dim"),
        )


class Interrupts(SamplePane):
    """Counts, rates and sparklines of interrupts; those of the selected device first."""

    by_rate = False
    _interrupts: dict[str, Interrupt]

    def title(self) -> str:
        """The columns, and how they are sorted."""
        order = "by rate" if self.by_rate else "by number"
        history = cell("HISTORY", self._spark_cells)
        affinity = f" {'AFFINITY':<8}" if self._roomy else ""
        return f"4 IRQ       /S {history} {'TOTAL':>8} CPU{affinity} WHO ({order})"

    def make_keys(self, sample: Sample) -> Sequence[str]:
        """A line an interrupt."""
        rows = sample.snapshot.interrupts
        self._interrupts = {row.irq: row for row in rows}
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
        left = self.size.width - 33 - self._spark_cells - len(affinity)
        return (
            (f"{mark}{cell(row.irq, 6)} ", "accent"),
            (f"{rate_text(rate):>6} ", "plain" if rate else "dim"),
            (f"{self._spark(row)} ", "good"),
            (f"{count_text(self._total(row)):>8} ", "plain"),
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
        return self.size.width >= _ROOMY

    @property
    def _spark_cells(self) -> int:
        return 16 if self._roomy else 8

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
            (cell(happening.text, max(self.size.width - 11, 0)), "plain"),
        )


def clock(at: float) -> str:
    """A time of day, from seconds since the epoch."""
    return time.strftime("%H:%M:%S", time.localtime(at))


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


def count_text(count: int) -> str:
    """A count in at most eight cells."""
    if count < 100_000_000:
        return str(count)
    return f"{count // 1000}k" if count < 10_000_000_000 else f"{count // 1_000_000}M"


def sparkline(rates: Sequence[float], cells: int) -> str:
    """The rates as blocks, scaled to the highest, right-aligned in so many cells."""
    top = max(rates, default=0.0)
    if top <= 0:
        return ("▁" * len(rates)).rjust(cells)
    steps = len(SPARK) - 1
    bars = (SPARK[max(round(rate / top * steps), 1)] for rate in rates)
    return "".join(bars).rjust(cells)
