"""The nouns: one Snapshot of a host, as frozen records.

The field names are the JSON of contract 2 (`docs/snapshot.md`), so the encoder has nothing to
translate. `None` is a fact that is absent or could not be read; `unknown` says which of the two.
Text that a kernel or a file gave us is in the escaped form of `sdmtop.text` and safe to encode,
but not yet safe to print: only `sdmtop.text.printable` makes it so.
"""

from typing import Literal

import msgspec

SCHEMA: Literal["sdmtop.snapshot/1"] = "sdmtop.snapshot/1"

Backend = Literal["linux", "simulator", "capture"]
UnitDriver = Literal["intel", "amd", "arm-smmu-v3", "virtio", "other"]
Evidence = Literal["known", "inferred", "unknown"]
Owner = Literal["kernel", "vfio", "free"]
SdmdevKind = Literal["sdmdev", "mdev", "uacce", "idxd"]
SdmdevState = Literal["idle", "held", "started", "orphan"]


class Record(msgspec.Struct, frozen=True, gc=False):
    """Base of all records: immutable, and outside the cyclic collector.

    `gc=False` is safe because a frozen record can only hold what existed before it, so no cycle
    can form; at 8,192 devices it keeps the collector from walking every record.
    """


class HostInfo(Record, frozen=True):
    """The box itself."""

    name: str | None
    kernel: str | None
    backend: Backend
    cpus: int | None
    read_only: bool


class IommuUnit(Record, frozen=True):
    """One IOMMU: `/sys/class/iommu/<name>`."""

    name: str
    driver: UnitDriver
    pasid: bool | None
    pasid_bits: int | None
    domains_used: int | None
    domains_supported: int | None
    devices: tuple[str, ...]


class AttachedDomain(Record, frozen=True):
    """What is attached to a group now, which no sysfs file says (kernel-abi rule 1).

    `type` is the kernel's spelling of a domain type, `emulated` for the container of an mdev, or
    None when nothing tells.
    """

    type: str | None
    evidence: Evidence


class ReservedRegion(Record, frozen=True):
    """One line of `reserved_regions`; `start` and `end` (inclusive) as the kernel prints them."""

    start: str
    end: str
    type: str


class IommuGroup(Record, frozen=True):
    """`/sys/kernel/iommu_groups/<id>`. `domain_type` is the *default* domain."""

    id: int
    domain_type: str | None
    attached: AttachedDomain
    owner: Owner
    viable: bool | None
    viability_reason: str | None
    reserved_regions: tuple[ReservedRegion, ...]
    devices: tuple[str, ...]
    shared_by: tuple[str, ...]


class DevicePasid(Record, frozen=True):
    """PCI PASID capability; `max` is the number of PASIDs that the device can tell apart."""

    capable: bool
    enabled: bool
    max: int | None


class Sriov(Record, frozen=True):
    """A physical function: `total` VFs possible, `vfs` VFs that exist now."""

    total: int
    vfs: int


class SdmdevParams(Record, frozen=True):
    """`<parent>/params/` of a parent in class `sdmdev` (reference: the RFC's sysfs ABI)."""

    iommu_type: int | None
    dma_flags: tuple[str, ...]


class Device(Record, frozen=True, rename={"class_": "class"}):
    """A device of any bus that sits in a group or is the parent of mediated devices."""

    address: str
    bus: str | None
    path: str
    parent: str | None
    group: int | None
    iommu: str | None
    driver: str | None
    driver_override: str | None
    vendor: str | None
    device: str | None
    class_: str | None
    name: str | None
    numa_node: int | None
    irqs: tuple[int, ...]
    pasid: DevicePasid | None
    sriov: Sriov | None
    physfn: str | None
    sdmdev: SdmdevParams | None


class MdevType(Record, frozen=True):
    """`<parent>/mdev_supported_types/<id>`."""

    parent: str
    id: str
    name: str | None
    device_api: str | None
    available_instances: int | None
    flags: str | None
    instances: tuple[str, ...]


class Sdmdev(Record, frozen=True):
    """A queue that a process can hold: an sdmdev, a generic mdev, a uacce or an IDXD queue.

    `holders` is None when it cannot be told who holds it, and empty when nobody does.
    """

    id: str
    kind: SdmdevKind
    parent: str | None
    type: str | None
    group: int | None
    state: SdmdevState | None
    domain_of: int | None
    pasid: int | None
    holders: tuple[int, ...] | None
    params: dict[str, str]


class Pasid(Record, frozen=True):
    """A PASID that is live on a device; `process` is None where no kernel file tells."""

    pasid: int
    device: str
    process: int | None
    source: str


class Interrupt(Record, frozen=True):
    """A row of `/proc/interrupts`. `per_cpu` follows the CPUs of its header line."""

    irq: str
    chip: str | None
    hwirq: str | None
    trigger: str | None
    actions: tuple[str, ...]
    per_cpu: tuple[int, ...]
    total: int
    device: str | None
    shared_by: tuple[str, ...]
    affinity: str | None


class Process(Record, frozen=True):
    """A process that holds a VFIO, iommufd, uacce or IDXD node, by descriptor or by mapping."""

    pid: int
    name: str | None
    user: str | None
    holds: tuple[str, ...]


class Unknown(Record, frozen=True):
    """A fact that could not be read: where, with which errno, and what it would have told."""

    path: str
    errno: str
    what: str


class Snapshot(Record, frozen=True, kw_only=True):
    """One reading of a host. Lists are sorted by their key, numbers as numbers."""

    schema: Literal["sdmtop.snapshot/1"] = SCHEMA
    taken_at: str
    host: HostInfo
    iommu_units: tuple[IommuUnit, ...]
    groups: tuple[IommuGroup, ...]
    devices: tuple[Device, ...]
    mdev_types: tuple[MdevType, ...]
    sdmdevs: tuple[Sdmdev, ...]
    pasids: tuple[Pasid, ...]
    interrupts: tuple[Interrupt, ...]
    processes: tuple[Process, ...]
    unknown: tuple[Unknown, ...]


class Detail(Record, frozen=True):
    """One more fact about a selected object, for the inspector; not part of the snapshot.

    `value` is ready to show, `path` is where it was read, `meaning` says in one line what it
    tells an operator.
    """

    name: str
    value: str
    path: str
    meaning: str


class NumaNode(Record, frozen=True):
    """`/sys/devices/system/node/nodeN`; not part of the snapshot.

    `distances` are those to each node, in the order of the nodes; 10 is the node itself.
    """

    id: int
    cpus: tuple[int, ...]
    distances: tuple[int, ...]


class Fault(Record, frozen=True):
    """A line of the kernel log in which an IOMMU reports a fault. `seconds` is since boot."""

    seconds: float
    device: str | None
    pasid: int | None
    text: str
