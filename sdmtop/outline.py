"""The tree group -> parent -> sdmdev as lines of text.

One formatter for the first paint, `snapshot --format tree` and the tree pane. It takes anything
with the attributes of the records, reads lazily (only the lines that are asked for are made), and
imports nothing heavy: it is on the path of the first paint.

A line is known by its key, which is also what a person types as a TARGET: `group/18`, a device
address, an mdev UUID, a queue name.
"""

from sdmtop.columns import DEFAULT, NAME, Columns
from sdmtop.readers.groups import is_owner_told
from sdmtop.readers.names import class_word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from sdmtop.model import Device, DevicePasid, IommuGroup, Process, Sdmdev

NO_GROUP = "group/-"
"""The key of the heading above the devices that are in no group."""

NO_DEVICE = "queue/-"
"""The key of the heading above the queues whose device is not among the devices."""

UNKNOWN = "?"

_HEADINGS = {NO_GROUP: "no IOMMU group", NO_DEVICE: "no known device"}

_CORE = (NAME, *DEFAULT)

_COMPANIES = frozenset((
    "AG", "Co", "Company", "Corp", "Corporation", "Electronics", "GmbH", "Group", "Inc",
    "Incorporated", "LLC", "Limited", "Ltd", "S.A", "Semiconductor", "Semiconductors",
    "Technologies", "Technology",
))  # fmt: skip


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
    a column for it. `columns` are those that are shown, beside the name.
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
        columns: "Sequence[str]" = DEFAULT,
    ) -> None:
        self._groups = groups
        self.device = device
        self._loose = loose
        self._queues = queues
        self._processes = processes
        self._holders = holders
        self._states = states
        self._blind = blind
        self._queue_ids = {queue.id for members in queues.values() for queue in members}
        uuids = any(
            queue.kind in ("sdmdev", "mdev") for members in queues.values() for queue in members
        )
        self.columns = Columns(columns, uuids=uuids, holding=holding)
        self._places = [
            (name, _CORE.index(name) if name in _CORE else -1) for name in self.columns.names
        ]

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

    def core(self, line: Line, rate: str = "") -> "tuple[str, ...]":
        """Name, domain, state, holder, irq/s and what of a line, whichever are shown."""
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

    def cells(self, line: Line, core: "tuple[str, ...]") -> "tuple[str, ...]":
        """The cells of a line, in the order of the columns, from what is its `core`."""
        if self.columns.names == _CORE:
            return core
        return tuple(
            [core[index] if index >= 0 else self.more(line, name) for name, index in self._places]
        )

    def more(self, line: Line, name: str) -> str:
        """The cell of a column that one has to choose. A fact not read yet is blank."""
        if line.depth == 0:
            return _of_group(line.subject, name) if line.subject is not None else ""
        if line.depth == 1:
            device = self.device(line.subject)
            return _of_device(device, name) if device is not None else ""
        pasid = line.subject.pasid if name == "pasid" else None
        return "" if pasid is None else str(pasid)

    def _group_cells(self, line: Line, rate: str) -> "tuple[str, ...]":
        """Domain type, the owner that the bound drivers make, and who holds it."""
        group: IommuGroup = line.subject
        # A group of which a driver could not be told is not free for that.
        owner = group.owner if is_owner_told(group) else UNKNOWN
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
        name = _shortly(device.name) if device.name else _class_and_ids(device)
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


def _shortly(name: str) -> str:
    """Vendor and model without what kind of company it is: in a narrow column the model counts."""
    words: list[str] = []
    for word in name.split():
        if word.rstrip(".,") not in _COMPANIES:
            words.append(word)
        elif words:
            words[-1] = words[-1].rstrip(",")
    return " ".join(words) or name


def _class_and_ids(device: "Device") -> str:
    """What stands in for a name that no database knows: class, vendor and device id."""
    return f"{class_word(device.class_)} {_ids(device)}".rstrip()


def _ids(device: "Device") -> str:
    """Vendor and device id as `lspci` writes them; empty where there are none."""
    if not device.vendor or not device.device:
        return ""
    return f"{device.vendor[2:]}:{device.device[2:]}"


def _of_group(group: "IommuGroup", name: str) -> str:
    attached = getattr(group, "attached", None)
    if attached is None:
        return ""  # The first paint knows nothing of these yet.
    if name == "attached":
        return attached.type or UNKNOWN
    if name == "viable":
        return UNKNOWN if group.viable is None else "yes" if group.viable else "no"
    return ""


def _of_device(device: "Device", name: str) -> str:
    if name == "override":
        return device.driver_override or "-"
    if name == "numa":
        return "-" if device.numa_node is None else str(device.numa_node)
    if name == "iommu":
        return device.iommu or "-"
    if name == "irqs":
        return str(len(device.irqs)) if device.irqs else "-"
    if name == "id":
        return _ids(device) or "-"
    if name == "pasid":
        return _pasid(getattr(device, "pasid", ""))
    return ""


def _pasid(pasid: "DevicePasid | str | None") -> str:
    """Blank on the first paint, which does not read it."""
    if pasid is None or isinstance(pasid, str):
        return "-" if pasid is None else ""
    return "on" if pasid.enabled else "off" if pasid.capable else "-"
