"""Everything that is known of one object, each value with its origin and its meaning."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from msgspec.structs import replace

from sdmtop.collector import Sample
from sdmtop.conclusions import STUCK, blindness, holders, states
from sdmtop.locality import Locality
from sdmtop.model import (
    AttachedDomain,
    Detail,
    Device,
    DevicePasid,
    Interrupt,
    IommuGroup,
    IommuUnit,
    ReservedRegion,
    Sdmdev,
    SdmdevParams,
    Snapshot,
    Sriov,
)
from sdmtop.outline import NO_DEVICE, NO_GROUP, UNKNOWN
from sdmtop.readers.groups import GROUPS, is_owner_told
from sdmtop.timeline import clock

# field -> (title, file below the object's directory, what it tells an operator)
_GROUP = {
    "domain_type": ("domain type", "type", "the group's default domain, not what is attached now"),
    "attached": ("attached", "", "the domain in force now, and how we know"),
    "owner": ("owner", "devices", "who may use the group, told by the drivers that are bound"),
    "viable": ("viable", "devices", "whether VFIO could take the group as it is"),
    "viability_reason": ("because", "devices", "what stands in the way"),
    "devices": ("devices", "devices", "what cannot be told apart by the IOMMU: one fate for all"),
    "reserved_regions": ("reserved", "reserved_regions", "IOVA that no mapping may use"),
    "shared_by": ("shared by", "", "sdmdevs whose I/O runs in this group's domain"),
}
_DEVICE = {
    "name": ("name", "modalias", "vendor and model, from the hardware database"),
    "driver": ("driver", "driver", "the kernel driver that is bound"),
    "driver_override": ("override", "driver_override", "the only driver that may bind, if set"),
    "group": ("group", "iommu_group", "its IOMMU group: the unit of attach and detach"),
    "iommu": ("IOMMU", "iommu", "the unit that translates its DMA"),
    "vendor": ("vendor", "modalias", "PCI vendor id"),
    "device": ("device", "modalias", "PCI device id"),
    "class_": ("class", "modalias", "PCI class code"),
    "numa_node": ("NUMA node", "numa_node", "the memory it is near to"),
    "irqs": ("interrupts", "msi_irqs", "Linux interrupt numbers"),
    "pasid": ("PASID", "config", "whether it can tell address spaces apart, and does"),
    "sriov": ("SR-IOV", "sriov_totalvfs", "virtual functions: possible, and existing now"),
    "physfn": ("PF", "physfn", "the physical function that this VF belongs to"),
    "sdmdev": ("sdmdev", "params", "how its queues share its domain"),
    "parent": ("parent", "", "the device above it"),
    "bus": ("bus", "subsystem", "the bus that it sits on"),
    "path": ("path", "", "its directory in sysfs"),
}
_QUEUE = {
    "kind": ("kind", "", "sdmdev, mdev, uacce or idxd"),
    "type": ("type", "mdev_type", "what kind of queue it is"),
    "state": ("state", "", ""),
    "parent": ("parent", "device", "the device that serves it, and whose interrupt wakes it"),
    "group": ("group", "iommu_group", "its own group"),
    "holders": ("holders", "", "processes that have its node open or mapped"),
    "pasid": ("PASID", "params/pasid", "its address space on the device"),
}
# Where queues of other kinds than mdevs have these facts: no file where there is none of its own.
_QUEUE_FILES = {
    "uacce": {"type": "api", "parent": "device", "group": "device/iommu_group", "pasid": ""},
    "idxd": {"type": "type", "parent": "", "group": "", "pasid": ""},
}
_IDXD_DEVICE_FILES = {
    "device_state": "state",
    "pasid_enabled": "pasid_enabled",
    "cmd_status": "cmd_status",
    "errors": "errors",
    "device_clients": "clients",
}
_STATES = {
    "idle": "no process has it open",
    "held": "a process has its group open, but not yet the queue itself",
    "started": "a process has it open and can put it to work",
    "orphan": "taken when it was created, but no process holds it",
    None: "cannot be told, for it cannot be told who holds it",
}
_UNIT = {
    "driver": ("IOMMU driver", "", "which kind of unit this is"),
    "pasid": ("PASID", "", "whether the unit can tell address spaces apart"),
    "pasid_bits": ("PASID bits", "", "width of a PASID"),
    "domains_used": ("domains", "", "domains in use"),
    "domains_supported": ("of", "", "domains that the unit can hold"),
}

_NO_GROUP = (
    Detail(
        name="no group",
        value="these devices are in no IOMMU group",
        path=GROUPS,
        meaning="no IOMMU translates their DMA, or their bus has none",
    ),
    Detail(
        name="so",
        value="they cannot be given to a process safely",
        path=GROUPS,
        meaning="VFIO offers them in its unsafe noiommu mode only",
    ),
)

_NO_DEVICE = (
    Detail(
        name="no device",
        value="the device that serves these queues is not among the devices",
        path="/sys/devices",
        meaning="it is gone, or its name could not be read",
    ),
)

_HEADINGS = {NO_GROUP: _NO_GROUP, NO_DEVICE: _NO_DEVICE}

_MDEVS = "/sys/bus/mdev/devices"
_UACCE = "/sys/class/uacce"
_IDXD = "/sys/bus/dsa/devices"
_SDMDEV = "/sys/class/sdmdev"
_NODES = "/proc/*/fd, /proc/*/maps"

_LOG = "/dev/kmsg"

_MOST_IRQS = 8
"""Interrupts of a device that are told one by one."""


def inspect(sample: Sample, key: str) -> tuple[Detail, ...]:
    """The facts of the object that a TARGET names; empty when there is no such object."""
    return tuple(_facts(sample, key))


def _facts(sample: Sample, key: str) -> Iterator[Detail]:
    yield from _fields_of(sample, key)
    if sample.details is not None and sample.details[0] == key:
        yield from sample.details[1]
    places = set(_places_of(sample.snapshot, key))
    for entry in sample.snapshot.unknown:
        if entry.path in places or entry.path.rpartition("/")[0] in places:
            yield Detail(name="unknown", value=entry.errno, path=entry.path, meaning=entry.what)


def _fields_of(sample: Sample, key: str) -> Iterator[Detail]:
    """The facts that are in the snapshot."""
    snapshot = sample.snapshot
    kind, _, rest = key.partition("/")
    if key in _HEADINGS:
        yield from _HEADINGS[key]
    elif kind == "group":
        for group in snapshot.groups:
            if str(group.id) == rest:
                yield from _of_group(group, sample)
    else:
        for queue in snapshot.sdmdevs:
            if queue.id == key:
                yield from _of_queue(queue, sample)
        for device in snapshot.devices:
            if device.address == key:
                yield from _of_device(device, sample)


def _of_group(group: IommuGroup, sample: Sample) -> Iterator[Detail]:
    snapshot = sample.snapshot
    for detail in _fields(group, _GROUP, f"{GROUPS}/{group.id}"):
        # A group of which a driver could not be told is not free for that.
        untold = detail.name == "owner" and not is_owner_told(group)
        yield replace(detail, value=UNKNOWN) if untold else detail
    yield from _faults(sample, group.devices)
    yield from _held_by(holders(snapshot).get(f"group/{group.id}", ()), snapshot)


def _of_device(device: Device, sample: Sample) -> Iterator[Detail]:
    snapshot = sample.snapshot
    state = states(snapshot).get(device.address) if device.driver is None else None
    untold = _NEVER_ABSENT | {"driver"} if state is not None else _NEVER_ABSENT
    if state is not None:  # First: it is what an operator must know before all else.
        meaning = "its unbind waits for a holder to let go" if state == STUCK else "see below"
        yield Detail(name="state", value=state, path=f"{device.path}/driver", meaning=meaning)
    for detail in _fields(device, _DEVICE, device.path, untold):
        yield detail
        if detail.name == "driver":  # Where it is seen: what follows may be below the screen.
            yield from _faults(sample, (device.address,))
    held = holders(snapshot)
    if device.address in held:
        yield from _held_by(held[device.address], snapshot)
    else:
        # A process that opens a device through its group need not show which one it has.
        yield from _held_by(held.get(f"group/{device.group}", ()), snapshot, through=device.group)
    yield from _taken(sample, lambda row: row.device == device.address, "IRQ {}")
    for unit in snapshot.iommu_units:
        if unit.name == device.iommu:
            yield from _fields(unit, _UNIT, f"/sys/class/iommu/{unit.name}")


def _faults(sample: Sample, addresses: Collection[str]) -> Iterator[Detail]:
    """How many IOMMU faults these devices had, and the last of them; nothing if there were none."""
    faults = [one for one in sample.happenings if one.kind == "fault" and one.key in addresses]
    if faults:
        last = faults[-1]
        yield Detail(
            name="faults",
            value=f"{len(faults)}, last {clock(last.at)}: {last.text}",
            path=_LOG,
            meaning="DMA that the IOMMU refused, as far back as pane 5 goes",
        )


def _taken(sample: Sample, concerns: Callable[[Interrupt], bool], name: str) -> Iterator[Detail]:
    """Where interrupts are taken, as far as their counts on each CPU are read: on the screen."""
    rows = [row for row in sample.snapshot.interrupts if row.irq.isdecimal() and concerns(row)]
    locality = Locality(sample.nodes, sample.snapshot) if rows else None
    for row in rows[:_MOST_IRQS]:
        place = locality.place(row, sample.per_cpu.get(int(row.irq), ())) if locality else None
        if place is not None:
            yield Detail(
                name=name.format(row.irq),
                value=place.words,
                path=f"/sys/kernel/irq/{row.irq}/per_cpu_count",
                meaning="the CPU that takes most of it; its distance from the device (10: near)",
            )


def _held_by(
    pids: Sequence[int], snapshot: Snapshot, *, through: int | None = None
) -> Iterator[Detail]:
    """Who holds a group or a device: names and pids, nobody, or why that cannot be told."""
    blind = blindness(snapshot)
    names = {process.pid: process.name for process in snapshot.processes}
    value = ", ".join(f"{names.get(pid) or UNKNOWN} {pid}" for pid in pids)
    meaning = "processes that have a node of it open or mapped"
    if through is not None and pids:
        meaning = f"processes that have its group {through} open or mapped"
    if not pids:
        value = "nobody" if blind is None else f"cannot tell ({blind.errno})"
        meaning = meaning if blind is None else blind.what
    yield Detail(name="holders", value=value, path=_NODES, meaning=meaning)


def _of_queue(queue: Sdmdev, sample: Sample) -> Iterator[Detail]:
    place = f"{_QUEUES.get(queue.kind, _MDEVS)}/{queue.id}"
    yield from _fields(queue, _queue_table(queue), place)
    if queue.kind in ("sdmdev", "mdev"):
        shared = queue.domain_of is not None
        yield Detail(
            name="domain",
            value=f"shared with group {queue.domain_of}" if shared else "emulated, not shared",
            path=f"{GROUPS}/{queue.group}/name",
            meaning="whether its DMA runs in the I/O domain of its parent",
        )
    yield from _taken(sample, lambda row: queue.id in row.shared_by, "woken by {}")
    processes = {process.pid: process for process in sample.snapshot.processes}
    for pid in queue.holders or ():
        if pid in processes:
            process = processes[pid]
            yield Detail(
                name=f"pid {pid}",
                value=f"{process.name or '?'} ({process.user or '?'})",
                path=f"/proc/{pid}/fd",
                meaning=f"holds {', '.join(process.holds)}",
            )
    for name, value in sorted(queue.params.items()):
        path = _parameter_path(queue, place, name)
        yield Detail(name=name, value=value, path=path, meaning="parameter of the queue")


_QUEUES = {"uacce": _UACCE, "idxd": _IDXD}


def _queue_table(queue: Sdmdev) -> dict[str, tuple[str, str, str]]:
    """The fields of a queue of this kind, and what its state means."""
    files = _QUEUE_FILES.get(queue.kind, {})
    table = {
        field: (title, files.get(field, file), meaning)
        for field, (title, file, meaning) in _QUEUE.items()
    }
    if queue.kind in _QUEUE_FILES:
        table["group"] = (*table["group"][:2], "its parent's group")
    free = ": it is free to be taken" if queue.state == "idle" and _may_be_taken(queue) else ""
    return {**table, "state": ("state", "", f"{_STATES[queue.state]}{free}")}


def _may_be_taken(queue: Sdmdev) -> bool:
    """Whether processes can open it: an IDXD queue has a node while it is set up for users."""
    is_set_up = (queue.type or "").startswith("user") and queue.params.get("state") == "enabled"
    return queue.kind != "idxd" or is_set_up


def _parameter_path(queue: Sdmdev, place: str, name: str) -> str:
    """The file in which a parameter of a queue was read."""
    if queue.kind == "uacce":
        return f"{place}/{name}"
    if queue.kind == "idxd":
        if name in _IDXD_DEVICE_FILES:
            return f"{_IDXD}/{queue.params.get('device', '?')}/{_IDXD_DEVICE_FILES[name]}"
        if name == "pids":
            return f"{place}/dsa!{queue.id}/file*/pid"
        return place if name == "device" else f"{place}/{name}"
    return place if name == "removal" else f"{place}/params/{name}"


def _fields(
    record: IommuGroup | Device | Sdmdev | IommuUnit,
    table: Mapping[str, tuple[str, str, str]],
    place: str,
    untold: Collection[str] | None = None,
) -> Iterator[Detail]:
    """The fields in the order of the table; `untold` are those for which None is no answer."""
    for field, (title, file, meaning) in table.items():
        value = getattr(record, field)
        if value is None and field in _QUIET:
            continue
        path = f"{place}/{file}" if file else place
        if field in ("holders", "state"):
            path = _NODES  # The state is concluded from who holds it.
        said = UNKNOWN if value is None and field in (untold or _NEVER_ABSENT) else _say(value)
        yield Detail(name=title, value=said, path=path, meaning=meaning)


_QUIET = frozenset({"viability_reason", "physfn", "sriov", "sdmdev", "driver_override", "parent"})
"""Fields that are left out when there is nothing to say."""


_NEVER_ABSENT = frozenset({"domain_type", "viable", "state", "holders", "kind"})
"""Fields that have a value on every host: nothing there means that it could not be told."""


def _say(value: object) -> str:
    """A value in words: `-` for what is not there."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ", ".join(map(_say, value)) if value else "none"
        case AttachedDomain():
            return f"{value.type or '?'} ({value.evidence})"
        case ReservedRegion():
            return f"{value.type} {value.start}-{value.end}"
        case DevicePasid(capable=False):
            return "not capable"
        case DevicePasid():
            return f"{'enabled' if value.enabled else 'capable, not enabled'}, max {value.max}"
        case Sriov():
            return f"{value.vfs} of {value.total} VFs"
        case SdmdevParams():
            return f"iommu_type {_say(value.iommu_type)}, {_say(value.dma_flags)}"
    return str(value)


