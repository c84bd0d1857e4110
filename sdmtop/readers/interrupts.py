"""Interrupts: every row of `/proc/interrupts`, joined to the device that raises it.

The file costs O(CPUs x rows), to print as well as to parse, so a table remembers its last text:
a row whose text is the same is not parsed again. `sdmtop.readers.irq_counters` has the cheap
sources for every tick.
"""

import errno
from collections.abc import Mapping
from itertools import compress
from operator import ne
from struct import Struct as Layout
from sys import intern

from msgspec import Struct

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
_BELOW = tuple((1 << 8 * _CELL * cell) - 1 for cell in range(_PART))
"""The bits of all cells before a cell."""
_LABEL = 80
"""Bytes in which the colon behind a label is looked for."""
_NAMED = 8
"""So many rows that were lost are named, the others counted."""
_MSI_CHIPS = ("PCI-MSI", "PCI-MSIX", "IR-PCI-MSI", "IR-PCI-MSIX")


class Frame(Struct, frozen=True):
    """What stands before and behind the counts of a row: mostly the same in every reading."""

    key: bytes
    tail: bytes
    label: str
    chip: str | None
    hwirq: str | None
    trigger: str | None
    actions: tuple[str, ...]
    whole: bool
    """Whether it has the form of a row: one that was cut or garbled tells nothing for certain."""


class Row(Struct, frozen=True):
    """One parsed row."""

    size: int
    """Bytes of its text."""
    frame: Frame
    per_cpu: tuple[int, ...]
    total: int
    in_columns: bool

    @property
    def label(self) -> str:
        """Its number, or the name of what has none."""
        return self.frame.label

    @property
    def actions(self) -> tuple[str, ...]:
        """Who handles it; of a row without a number what it is."""
        return self.frame.actions


class InterruptTable:
    """`/proc/interrupts`, to be read again and again.

    The last text stays in one buffer, the next is read into the other.
    """

    def __init__(self) -> None:
        self.affinities: Affinities | None = None
        self.interrupts: tuple[Interrupt, ...] = ()
        """What came of the last reading, and in `told` what it was made of."""
        self.told: object = None
        self.cpus: tuple[int, ...] = ()
        self.lost: list[str] = []
        """The labels of the rows that the last text had in another form."""
        self.cut = False
        """Whether the last text ended in the middle of a line."""
        self._header = b""
        self._size = -1
        """Bytes of the last text, as it was read."""
        self._found: list[Row] = []
        """What it gave."""
        self._rows: list[Row] = []
        self._begins: list[int] = []
        """Where in the text each of these rows begins."""
        self._text, self._spare = bytearray(), bytearray()

    def read(self, host: Host) -> list[Row]:
        """What `parse` gives of the host's table. Raises `OSError` as `Host.read` does."""
        return self._parse(host.read_into(_PATH, self._spare, _LIMIT))

    def parse(self, text: bytes) -> list[Row]:
        """The rows, in the kernel's order; those of another form are `lost`. Raises nothing."""
        self._spare[: len(text)] = text
        return self._parse(len(text))

    def _parse(self, size: int) -> list[Row]:
        text = self._spare
        if size == self._size and text.startswith(memoryview(self._text)[:size]):
            return self._found  # On a host that idles.
        self._size = size
        self.cut = not text.endswith(b"\n", 0, size)
        if self.cut:
            text[size : size + 1] = b"\n"
            size += 1
        at = text.find(b"\n") + 1
        self._begin(bytes(text[:at]))
        # Rows that stay what they were need to be asked only if one was lost before.
        doubtful, self.lost = bool(self.lost), []
        columns = _Columns(len(self.cpus))
        rows: list[Row] = []
        begins: list[int] = []
        earlier, index = self._rows, 0
        lines = _cut(self._text, self._begins, earlier)
        places: dict[bytes, int] = {}
        while at < size:
            row = earlier[index] if index < len(earlier) else None
            # Most rows are what they were.
            if row is None or not text.startswith(lines[index], at, size):
                if row is not None:
                    row = columns.later(row, lines[index], text, at, size)
                if row is None:
                    line = bytes(text[at : text.find(b"\n", at) + 1])
                    key = line[: line.find(b":", 0, _LABEL) + 1]
                    if not key:
                        if line.strip():
                            self.lost.append("one without a label")
                        at += len(line)
                        continue
                    # Rows have come or gone: this one may have stood elsewhere.
                    places = places or {one.frame.key: place for place, one in enumerate(earlier)}
                    place = places.get(key)
                    index = place if place is not None else index - 1
                    if place is not None:
                        row = columns.later(earlier[place], lines[place], text, at, size)
                    row = row or columns.row(line, key)
                    doubtful = doubtful or not row.frame.whole
            rows.append(row)
            begins.append(at)
            at += row.size
            index += 1
        self._rows, self._begins = rows, begins
        self._text, self._spare = text, self._text
        if doubtful:
            self.lost += [row.frame.label for row in rows if not row.frame.whole]
            rows = [row for row in rows if row.frame.whole]
        self._found = rows
        return rows

    def _begin(self, header: bytes) -> None:
        if header != self._header:
            # A CPU went offline or came back: every row has another number of cells.
            self._header = header
            self._rows, self._begins = [], []
            self.cpus = tuple(
                int(name[3:])
                for name in header.split()
                if name[:3] == b"CPU" and name[3:].isdigit() and len(name) < 12
            )


