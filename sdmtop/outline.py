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

INDENT = 2
COLUMNS = (("GROUP / DEVICE / QUEUE", 24), ("DOMAIN/DRIVER", 14), ("STATE", 8), ("HOLDER", 10),
           ("IRQ/S", 6), ("WHAT", 0))  # fmt: skip
"""(heading, cells); the last column takes what is left."""

UNKNOWN = "?"


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
    """

    def __init__(
        self,
        groups: "Iterable[IommuGroup]",
        device: "Callable[[str], Device | None]",
        loose: "Iterable[str]",
        queues: "Mapping[str, Sequence[Sdmdev]]",
        processes: "Mapping[int, Process]",
    ) -> None:
        self._groups = groups
        self.device = device
        self._loose = loose
        self._queues = queues
        self._processes = processes
        self._queue_ids = {queue.id for members in queues.values() for queue in members}

    def lines(self) -> "Iterator[Line]":
        """All lines, top to bottom."""
        for group in self._groups:
            if group.devices and self._queue_ids.issuperset(group.devices):
                continue  # The group of an mdev: the queue's own line says its number.
            key = f"group/{group.id}"
            yield Line(key, 0, None, group)
            for address in group.devices:
                yield from self._device_lines(address, key)
        heading = False
        for address in self._loose:
            if not heading:
                yield Line(NO_GROUP, 0, None, None)
                heading = True
            yield from self._device_lines(address, NO_GROUP)

    def _device_lines(self, address: str, parent: str) -> "Iterator[Line]":
        yield Line(address, 1, parent, address)
        for queue in self._queues.get(address, ()):
            yield Line(queue.id, 2, address, queue)

    def cells(self, line: Line, rate: str = "") -> "tuple[str, ...]":
        """The cells of a line, in the order of `COLUMNS`; `rate` goes into its own column."""
        if line.depth == 2:
            return self._queue_cells(line.subject, rate)
        if line.depth == 1:
            return self._device_cells(line.subject, rate)
        if line.subject is None:
            return ("no IOMMU group", "", "", "", rate, "")
        return self._group_cells(line.subject, rate)

    def _group_cells(self, group: "IommuGroup", rate: str) -> "tuple[str, ...]":
        """Domain type, and the owner that the bound drivers make."""
        sharing = f"domain shared by {len(group.shared_by)}" if group.shared_by else ""
        return (f"group {group.id}", group.domain_type or UNKNOWN, group.owner, "", rate, sharing)

    def _device_cells(self, address: str, rate: str) -> "tuple[str, ...]":
        """Driver, how it is bound, and what it is."""
        device = self.device(address)
        if device is None:
            return (address, "", "", "", "", "")
        name = device.name or _class_and_ids(device)
        return (address, device.driver or "-", _binding(device), "", rate, name)

    def _queue_cells(self, queue: "Sdmdev", rate: str) -> "tuple[str, ...]":
        """Type, state and holder of an sdmdev, mdev, uacce or IDXD queue, and its domain."""
        if queue.domain_of is not None:
            domain = f"{queue.kind}, domain shared with group {queue.domain_of}"
        elif queue.group is not None and queue.kind in ("sdmdev", "mdev"):
            domain = f"{queue.kind}, group {queue.group}, domain emulated"
        else:
            domain = queue.kind
        state = queue.state or UNKNOWN
        return (queue.id, queue.type or UNKNOWN, state, self._holder(queue), rate, domain)

    def _holder(self, queue: "Sdmdev") -> str:
        if queue.holders is None:
            return UNKNOWN
        if len(queue.holders) > 1:
            return f"{len(queue.holders)} processes"
        for pid in queue.holders:
            process = self._processes.get(pid)
            return f"{process.name if process else UNKNOWN} {pid}"
        return "-"


def _binding(device: "Device") -> str:
    if device.driver is None:
        return "override" if device.driver_override else "unbound"
    return "vf" if device.physfn else "bound"


def _class_and_ids(device: "Device") -> str:
    """What stands in for a name that no database knows: class, vendor and device id."""
    ids = f" {device.vendor[2:]}:{device.device[2:]}" if device.vendor and device.device else ""
    return f"{class_word(device.class_)}{ids}"


def heading(width: int) -> str:
    """The line of column headings, cut to `width` cells."""
    return _join([title for title, _ in COLUMNS], width)


def render(cells: "Sequence[str]", depth: int, width: int) -> str:
    """A line's cells as `width` cells of printable text."""
    return _join((" " * (INDENT * depth) + cells[0], *cells[1:]), width)


def _join(cells: "Sequence[str]", width: int) -> str:
    parts = []
    left = width
    for text, (_, column) in zip(cells, COLUMNS, strict=True):
        wide = min(column or left, left)
        if wide <= 0:
            break
        parts.append(cell(text, wide))
        left -= wide + 1
    return " ".join(parts)
