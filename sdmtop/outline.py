"""The tree group -> parent -> sdmdev as lines of text.

One formatter for the first paint, `snapshot --format tree` and the tree pane. It takes anything
with the attributes of the records, reads lazily (only the lines that are asked for are made), and
imports nothing heavy: it is on the path of the first paint.

A line is known by its key, which is also what a person types as a TARGET: `group/18`, a device
address, an mdev UUID, a queue name.
"""

from sdmtop.readers.names import class_word
from sdmtop.text import cell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from sdmtop.model import Device, IommuGroup, Process, Sdmdev

NO_GROUP = "group/-"
"""The key of the heading above the devices that are in no group."""

NO_DEVICE = "queue/-"
"""The key of the heading above the queues whose device is not among the devices."""

INDENT = 2
UNKNOWN = "?"

_HEADINGS = {NO_GROUP: "no IOMMU group", NO_DEVICE: "no known device"}

_RATE = 4
"""The column of interrupt rates, the one that is a number."""


class Line:
    """One line: its identity, what it hangs below, and the record or address it is about."""

    __slots__ = ("depth", "key", "parent", "subject")

    def __init__(self, key: str, depth: int, parent: "str | None", subject: "Any") -> None:
        self.key = key
        self.depth = depth
        self.parent = parent
        self.subject = subject


class Outline:
    """The lines of a host, made when asked for.

    `groups` are all groups in order; `device` looks one up (None: not read yet, or gone); `loose`
    yields the addresses of devices that are in no group; `queues` are the sdmdevs by parent.
    `processes` are the holders that are known, `holders` the pids of each group and device that
    is held, `blind` says that there may be others; `states` has the devices that are more than
    bound or unbound. `holding` says whether anything can be held here at all: only then is there
    a column for it.
    """

    def __init__(
        self,
        groups: "Iterable[IommuGroup]",
        device: "Callable[[str], Device | None]",
        loose: "Iterable[str]",
        queues: "Mapping[str, Sequence[Sdmdev]]",
        processes: "Mapping[int, Process]",
        *,
        holders: "Mapping[str, Sequence[int]]",
        states: "Mapping[str, str]",
        blind: bool,
        holding: bool,
    ) -> None:
        self._groups = groups
        self.device = device
        self._loose = loose
        self._queues = queues
        self._processes = processes
        self._holders = holders
        self._states = states
        self._blind = blind
        self._holding = holding
        self._queue_ids = {queue.id for members in queues.values() for queue in members}
        self._uuids = any(
            queue.kind in ("sdmdev", "mdev") for members in queues.values() for queue in members
        )
        self._columns: dict[int, tuple[int, ...]] = {}

    def lines(self) -> "Iterator[Line]":
        """All lines, top to bottom."""
        seen: set[str] = set()
        for group in self._groups:
            if group.devices and self._queue_ids.issuperset(group.devices):
                continue  # The group of an mdev: the queue's own line says its number.
            key = f"group/{group.id}"
            yield Line(key, 0, None, group)
            for address in group.devices:
                yield from self._device_lines(address, key, seen)
        heading = False
        for address in self._loose:
            if not heading:
                yield Line(NO_GROUP, 0, None, None)
                heading = True
            yield from self._device_lines(address, NO_GROUP, seen)
        strays = [queue for key in self._queues.keys() - seen for queue in self._queues[key]]
        if strays:
            yield Line(NO_DEVICE, 0, None, None)
            for queue in sorted(strays, key=lambda queue: queue.id):
                yield Line(queue.id, 2, NO_DEVICE, queue)

    def _device_lines(self, address: str, parent: str, seen: set[str]) -> "Iterator[Line]":
        yield Line(address, 1, parent, address)
        if address in self._queues:
            seen.add(address)
            for queue in self._queues[address]:
                yield Line(queue.id, 2, address, queue)

    def cells(self, line: Line, rate: str = "") -> "tuple[str, ...]":
        """The cells of a line, in the order of the columns; `rate` goes into its own."""
        if line.depth == 2:
            return self._queue_cells(line.subject, rate)
        if line.depth == 1:
            return self._device_cells(line.subject, rate)
        if line.subject is None:
            return (_HEADINGS[line.key], "", "", "", rate, "")
        return self._group_cells(line, rate)

    def irqs(self, line: Line) -> "Iterator[int]":
        """The interrupts of a device, or of all devices of a group; a queue has none of its own."""
        addresses: Iterable[str] = ()
        if line.depth == 1:
            addresses = (line.subject,)
        elif line.depth == 0 and line.subject is not None:
            addresses = line.subject.devices
        for address in addresses:
            device = self.device(address)
            if device is not None:
                yield from device.irqs

    def columns(self, width: int) -> "tuple[int, ...]":
        """The cells of each column on a line of `width` cells."""
        found = self._columns.get(width)
        if found is None:
            found = columns(width, uuids=self._uuids, holding=self._holding)
            self._columns[width] = found
        return found

    def _group_cells(self, line: Line, rate: str) -> "tuple[str, ...]":
        """Domain type, the owner that the bound drivers make, and who holds it."""
        group: IommuGroup = line.subject
        # A group of which a driver could not be told is not free for that.
        told = group.viable is not None or not group.devices
        owner = group.owner if told else UNKNOWN
        # The kernel's own group cannot be held: its line says nothing of holders.
        holder = self._holder_of(line.key, may_be_held=owner in ("vfio", UNKNOWN))
        sharing = f"shared by {len(group.shared_by)}" if group.shared_by else ""
        return (f"group {group.id}", group.domain_type or UNKNOWN, owner, holder, rate, sharing)

    def _device_cells(self, address: str, rate: str) -> "tuple[str, ...]":
        """Driver, how it is bound, who has it open by itself, and what it is."""
        device = self.device(address)
        if device is None:
            return (address, "", "", "", "", "")
        state = self._states.get(address)
        driver = device.driver or (UNKNOWN if state else "-")
        name = device.name or _class_and_ids(device)
        if device.physfn:
            name = f"VF of {device.physfn.removeprefix('0000:')}, {name}"
        holder = self._holder_of(address, may_be_held=False)
        return (address, driver, state or _binding(device), holder, rate, name)

    def _queue_cells(self, queue: "Sdmdev", rate: str) -> "tuple[str, ...]":
        """Type, state and holder of an sdmdev, mdev, uacce or IDXD queue, and its domain."""
        # The number comes first: of a cut line it is what must be left.
        if queue.domain_of is not None:
            domain = f"group {queue.domain_of}'s domain, shared; {queue.kind}"
        elif queue.group is not None and queue.kind in ("sdmdev", "mdev"):
            domain = f"group {queue.group}, domain emulated; {queue.kind}"
        else:
            domain = queue.kind
        state = queue.state or UNKNOWN
        holder = UNKNOWN if queue.holders is None else self._named(queue.holders) or "-"
        return (queue.id, queue.type or UNKNOWN, state, holder, rate, domain)

    def _holder_of(self, key: str, *, may_be_held: bool) -> str:
        nobody = UNKNOWN if self._blind else "-"
        return self._named(self._holders.get(key, ())) or (nobody if may_be_held else "")

    def _named(self, pids: "Sequence[int]") -> str:
        """One holder with its name, or the first and how many more; the pid is never cut off."""
        if len(pids) > 1:
            return f"{pids[0]} +{len(pids) - 1}"
        for pid in pids:
            process = self._processes.get(pid)
            return f"{pid} {process.name if process and process.name else UNKNOWN}"
        return ""