def _cut(text: bytearray, begins: list[int], rows: list[Row]) -> list[memoryview]:
    """The lines of these rows; the text cannot grow while they are held."""
    whole = memoryview(text)
    return [whole[at : at + row.size] for at, row in zip(begins, rows, strict=True)]


def _frame(key: bytes, tail: bytes, counts: int, cpus: int) -> Frame:
    label, text = fact(key[:-1].strip()), tail.rstrip(b"\n")
    numbered = label.isdecimal()
    words = _split_tail(text) if numbered else (None, None, None, _summary(text))
    return Frame(key, tail, label, *words, whole=_is_whole(counts, cpus, text, numbered=numbered))


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
    table = table or InterruptTable()
    try:
        rows = table.read(host)
    except OSError as error:
        unknowns.note(_PATH, error, "all interrupts")
        return ()
    if not table.cpus or not (rows or table.lost):
        # Every kernel has columns and rows.
        unknowns.note(_PATH, OSError(errno.EINVAL, "not a table"), "all interrupts")
        return ()
    _note_lost(unknowns, table.lost, cut=table.cut)
    if table.affinities is None:
        table.affinities = Affinities(host)
    labels = [row.frame.label for row in rows]
    affinity = table.affinities.read([label for label in labels if label.isdecimal()], unknowns)
    told = rows, affinity, device_of_irq
    if table.told == told:
        return table.interrupts
    found = [
        Interrupt(
            irq=frame.label,
            chip=frame.chip,
            hwirq=frame.hwirq,
            trigger=frame.trigger,
            actions=frame.actions,
            per_cpu=row.per_cpu,
            total=row.total,
            device=_device(frame, device_of_irq),
            shared_by=(),
            affinity=affinity.get(frame.label),
        )
        for row, frame in ((row, row.frame) for row in rows)
    ]
    found.sort(key=lambda entry: (not entry.irq.isdecimal(), natural(entry.irq)))
    table.told, table.interrupts = told, tuple(found)
    return table.interrupts


