"""Interrupts: every row of `/proc/interrupts`, joined to the device that raises it.

The file costs O(CPUs x rows), to print as well as to parse, so a table remembers its last text:
a row whose text is the same is not parsed again. `sdmtop.readers.irq_counters` has the cheap
sources for every tick.
"""

import errno
from collections.abc import Mapping
from struct import Struct
from sys import intern

from sdmtop.backends.base import Host, Kept
from sdmtop.model import Interrupt
from sdmtop.readers.irq_counters import NUMBERS
from sdmtop.readers.sysfs import natural, word
from sdmtop.readers.unknowns import Unknowns
from sdmtop.text import fact

_PATH = "/proc/interrupts"
_LIMIT = 64 * 1024 * 1024

# The kernel prints a blank and ten columns for each count (show_interrupts in kernel/irq/proc.c),
# and a count has 32 bits: it never needs more.
_CELL = 11
_PART = 32
"""Counts that are read at once."""
_LABEL = 80
"""Bytes in which the colon behind a label is looked for."""
_NAMED = 8
"""So many rows that were lost are named, the others counted."""
_MSI_CHIPS = ("PCI-MSI", "PCI-MSIX", "IR-PCI-MSI", "IR-PCI-MSIX")


class Row:
    """One parsed row. What the same row of an earlier text, `before`, said is not made again."""

    __slots__ = (
        "actions", "chip", "hwirq", "in_columns", "key", "label", "line", "per_cpu", "tail_at",
        "total", "trigger", "whole",
    )  # fmt: skip

    label: str
    chip: str | None
    hwirq: str | None
    trigger: str | None
    actions: tuple[str, ...]
    per_cpu: tuple[int, ...]
    total: int
    in_columns: bool
    whole: bool
    """Whether it has the form of a row: one that was cut or garbled tells nothing for certain."""

    def __init__(self, line: bytes, key: bytes, columns: "_Columns", before: "Row | None") -> None:
        self.line = line
        self.key = key
        start = len(key)
        counts = columns.counts(line, start, before)
        self.in_columns = counts is not None
        if counts is not None:
            self.per_cpu, self.total = counts
            tail = line[start + columns.size :]
        else:
            self.per_cpu, tail = _spaced(line[start:], columns.cpus)
            self.total = sum(self.per_cpu)
        self.tail_at = len(line) - len(tail)
        if (
            before is not None
            and before.line[before.tail_at :] == tail
            and len(before.per_cpu) == len(self.per_cpu)
        ):
            self.label, self.whole = before.label, before.whole
            self.chip, self.hwirq, self.trigger = before.chip, before.hwirq, before.trigger
            self.actions = before.actions
            return
        tail = tail.rstrip(b"\n")
        self.label = fact(key[:-1].strip())
        numbered = self.label.isdecimal()
        self.whole = _is_whole(len(self.per_cpu), columns.cpus, tail, numbered=numbered)
        self.chip, self.hwirq, self.trigger, self.actions = (
            _split_tail(tail) if numbered else (None, None, None, _summary(tail))
        )


class InterruptTable:
    """`/proc/interrupts`, to be read again and again."""

    def __init__(self) -> None:
        self.affinities: Affinities | None = None
        self.interrupts: tuple[Interrupt, ...] = ()
        """What came of the last reading, and in `told` what it was made of."""
        self.told: object = None
        self.cpus: tuple[int, ...] = ()
        self.lost: list[str] = []
        """The labels of the rows that the last text had in another form."""
        self._header = b""
        self._rows: list[Row] = []

    def parse(self, data: bytes) -> list[Row]:
        """The rows, in the kernel's order; those of another form are `lost`. Raises nothing."""
        if not data.endswith(b"\n"):
            data += b"\n"
        at = data.find(b"\n") + 1
        if data[:at] != self._header:
            # A CPU went offline or came back: every row has another number of cells.
            self._header = data[:at]
            self._rows = []
            self.cpus = tuple(
                int(name[3:])
                for name in self._header.split()
                if name[:3] == b"CPU" and name[3:].isdigit() and len(name) < 12
            )
        # Rows that stay what they were need to be asked only if one was lost before.
        doubtful, self.lost = bool(self.lost), []
        columns = _Columns(len(self.cpus))
        rows: list[Row] = []
        earlier, index = self._rows, 0
        places: dict[bytes, int] = {}
        while at < len(data):
            row = earlier[index] if index < len(earlier) else None
            if row is not None and data.startswith(row.line, at):
                # Most rows are what they were: they need not even be cut out.
                at += len(row.line)
            else:
                end = data.find(b"\n", at) + 1
                line, at = data[at:end], end
                key = line[: line.find(b":", 0, _LABEL) + 1]
                if not key:
                    if line.strip():
                        self.lost.append("one without a label")
                    continue
                if row is None or row.key != key:
                    # Rows have come or gone: this one may have stood elsewhere.
                    places = places or {one.key: place for place, one in enumerate(earlier)}
                    place = places.get(key)
                    index = place if place is not None else index - 1
                    row = earlier[place] if place is not None else None
                if row is None or row.line != line:
                    row = Row(line, key, columns, row)
                    doubtful = doubtful or not row.whole
            index += 1
            rows.append(row)
        self._rows = rows
        if doubtful:
            self.lost += [row.label for row in rows if not row.whole]
            return [row for row in rows if row.whole]
        return rows


