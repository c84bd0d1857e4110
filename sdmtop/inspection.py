"""Everything that is known of one object, each value with its origin and its meaning."""

from collections.abc import Iterator, Mapping

from sdmtop.collector import Sample
from sdmtop.model import (
    AttachedDomain,
    Detail,
    Device,
    DevicePasid,
    IommuGroup,
    IommuUnit,
    ReservedRegion,
    Sdmdev,
    SdmdevParams,
    Sriov,
)
from sdmtop.outline import NO_GROUP, UNKNOWN
from sdmtop.readers.groups import GROUPS

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
    "state": ("state", "", "orphan: taken, but no process holds it"),
    "parent": ("parent", "", "the device that serves it, and whose interrupt wakes it"),
    "group": ("group", "iommu_group", "its own group"),
    "holders": ("holders", "", "processes that have its node open or mapped"),
    "pasid": ("PASID", "params/pasid", "its address space on the device"),
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

_MDEVS = "/sys/bus/mdev/devices"
_NODES = "/proc/*/fd, /proc/*/maps"


def inspect(sample: Sample, key: str) -> tuple[Detail, ...]:
    """The facts of the object that a TARGET names; empty when there is no such object."""
    return tuple(_facts(sample, key))


def _facts(sample: Sample, key: str) -> Iterator[Detail]:
    snapshot = sample.snapshot
    kind, _, rest = key.partition("/")
    if key == NO_GROUP:
        yield from _NO_GROUP
    elif kind == "group":
        for group in snapshot.groups:
            if str(group.id) == rest:
                yield from _of_group(group)
    else:
        for queue in snapshot.sdmdevs:
            if queue.id == key:
                yield from _of_queue(queue, sample)
        for device in snapshot.devices:
            if device.address == key:
                yield from _of_device(device, sample)
    if sample.details is not None and sample.details[0] == key:
        yield from sample.details[1]
    paths = _paths_of(sample, key)
    for entry in snapshot.unknown:
        if any(entry.path.startswith(path) for path in paths):
            yield Detail(name="unknown", value=entry.errno, path=entry.path, meaning=entry.what)


def _of_group(group: IommuGroup) -> Iterator[Detail]:
    yield from _fields(group, _GROUP, f"{GROUPS}/{group.id}")


def _of_device(device: Device, sample: Sample) -> Iterator[Detail]:
    yield from _fields(device, _DEVICE, device.path)
    for unit in sample.snapshot.iommu_units:
        if unit.name == device.iommu:
            yield from _fields(unit, _UNIT, f"/sys/class/iommu/{unit.name}")


def _of_queue(queue: Sdmdev, sample: Sample) -> Iterator[Detail]:
    place = f"{_MDEVS}/{queue.id}" if queue.kind in ("sdmdev", "mdev") else f"/dev/{queue.id}"
    yield from _fields(queue, _QUEUE, place)
    if queue.kind in ("sdmdev", "mdev"):
        shared = queue.domain_of is not None
        yield Detail(
            name="domain",
            value=f"shared with group {queue.domain_of}" if shared else "emulated, not shared",
            path=f"{GROUPS}/{queue.group}/name",
            meaning="whether its DMA runs in the I/O domain of its parent",
        )
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
        path = f"{place}/params/{name}"
        yield Detail(name=name, value=value, path=path, meaning="parameter of the queue")


def _fields(
    record: IommuGroup | Device | Sdmdev | IommuUnit,
    table: Mapping[str, tuple[str, str, str]],
    place: str,
) -> Iterator[Detail]:
    for field, (title, file, meaning) in table.items():
        value = getattr(record, field)
        if value is None and field in _QUIET:
            continue
        path = f"{place}/{file}" if file else place
        if field == "holders":
            path = _NODES
        said = UNKNOWN if value is None and field in _NEVER_ABSENT else _say(value)
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
            return f"{value.start}-{value.end} {value.type}"
        case DevicePasid(capable=False):
            return "not capable"
        case DevicePasid():
            return f"{'enabled' if value.enabled else 'capable, not enabled'}, max {value.max}"
        case Sriov():
            return f"{value.vfs} of {value.total} VFs"
        case SdmdevParams():
            return f"iommu_type {_say(value.iommu_type)}, {_say(value.dma_flags)}"
    return str(value)


def _paths_of(sample: Sample, key: str) -> tuple[str, ...]:
    """The directories whose unknown facts belong to this object."""
    kind, _, rest = key.partition("/")
    if kind == "group":
        return (f"{GROUPS}/{rest}/",)
    paths = [device.path + "/" for device in sample.snapshot.devices if device.address == key]
    return (*paths, f"{_MDEVS}/{key}/")