class _Columns:
    """Where the counts of a row stand, for a number of CPUs."""

    def __init__(self, cpus: int) -> None:
        self._cpus = cpus
        self._size = cpus * _CELL
        self._firsts = range(0, cpus, _PART)
        sizes = [min(cpus - first, _PART) for first in self._firsts]
        self._parts = Layout("".join(f"{size * _CELL}s" for size in sizes))
        self._idle = [(b"          0" * size, (0,) * size) for size in sizes]

    def row(self, line: bytes, key: bytes) -> Row:
        """A row of which nothing is known."""
        start = len(key)
        counts = self._counts(line, start)
        in_columns = counts is not None
        if counts is not None:
            tail = line[start + self._size :]
        else:
            counts, tail = _spaced(line[start:], self._cpus)
        frame = _frame(key, tail, len(counts), self._cpus)
        return Row(len(line), frame, counts, sum(counts), in_columns)

    def _counts(self, line: bytes, start: int) -> tuple[int, ...] | None:
        """The counts in a row; None where they do not stand in their columns."""
        if len(line) < start + self._size:
            return None
        counts: list[int] = []
        parts = self._parts.unpack_from(line, start)
        for part, (idle, zeros) in zip(parts, self._idle, strict=True):
            found = zeros if part == idle else _numbers(part)
            if found is None:
                return None
            counts += found
        return tuple(counts)

    def later(self, row: Row, was: memoryview, text: bytearray, at: int, size: int) -> Row | None:
        """The same row in a later text; None where more than its counts may have changed.

        Those that stand as they did in the line that it `was` are not read again: of many CPUs
        few get an interrupt.
        """
        frame, total = row.frame, row.total
        start = at + len(frame.key)
        if not (
            row.in_columns
            and text.startswith(frame.key, at)
            and text.startswith(frame.tail, start + self._size, size)
        ):
            return None
        counts = list(row.per_cpu)
        now = self._parts.unpack_from(text, start)
        old = self._parts.unpack_from(was, len(frame.key))
        parts = zip(self._firsts, now, old, strict=True)
        for first, part, before in compress(parts, map(ne, now, old)):
            place, fresh = _fresh(part, before)
            if fresh is None:
                return None
            begin = first + place
            end = begin + len(fresh)
            total += sum(fresh) - sum(counts[begin:end])
            counts[begin:end] = fresh
        return Row(row.size, frame, tuple(counts), total, in_columns=True)


def _fresh(part: bytes, old: bytes) -> tuple[int, tuple[int, ...] | None]:
    """The counts in which a part differs: where they begin, and they; None as in `_numbers`.

    To find that it is one, as it mostly is, costs less than to read all.
    """
    bits = int.from_bytes(part, "little") ^ int.from_bytes(old, "little")
    last = (bits.bit_length() - 1) // (8 * _CELL)
    cell = part[last * _CELL : (last + 1) * _CELL]
    if bits & _BELOW[last] or cell[:1] != b" " or not cell.strip(b" ").isdigit():
        return 0, _numbers(part)
    return last, (int(cell),)


def _numbers(cells: bytes) -> tuple[int, ...] | None:
    """The counts in these cells; None where they are none."""
    text = bytearray(cells)
    count = len(text) // _CELL
    if text[::_CELL] != b" " * count or b"-" in text or b"\n" in text:
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


def _device(frame: Frame, device_of_irq: Mapping[int, str | None]) -> str | None:
    """Who raises it: by msi_irqs, by the chip's name, by 6.1's hwirq, by VFIO's action name."""
    if frame.chip is None:
        return None
    known = device_of_irq.get(int(frame.label)) if len(frame.label) < 10 else None
    if known is not None:
        return known
    address = frame.chip[frame.chip.rfind("-") + 1 :]
    if address.count(":") == 2:
        return address
    if frame.chip in _MSI_CHIPS and frame.hwirq is not None and frame.hwirq.isdecimal():
        where = int(frame.hwirq[:20]) >> 11  # segment << 16 | bus << 8 | devfn
        return f"{where >> 16:04x}:{where >> 8 & 0xFF:02x}:{where >> 3 & 0x1F:02x}.{where & 7}"
    for action in frame.actions if len(frame.actions) == 1 else ():
        if action.startswith("vfio-") and action.endswith(")"):
            return action[action.rfind("(") + 1 : -1]
    return None
