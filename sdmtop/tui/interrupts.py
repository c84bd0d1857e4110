"""The interrupts: a line each, as numbers or as a map of the CPUs that take them."""

from collections.abc import Iterator, Sequence

from sdmtop.collector import Sample
from sdmtop.graphs import COLD, count_text, heat, rate_text, sparkline
from sdmtop.locality import Locality, Place
from sdmtop.model import Interrupt, Snapshot
from sdmtop.text import cell
from sdmtop.tui.lines import Content, Span
from sdmtop.tui.panes import SamplePane

_WITH_TOTALS = 60
"""Cells of a line from which it tells totals: below, whose interrupt it is needs the room."""

_ROOMY = 80
"""Cells of a line from which it shows affinity, distance and a longer history."""

_COUNT = 8
"""Cells of a total."""

_WHO = 14
"""Cells that a map leaves at least for whose interrupt it is, and a gap."""

_BORDER = "│"
"""Stands between the CPUs of two NUMA nodes."""

_Cell = tuple[int | None, tuple[int, ...]]
"""A node, and the CPUs that share one cell of the map."""


class Interrupts(SamplePane):
    """Counts, rates and sparklines, or who takes them; those of the selected device first."""

    by_rate = False
    as_map = False
    _interrupts: dict[str, Interrupt] = {}
    _irq_cells = 4
    _locality: Locality | None = None
    _joined: Snapshot | None = None
    """The snapshot that all this was made of."""
    _order: tuple[str | None, bool] = (None, False)
    """Whose interrupts come first, and whether the others are sorted by rate."""

    def title(self) -> str:
        """The columns, and how they are sorted."""
        order = "rate" if self.by_rate else "number"
        irq = f"4 {cell('IRQ', self._irq_cells - 1)} {'/S':>5}"
        if self.as_map:
            dist = " DIST" if self._has_nodes else ""
            return f"{irq} {self._map_title()}{dist} WHO (shades: x10)"
        affinity = f" {'AFFINITY':<8} DIST" if self._roomy else ""
        history = cell("HISTORY" if self._roomy else "HIST", self._spark_cells)
        total = f" {'TOTAL':>{_COUNT}}" if self._has_totals else ""
        return f"{irq} {history}{total} CPU{affinity} WHO (by {order})"

    def make_keys(self, sample: Sample) -> Sequence[str]:
        """A line an interrupt."""
        rows = sample.snapshot.interrupts
        before, self._order = self._order, (self.target, self.by_rate)
        if self._joined is not sample.snapshot:
            self._joined = sample.snapshot
            self._interrupts = {row.irq: row for row in rows}
            self._locality = Locality(sample.nodes, sample.snapshot)
            self._irq_cells = min(max(4, *(len(row.irq) for row in rows), 0), 6)
        elif self._order == before and not self.by_rate:
            return self.keys  # There may be thousands, and only rates are new.
        if self.by_rate:
            rows = tuple(sorted(rows, key=lambda row: -(self._rate(row) or 0.0)))
        mine = [row.irq for row in rows if self._is_mine(row)]
        if not mine:
            return [row.irq for row in rows]
        return [*mine, *(row.irq for row in rows if not self._is_mine(row))]

    def content(self, key: str) -> Content:
        """Number, rate, sparkline, total, affinity, device and actions, as far as there is room."""
        row = self._interrupts[key]
        rate = self._rate(row)
        mark = "▸" if self._is_mine(row) else " "
        begin = (
            (f"{mark}{cell(row.irq, self._irq_cells)} ", "accent"),
            (f"{rate_text(rate):>5} ", "plain" if rate else "dim"),
        )
        place = self._place(row)
        middle = tuple(self._map(row, place) if self.as_map else self._numbers(row, place))
        used = sum(len(text) for text, _ in (*begin, *middle))
        return (*begin, *middle, (cell(_who(row), max(self.line_width - used, 0)), "plain"))

    def _numbers(self, row: Interrupt, place: Place | None) -> Iterator[Span]:
        yield f"{self._spark(row)} ", "good"
        if self._has_totals:
            yield f"{count_text(self._total(row), _COUNT):>{_COUNT}} ", "plain"
        # Never a colour alone: what is taken on a far node has a mark.
        cpu = "" if place is None else f"{place.cpu}{'!' if place.is_far else ''}"
        style = "warn" if place is not None and place.is_far else "dim"
        yield f"{cpu:>3} ", style
        if self._roomy:
            yield f"{cell(row.affinity or '', 8)} {_distance(place):>4} ", style

    # -- the map -------------------------------------------------------------------------------

    def _map(self, row: Interrupt, place: Place | None) -> Iterator[Span]:
        """A shade for each CPU, in the order of the nodes; those of another node are warned of."""
        rates = self._cpu_rates(row)
        device_node = self._device_node(row)
        before: int | None = None
        for index, (node, cpus) in enumerate(self._cells()):
            if index and node != before:
                yield _BORDER, "dim"
            before = node
            rate = max((rates[cpu] for cpu in cpus if cpu < len(rates)), default=None)
            shade = " " if rate is None else heat(rate)
            far = node is not None and device_node not in (None, node)
            style = "dim" if shade in (COLD, " ") else "warn" if far else "good"
            yield shade, style
        yield " ", "plain"
        if self._has_nodes:
            style = "warn" if place is not None and place.is_far else "dim"
            yield f"{_distance(place):>4} ", style

    def _map_title(self) -> str:
        """The last digit of each CPU's number; of cells with several CPUs, how many."""
        cells = self._cells()
        text = ""
        before: int | None = None
        for index, (node, cpus) in enumerate(cells):
            text += _BORDER if index and node != before else ""
            text += str(cpus[0] % 10)
            before = node
        together = max((len(cpus) for _, cpus in cells), default=1)
        if together == 1:
            return text
        note = f"{together} CPUs each"
        return f"{note:<{len(text)}}" if len(note) <= len(text) else text

    def _cells(self) -> list[_Cell]:
        """The CPUs in the order of their nodes, as many to a cell as there must be."""
        sample = self.sample
        if sample is None:
            return []
        groups: list[tuple[int | None, Sequence[int]]] = [
            (node.id, node.cpus) for node in sample.nodes if node.cpus
        ]
        if not groups:
            counts = [len(row) for row in sample.per_cpu.values()]
            groups = [(None, range(max(counts, default=sample.snapshot.host.cpus or 0)))]
        room = self.line_width - self._irq_cells - 8 - (5 if self._has_nodes else 0) - _WHO
        room = max(room - len(groups), len(groups))
        total = sum(len(cpus) for _, cpus in groups)
        each = max(1, -(-total // room))
        return [
            (node, tuple(cpus[start : start + each]))
            for node, cpus in groups
            for start in range(0, len(cpus), each)
        ]

    def _cpu_rates(self, row: Interrupt) -> Sequence[float]:
        if self.sample is None or not row.irq.isdecimal():
            return ()
        return self.sample.cpu_rates.get(int(row.irq), ())

    def _device_node(self, row: Interrupt) -> int | None:
        return self._locality.node_of_device(row.device) if self._locality is not None else None

    @property
    def _has_nodes(self) -> bool:
        return self.sample is not None and len(self.sample.nodes) > 1

    def toggle_map(self) -> None:
        """Show CPUs instead of numbers, or the other way round."""
        self.as_map = not self.as_map
        self.redraw()

    # -- facts ---------------------------------------------------------------------------------

    def visible_irqs(self) -> list[int]:
        """The interrupt numbers that stand on the screen."""
        first = self.scroll_offset.y
        keys = self.keys[first : first + max(self.size.height - 1, 0)]
        return [int(key) for key in keys if key.isdecimal()]

    def toggle_order(self) -> None:
        """Sort by rate, or by number again."""
        self.by_rate = not self.by_rate

    def target_of(self, key: str) -> str | None:
        """The device that raises it."""
        row = self._interrupts.get(key)
        return row.device if row is not None else None

    def _is_mine(self, row: Interrupt) -> bool:
        """Whether it is of the selected device, or wakes the selected sdmdev."""
        return self.target is not None and (
            row.device == self.target or self.target in row.shared_by
        )

    @property
    def _has_totals(self) -> bool:
        return self.line_width >= _WITH_TOTALS

    @property
    def _roomy(self) -> bool:
        return self.line_width >= _ROOMY

    @property
    def _spark_cells(self) -> int:
        return 16 if self._roomy else 6

    def _place(self, row: Interrupt) -> Place | None:
        """Where it is taken, told by what has come since the start."""
        if self.sample is None or self._locality is None or not row.irq.isdecimal():
            return None
        return self._locality.place(row, self.sample.per_cpu.get(int(row.irq), ()))

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
        cells = self._spark_cells
        if self.sample is None or not row.irq.isdecimal():
            return " " * cells
        return sparkline(self.sample.counters.history(int(row.irq), cells), cells)


def _distance(place: Place | None) -> str:
    return "" if place is None or place.distance is None else str(place.distance)


def _who(row: Interrupt) -> str:
    """Who raises it, which sdmdevs it wakes, and what it is for: what must not be cut is first."""
    wakes = f"wakes {len(row.shared_by)}" if row.shared_by else ""
    return " ".join(filter(None, (row.device or "", wakes, ", ".join(row.actions))))
