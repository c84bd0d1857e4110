"""What can be asked about a line of the tree: the fields of a query, and what each has."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from sdmtop.conclusions import blindness, holders
from sdmtop.model import Device, IommuGroup, Sdmdev, Snapshot
from sdmtop.outline import Line, Outline
from sdmtop.query import UNKNOWN, Field
from sdmtop.readers.groups import is_owner_told
from sdmtop.readers.names import class_word

Values = tuple[str | float, ...] | None
"""What a field has on a line; None where such a line has no such field."""


class About(NamedTuple):
    """What a line is about: its own record, and those that it hangs below."""

    cells: tuple[str, ...]
    group: IommuGroup | None
    device: Device | None
    queue: Sdmdev | None


class Facts:
    """The records of one snapshot, joined as far as fields need it."""

    def __init__(self, snapshot: Snapshot, outline: Outline) -> None:
        self.groups = {group.id: group for group in snapshot.groups}
        self.pasids: dict[str, list[int]] = {}
        for pasid in snapshot.pasids:
            self.pasids.setdefault(pasid.device, []).append(pasid.pasid)
        self.holders = holders(snapshot)
        self.blind = blindness(snapshot) is not None
        self._names = {process.pid: process.name or "" for process in snapshot.processes}
        self._interrupts = snapshot.interrupts
        self._outline = outline

    def about(self, line: Line) -> About:
        """The records behind a line."""
        cells = self._outline.core(line)
        if line.depth == 0:
            return About(cells, line.subject, None, None)
        queue: Sdmdev | None = line.subject if line.depth == 2 else None
        address = line.subject if queue is None else queue.parent
        device = self._outline.device(address) if address is not None else None
        group = self.groups.get(device.group) if device and device.group is not None else None
        return About(cells, group, device, queue)

    @cached_property
    def handlers(self) -> Mapping[str, Sequence[str]]:
        """What each device's interrupts call themselves, which of a network card is its interface.

        Made when it is first asked for: most snapshots are never searched for a text.
        """
        found: dict[str, list[str]] = {}
        for interrupt in self._interrupts:
            if interrupt.device is not None:
                found.setdefault(interrupt.device, []).extend(interrupt.actions)
        return found

    def named(self, pids: Iterable[int]) -> Values:
        """Each process by its name and by its pid."""
        return tuple(part for pid in pids for part in (self._names.get(pid, ""), str(pid)) if part)


def one(value: str | float | None) -> tuple[str | float, ...]:
    """The values of a field that has one, or none."""
    return () if value is None else (value,)


def _group(_facts: Facts, about: About) -> Values:
    _, group, device, queue = about
    ids = [group.id] if group is not None else []
    if queue is not None:
        ids += [id_ for id_ in (queue.group, queue.domain_of) if id_ is not None]
    return tuple(dict.fromkeys(ids)) if ids or device or queue else None


def _domain(facts: Facts, about: About) -> Values:
    _, group, _, queue = about
    if queue is not None and queue.kind in ("sdmdev", "mdev"):
        if queue.domain_of is None:
            return ("emulated",)
        group = facts.groups.get(queue.domain_of)
    return (group.domain_type or UNKNOWN,) if group is not None else None


def _attached(_facts: Facts, about: About) -> Values:
    return (about.group.attached.type or UNKNOWN,) if about.group is not None else None


def _owner(_facts: Facts, about: About) -> Values:
    group = about.group
    if group is None:
        return None
    # A group of which a driver could not be told is not free for that.
    return (group.owner if is_owner_told(group) else UNKNOWN,)


def _viable(_facts: Facts, about: About) -> Values:
    group = about.group
    if group is None:
        return None
    return (UNKNOWN if group.viable is None else "yes" if group.viable else "no",)


def _shared(_facts: Facts, about: About) -> Values:
    return (len(about.group.shared_by),) if about.group is not None else None


def _driver(_facts: Facts, about: About) -> Values:
    if about.device is None:
        return None
    if about.device.driver is None and about.queue is None and about.cells[1] == UNKNOWN:
        return (UNKNOWN,)
    return one(about.device.driver)


def _override(_facts: Facts, about: About) -> Values:
    return one(about.device.driver_override) if about.device is not None else None


def _state(_facts: Facts, about: About) -> Values:
    return (about.cells[2],) if about.cells[2] else None


def _holder(facts: Facts, about: About) -> Values:
    _, group, device, queue = about
    if queue is not None:
        return (UNKNOWN,) if queue.holders is None else facts.named(queue.holders)
    pids = facts.holders.get(device.address, ()) if device is not None else ()
    pids = pids or (facts.holders.get(f"group/{group.id}", ()) if group is not None else ())
    if pids:
        return facts.named(pids)
    # What the kernel owns cannot be held.
    if group is None or group.owner == "kernel":
        return None
    return (UNKNOWN,) if facts.blind else ()


def _pasid(facts: Facts, about: About) -> Values:
    if about.queue is not None:
        return one(about.queue.pasid)
    if about.device is None:
        return None
    return tuple(facts.pasids.get(about.device.address, ()))


def _irq(_facts: Facts, about: About) -> Values:
    return about.device.irqs if about.device is not None else None


def _numa(_facts: Facts, about: About) -> Values:
    return one(about.device.numa_node) if about.device is not None else None


def _kind(_facts: Facts, about: About) -> Values:
    _, group, device, queue = about
    if queue is not None:
        return (queue.kind, "queue")
    if device is None:
        return ("group",) if group is not None else None
    more = ("vf",) if device.physfn else ("pf",) if device.sriov else ()
    return (*one(device.bus), "device", *more)


def _type(_facts: Facts, about: About) -> Values:
    return one(about.queue.type) if about.queue is not None else None


def _name(_facts: Facts, about: About) -> Values:
    return one(about.device.name) if about.device is not None else None


def _address(_facts: Facts, about: About) -> Values:
    own = [about.queue.id] if about.queue is not None else []
    own += [about.device.address] if about.device is not None else []
    return tuple(own) or None


def _id(_facts: Facts, about: About) -> Values:
    device = about.device
    if device is None:
        return None
    if device.vendor is None or device.device is None:
        return ()
    return (f"{device.vendor.removeprefix('0x')}:{device.device.removeprefix('0x')}",)


def _class(_facts: Facts, about: About) -> Values:
    return (class_word(about.device.class_),) if about.device is not None else None


def _iommu(_facts: Facts, about: About) -> Values:
    return one(about.device.iommu) if about.device is not None else None


def _no_rate(_facts: Facts, _about: About) -> Values:
    """The rate is no fact of a snapshot: see `sdmtop.search`."""
    return None


RATE = "irq/s"
"""The one field that changes without a new snapshot."""

_NUMBER = True

_TABLE: tuple[tuple[Field, Callable[[Facts, About], Values]], ...] = (
    (Field("group", "number of the IOMMU group; of a queue, also the one whose domain it uses",
           _NUMBER), _group),
    (Field("domain", "default domain of the group: DMA, DMA-FQ, identity, ..."), _domain),
    (Field("attached", "domain that is attached now: DMA, unmanaged, blocked, ..."), _attached),
    (Field("owner", "who may use the group: kernel, vfio, free"), _owner),
    (Field("viable", "whether VFIO could take the group: yes, no"), _viable),
    (Field("shared", "number of sdmdevs in the domain of the group", _NUMBER), _shared),
    (Field("driver", "driver of the device"), _driver),
    (Field("override", "driver_override of the device"), _override),
    (Field("state", "the column STATE: bound, unbound, stuck, orphan, started, ..."), _state),
    (Field("holder", "name or pid of a process that holds it"), _holder),
    (Field("pasid", "PASIDs that are live on it", _NUMBER), _pasid),
    (Field("irq", "interrupt numbers of the device", _NUMBER), _irq),
    (Field(RATE, "interrupts a second", _NUMBER), _no_rate),
    (Field("numa", "NUMA node of the device", _NUMBER), _numa),
    (Field("kind", "group, device, queue, pci, vf, pf, sdmdev, mdev, uacce, idxd, ..."), _kind),
    (Field("type", "type of the queue"), _type),
    (Field("name", "name of the device"), _name),
    (Field("address", "address of the device, name of the queue"), _address),
    (Field("id", "vendor and device id, as 8086:10d3"), _id),
    (Field("class", "class of the device: Ethernet, NVMe, PCI bridge, ..."), _class),
    (Field("iommu", "IOMMU unit of the device"), _iommu),
)  # fmt: skip

FIELDS = {field.name: field for field, _ in _TABLE}
"""The fields, in the order of the help."""

READERS = {field.name: read for field, read in _TABLE}
"""What each field has on a line."""