class Affinities:
    """`/proc/irq/N/smp_affinity_list` of every interrupt, kept open between two readings."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._labels: list[str] = []
        self._files: Kept | None = None
        self._answers: dict[str, bytes | OSError] = {}
        self._words: dict[str, str | None] = {}

    def read(self, labels: list[str], unknowns: Unknowns) -> dict[str, str | None]:
        """The CPUs on which each of these interrupts may be delivered, as the kernel says it.

        The dictionary of the reading before where nothing has changed.
        """
        if labels != self._labels or self._files is None:
            self.close()
            self._labels = labels
            self._files = self._host.keep([_affinity_path(label) for label in labels])
            self._answers = {}
            self._words = {}
        fresh = self._files.changed()
        if fresh:
            self._answers.update((labels[index], answer) for index, answer in fresh)
            self._words = {label: word(answer) for label, answer in self._answers.items()}
        for label, answer in self._answers.items():
            if answer.__class__ is not bytes:
                unknowns.note_failure(_affinity_path(label), answer, "affinity of an interrupt")
        return self._words

    def close(self) -> None:
        """Give the descriptors back."""
        if self._files is not None:
            self._files.close()


def _affinity_path(label: str) -> str:
    return f"/proc/irq/{label}/smp_affinity_list"


def read_interrupts(
    host: Host,
    unknowns: Unknowns,
    device_of_irq: Mapping[int, str | None],
    table: InterruptTable | None = None,
) -> tuple[Interrupt, ...]:
    """All rows, numbers first; `shared_by` is left for the join.

    `device_of_irq` is what the devices' `msi_irqs` and `irq` say, None for a line that several
    share; a `table` that is kept saves parsing.
    Sources: `/proc/interrupts`, `/proc/irq/N/smp_affinity_list`.
    """
    try:
        data = host.read(_PATH, _LIMIT)
    except OSError as error:
        unknowns.note(_PATH, error, "all interrupts")
        return ()
    table = table or InterruptTable()
    rows = table.parse(data)
    if not table.cpus or not (rows or table.lost):
        # Every kernel has columns and rows.
        unknowns.note(_PATH, OSError(errno.EINVAL, "not a table"), "all interrupts")
        return ()
    _note_lost(unknowns, table.lost, cut=not data.endswith(b"\n"))
    if table.affinities is None:
        table.affinities = Affinities(host)
    affinity = table.affinities.read([row.label for row in rows if row.label.isdecimal()], unknowns)
    told = rows, affinity, device_of_irq
    if table.told == told:
        return table.interrupts
    found = [
        Interrupt(
            irq=row.label,
            chip=row.chip,
            hwirq=row.hwirq,
            trigger=row.trigger,
            actions=row.actions,
            per_cpu=row.per_cpu,
            total=row.total,
            device=_device(row, device_of_irq),
            shared_by=(),
            affinity=affinity.get(row.label),
        )
        for row in rows
    ]
    found.sort(key=lambda entry: (not entry.irq.isdecimal(), natural(entry.irq)))
    table.told, table.interrupts = told, tuple(found)
    return table.interrupts


class _Columns:
    """Where the counts of a row stand, for a number of CPUs."""

    def __init__(self, cpus: int) -> None:
        self.cpus = cpus
        self.size = cpus * _CELL
        whole, rest = divmod(cpus, _PART)
        self._parts = Struct(f"{_PART * _CELL}s" * whole + f"{rest * _CELL}s" * (rest > 0))
        self._idle = b"          0" * cpus
        self._zeros = (0,) * cpus

    def counts(
        self, line: bytes, start: int, before: Row | None
    ) -> tuple[tuple[int, ...], int] | None:
        """The counts in a row and their sum; None where they do not stand in their columns.

        Those that stand as before are taken from there: of many CPUs few get an interrupt.
        """
        if len(line) < start + self.size:
            return None
        if before is not None and before.in_columns:
            counts, total = before.per_cpu, before.total
            parts = self._parts.unpack_from(before.line, start)
        else:
            counts, total = self._zeros, 0
            parts = self._parts.unpack(self._idle)
        first = 0
        for part, was in zip(self._parts.unpack_from(line, start), parts, strict=True):
            if part != was:
                fresh = _numbers(part)
                if fresh is None:
                    return None
                end = first + len(fresh)
                total += sum(fresh) - sum(counts[first:end])
                counts = counts[:first] + fresh + counts[end:]
            first += _PART
        return counts, total


def _numbers(cells: bytes) -> tuple[int, ...] | None:
    text = bytearray(cells)
    count = len(text) // _CELL
    if text[::_CELL] != b" " * count or b"-" in text:
        return None
    # With a comma for the blank that begins each it is a list of JSON, read at the speed of C.
    text[::_CELL] = b"," * count
    text[:1] = b"["
    text += b"]"
    try:
        return NUMBERS.decode(text)
    except ValueError:
        return None


def _spaced(text: bytes, cpus: int) -> tuple[tuple[int, ...], bytes]:
    """(counts, tail) of a row of any spacing; ERR and MIS have one count however many CPUs."""
    parts = text.split(None, cpus)
    count = 0
    while count < min(len(parts), cpus) and parts[count].isdigit() and len(parts[count]) < _CELL:
        count += 1
    if count == cpus:
        return tuple(map(int, parts[:count])), parts[cpus] if len(parts) > cpus else b""
    tail = text.split(None, count)
    return tuple(map(int, parts[:count])), tail[count] if len(tail) > count else b""


def _is_whole(counts: int, cpus: int, tail: bytes, *, numbered: bool) -> bool:
    """Whether a row has one count for each CPU.

    Rows without a number may have one in all, as ERR and MIS, or words alone, as FIQ of Arm.
    """
    if counts < cpus and (numbered or counts > 1):
        return False
    return not b"".join(tail.split(None, 1)[:1]).isdigit()


def _note_lost(unknowns: Unknowns, labels: list[str], *, cut: bool) -> None:
    if labels:
        named = ", ".join(labels[:_NAMED])
        more = f" (and {len(labels) - _NAMED} more)" if len(labels) > _NAMED else ""
        lost = OSError(errno.EINVAL, "row of a form not known here")
        unknowns.note(_PATH, lost, f"rows of interrupts: {named}{more}")
    if cut:
        unknowns.note(_PATH, OSError(errno.EFBIG, "cut short"), "interrupts: the table has no end")


def _split_tail(tail: bytes) -> tuple[str | None, str | None, str | None, tuple[str, ...]]:
    """(chip, hwirq, trigger, actions) of the text behind the counts.

    x86: `IR-PCI-MSIX-0000:02:00.0    0-edge      nvme0q0`; arm64: `ITS-MSI 524288 Edge nvme0q0`.
    """
    parts = tail.split(None, 2)
    if not parts:
        return None, None, None, ()
    if len(parts) > 1 and not _is_hwirq(parts[1]):
        parts = _unusual(tail)
    # Chips, triggers and affinities are few, and thousands of rows: one string each.
    chip = intern(fact(parts[0]))
    if len(parts) == 1:
        return chip, None, None, ()
    hwirq, dash, trigger = parts[1].partition(b"-")
    rest = parts[2] if len(parts) > 2 else b""
    if not dash:
        first, _, after = rest.partition(b" ")
        if first in (b"Edge", b"Level", b"None"):
            trigger, rest = first, after
    actions = tuple(fact(name.strip()) for name in rest.split(b", ") if name.strip())
    return chip, fact(hwirq) or None, intern(fact(trigger)) or None, actions


def _is_hwirq(word: bytes) -> bool:
    return word.partition(b"-")[0].isdigit()


def _unusual(tail: bytes) -> list[bytes]:
    """[chip, hwirq, rest] of a row whose chip has blanks in its name, or that has no hwirq.

    `Hyper-V PCIe MSI 4138200989697-edge  mana_q0`; s390: `PCI-MSI  mlx5_async0`. Two blanks or more
    stand before the actions (show_interrupts).
    """
    words = tail.split()
    for index in range(1, len(words)):
        if _is_hwirq(words[index]):
            return [b" ".join(words[:index]), *tail.split(None, index + 1)[index:]]
    chip, _, actions = tail.strip().partition(b"  ")
    return [chip, b"", actions]


def _summary(tail: bytes) -> tuple[str, ...]:
    text = fact(tail.strip())
    return (text,) if text else ()


def _device(row: Row, device_of_irq: Mapping[int, str | None]) -> str | None:
    """Who raises it: by msi_irqs, by the chip's name, by 6.1's hwirq, by VFIO's action name."""
    if row.chip is None:
        return None
    known = device_of_irq.get(int(row.label)) if len(row.label) < 10 else None
    if known is not None:
        return known
    address = row.chip[row.chip.rfind("-") + 1 :]
    if address.count(":") == 2:
        return address
    if row.chip in _MSI_CHIPS and row.hwirq is not None and row.hwirq.isdecimal():
        where = int(row.hwirq[:20]) >> 11  # segment << 16 | bus << 8 | devfn
        return f"{where >> 16:04x}:{where >> 8 & 0xFF:02x}:{where >> 3 & 0x1F:02x}.{where & 7}"
    for action in row.actions if len(row.actions) == 1 else ():
        if action.startswith("vfio-") and action.endswith(")"):
            return action[action.rfind("(") + 1 : -1]
    return None