def _places_of(snapshot: Snapshot, key: str) -> Iterator[str]:
    """The directories (and single files) whose unknown facts belong to this object.

    Not what is below them: there are the devices behind a bridge, and the queues of a parent.
    """
    kind, _, rest = key.partition("/")
    if kind == "group":
        yield from (f"{GROUPS}/{rest}", f"{GROUPS}/{rest}/devices")
        return
    for queue in snapshot.sdmdevs:
        if queue.id == key:
            yield from _places_of_queue(queue, _path_of(snapshot, queue.parent))
    path = _path_of(snapshot, key)
    if path is not None:
        yield from (path, f"{path}/params", f"{path}/mdev_supported_types")
        yield from (f"{_SDMDEV}/{key}", f"{_SDMDEV}/{key}/device", f"{_SDMDEV}/{key}/device/params")
        for type_ in snapshot.mdev_types:
            if type_.parent == key:
                yield f"{path}/mdev_supported_types/{type_.id}"


def _path_of(snapshot: Snapshot, address: str | None) -> str | None:
    return next((one.path for one in snapshot.devices if one.address == address), None)


def _places_of_queue(queue: Sdmdev, parent: str | None) -> Iterator[str]:
    yield "/proc/*/fd"
    place = f"{_QUEUES.get(queue.kind, _MDEVS)}/{queue.id}"
    yield from (place, f"{place}/params")
    if parent is None:
        return
    # The same directories under their true names.
    if queue.kind == "idxd":
        device = f"{parent}/{queue.params.get('device', '?')}"
        yield from (device, f"{device}/{queue.id}")
    elif queue.kind != "uacce":
        yield from (f"{parent}/{queue.id}", f"{parent}/{queue.id}/params")