def _binding(device: "Device") -> str:
    if device.driver is None:
        return "override" if device.driver_override else "unbound"
    return "bound"


def _class_and_ids(device: "Device") -> str:
    """What stands in for a name that no database knows: class, vendor and device id."""
    ids = f" {device.vendor[2:]}:{device.device[2:]}" if device.vendor and device.device else ""
    return f"{class_word(device.class_)}{ids}"


def columns(width: int, *, uuids: bool, holding: bool) -> "tuple[int, ...]":
    """The cells of each column on a line of `width` cells; no cells where there is no column.

    Told by the width and by what kind of host this is, never by the facts in the lines: the
    columns stand still while facts arrive, and are those of the first paint.
    """
    least = [19 if uuids else 16, 11, 8, 10 if holding else 0, 5]
    most = [40 if uuids else 24, 16, 8, 20 if holding else 0, 6]
    gaps = sum(map(bool, least))
    spare = width - sum(least) - gaps - 24  # What the last column may use before others grow.
    for index in (1, 0, 3, 4):
        grown = min(max(spare, 0), most[index] - least[index])
        least[index] += grown
        spare -= grown
    # On a line that is too short the columns on the right are cut, then left out.
    found = []
    left = width
    for cells in least:
        found.append(min(cells, max(left, 0)))
        left -= found[-1] + 1 if cells else 0
    if 0 < left < 4:
        return (found[0] + left + 1, *found[1:], 0)  # So little of it would say nothing.
    return (*found, max(left, 0))


def heading(widths: "Sequence[int]") -> str:
    """The line of column headings."""
    first = "GROUP / DEVICE / QUEUE" if widths[0] >= 22 else "GROUP / DEVICE"
    second = "DOMAIN/DRIVER" if widths[1] >= 13 else "DOM/DRIVER"
    return _join((first, second, "STATE", "HOLDER", "IRQ/S", "WHAT"), widths)


def render(cells: "Sequence[str]", depth: int, widths: "Sequence[int]") -> str:
    """A line's cells as printable text, each column as wide as `widths` says."""
    indent = INDENT * depth
    name = " " * indent + middle(cells[0], max(widths[0] - indent, 0))
    return _join((name, *cells[1:]), widths)


def middle(text: str, cells: int) -> str:
    """The text if it fits, else its beginning and its end: UUIDs differ in their last digits."""
    if len(text) <= cells or cells < 3:
        return text
    head = (cells - 1) // 2
    return f"{text[:head]}…{text[head + 1 - cells :]}"


def _join(cells: "Sequence[str]", widths: "Sequence[int]") -> str:
    return " ".join(
        [
            text.rjust(wide)[:wide] if index == _RATE else cell(text, wide)
            for index, (text, wide) in enumerate(zip(cells, widths, strict=True))
            if wide > 0
        ]
    )
