"""Scenarios: what a modelled host consists of, and what happens on it, as data (docs/scenarios.md).

A scenario is a TOML file. Reading it gives frozen records in which everything that the kernel needs
is spelled out: repetitions are unrolled, groups have keys, defaults are filled in.
"""

from __future__ import annotations

import errno
import re
import tomllib
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from sdmtop.backends.simulator.versions import behaviour
from sdmtop.toml_lines import Lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdmtop.toml_lines import Path

UnitDriver = Literal["intel", "amd", "arm-smmu-v3", "virtio"]
DomainType = Literal["DMA", "DMA-FQ", "identity"]
AcceleratorKind = Literal["zip", "sec", "hpre", "memcpy", "dsa", "edu"]
Quirk = Literal["rfc-v2"]
JobKind = Literal["deflate", "inflate", "aes", "sha", "power", "copy"]

_NAME = r"^(?!\.\.?$)[^/\x00-\x1f\x7f]{1,128}$"
_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_IDXD = r"^(dsa|iax)[0-9]{1,3}$"
_ERRNO = "^E[A-Z0-9]+$"
_PATH = r"^/[^\x00]+$"
_LINE = r"^[^\x00-\x1f\x7f]{1,128}$"
_COMM = r"^[^/\x00-\x1f\x7f]{1,15}$"
_PATTERNS = {
    repr(_NAME): "a name of at most 128 characters, without slashes and control characters",
    repr(_UUID): "a UUID in lower case",
    repr(_IDXD): "a name such as dsa0 or iax1",
    repr(_PATH): "an absolute path",
    repr(_LINE): "a text of at most 128 characters, without control characters",
    repr(_COMM): "a name of at most 15 characters, without slashes and control characters",
    repr(_ERRNO): "the name of an errno, such as EIO",
}
"""What each pattern asks for, in words."""

Name: TypeAlias = Annotated[str, Meta(pattern=_NAME)]
"""What can be the name of a file."""
Uuid: TypeAlias = Annotated[str, Meta(pattern=_UUID)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 20)]
Positive: TypeAlias = Annotated[int, Meta(ge=1, le=1 << 20)]
Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=1e9)]
Rate: TypeAlias = Annotated[float, Meta(ge=0, le=1e7)]
"""So many a second."""
Byte4: TypeAlias = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
Address64: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]

_MOST_DEVICES, _MOST_MDEVS = 16_384, 4096
"""So many a modelled host can have, virtual functions and repetitions among them."""
_JOBS: dict[AcceleratorKind | None, tuple[JobKind, ...]] = {
    "zip": ("deflate", "inflate"),
    "sec": ("aes", "sha"),
    "hpre": ("power",),
    "memcpy": ("copy",),
    "dsa": ("copy",),
}
"""What a program can give the hardware to do."""

_PCI = re.compile(r"([0-9a-f]{4}):([0-9a-f]{2}):([0-1][0-9a-f])\.([0-7])")


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the tables of a scenario."""


class Unit(Part, frozen=True):
    """An IOMMU."""

    name: Name
    """As in `/sys/class/iommu`: `dmar0`, `smmu3.0x0000000140000000`."""
    driver: UnitDriver = "intel"
    """Whose driver it has."""
    pasid_bits: Annotated[int, Meta(ge=0, le=20)] = 0
    """Width of its PASIDs; 0: it has none."""
    remapping: bool = True
    """Whether it remaps interrupts; VFIO asks for it."""
    coherent: bool = True
    """Whether DMA behind it is coherent with the caches of the CPUs."""


class Reserved(Part, frozen=True):
    """A reserved region of a device's group."""

    start: Address64
    """The first address."""
    end: Address64
    """The last address."""
    type: Literal["direct", "direct-relaxable", "reserved", "msi"]
    """As the kernel prints it."""


class Interrupts(Part, frozen=True):
    """The vectors of a device while its own driver has it: one action each.

    `load` names the curve of interrupts a second, shared by all vectors.
    """

    kind: Literal["msi", "msix", "intx"] = "msi"
    """How they are raised."""
    actions: tuple[Annotated[str, Meta(pattern=_LINE)], ...] = ()
    """Names of the vectors, as in `/proc/interrupts`."""
    load: str | None = None
    """The curve of interrupts a second, of all vectors together."""


class MdevType(Part, frozen=True):
    """A type that a device offers. All types of a device share its `instances`."""

    id: Name
    """Behind the name of the driver it is the directory of the type."""
    name: str | None = None
    """The attribute `name`."""
    device_api: str = "vfio-pci"
    """The attribute `device_api`."""
    flags: str | None = None
    """The attribute `flags`, if there is one."""
    description: str | None = None
    """The attribute `description`, if there is one."""
    costs: Positive = 1
    """How many of the device's `instances` one of this type takes."""


class Sdmdev(Part, frozen=True):
    """The registration of a parent with class `sdmdev`.

    `dma_flag` is by default 2 (a PASID for each process) behind a unit with PASIDs, else 1.
    """

    iommu_type: Count = 1
    """The parameter of that name: the model of IOMMU to ask VFIO for."""
    dma_flag: Annotated[int, Meta(ge=0, le=31)] | None = None
    """The parameter of that name: 1 one process, 2 many, 4 shared virtual memory, ..."""


class Uacce(Part, frozen=True):
    """The registration of a device with class `uacce`; its queues are the device's."""

    name: Name
    """The name of the device and of its node."""
    api: str = "hisi_qm_v2"
    """The attribute `api`."""
    algorithms: tuple[str, ...] = ()
    """The attribute `algorithms`."""
    sva: bool = True
    """Whether its queues use the address space of their process."""


class WorkQueue(Part, frozen=True):
    """A work queue `wqN.M` of an IDXD device; `enabled` ones have a node."""

    type: Literal["none", "kernel", "user"] = "none"
    """The attribute `type`."""
    mode: Literal["dedicated", "shared"] = "dedicated"
    """The attribute `mode`."""
    name: str = ""
    """The attribute `name`."""
    driver_name: str = ""
    """The attribute `driver_name`."""
    size: Count = 0
    """The attribute `size`."""
    threshold: Count = 0
    """The attribute `threshold`."""
    priority: Count = 0
    """The attribute `priority`."""
    group: int = -1
    """The attribute `group_id`; -1: none."""
    enabled: bool = False
    """Whether it is enabled at boot; `user` ones are only where the device has PASIDs."""


class Idxd(Part, frozen=True):
    """An IDXD device: `dsa0` or `iax0`, with its queues."""

    name: Annotated[str, Meta(pattern=_IDXD)]
    """`dsa0` or `iax1`; the number is also that of its queues."""
    queues: tuple[WorkQueue, ...] = ()
    """Its queues, `wqN.0` first."""
    engines: Count = 4
    """How many engines it has."""
    groups: Count = 4
    """How many groups it has."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """The names of the queues that a process can open: `wq0.1`."""
        return tuple(
            f"wq{self.name[3:]}.{index}"
            for index, queue in enumerate(self.queues)
            if queue.enabled and queue.type == "user"
        )


class Disk(Part, frozen=True):
    """A block device of a device: partition (or the disk itself) -> where it is mounted."""

    name: Name
    """The name of the block device."""
    mounts: dict[Name, str] = {}
    """Partition, or the disk itself: where it is mounted."""


class DeviceSpec(Part, frozen=True, rename={"class_": "class", "mdev_types": "mdev_type"}):
    """A device of any bus."""

    address: Name
    """PCI address, or the name on another bus."""
    repeat: Annotated[int, Meta(ge=1, le=65536)] = 1
    """So many, each in the next PCI slot."""
    bus: Name = "pci"
    """The bus it is on."""
    parent: Name | None = None
    """The device above it; none: it hangs below a host bridge."""
    unit: Name | None = None
    """The IOMMU in front of it; none: it is in no group."""
    group: str | None = None
    """Devices of one key share a group; one without a key is alone."""
    domain_type: DomainType | None = None
    """The default domain of its group; by default as the scenario says."""
    reserved: tuple[Reserved, ...] = ()
    """Regions of its group besides that of MSIs."""
    driver: Name | None = None
    """The driver that has it at boot."""
    vendor: Annotated[int, Meta(ge=0, le=0xFFFF)] = 0
    """PCI vendor."""
    device: Annotated[int, Meta(ge=0, le=0xFFFF)] = 0
    """PCI device."""
    subsystem_vendor: Annotated[int, Meta(ge=0, le=0xFFFF)] = 0
    """PCI subsystem vendor."""
    subsystem_device: Annotated[int, Meta(ge=0, le=0xFFFF)] = 0
    """PCI subsystem device."""
    class_: Annotated[int, Meta(ge=0, le=0xFFFFFF)] = 0
    """PCI class: `0x010802`."""
    revision: Annotated[int, Meta(ge=0, le=0xFF)] = 0
    """PCI revision."""
    numa_node: Annotated[int, Meta(ge=-1, le=1023)] = -1
    """The node it is nearest to; -1: none."""
    bars: tuple[Address64, ...] = ()
    """Sizes in bytes; 0 for one that is not there."""
    interrupts: Interrupts = Interrupts()
    """Its vectors."""
    reset: tuple[Literal["flr", "af_flr", "pm", "bus", "acpi", "device_specific"], ...] = ()
    """Ways to reset it, the preferred one first."""
    sriov_total: Annotated[int, Meta(ge=0, le=0xFFFF)] = 0
    """Virtual functions it can have."""
    vf_device: Annotated[int, Meta(ge=0, le=0xFFFF)] = 0
    """PCI device of a virtual function; 0: as its own."""
    vfs: Count = 0
    """VFs that exist at boot."""
    pasid_bits: Annotated[int, Meta(ge=0, le=20)] = 0
    """Width of its PASID capability; 0: it has none."""
    ats: bool = False
    """Whether it has ATS."""
    pri: bool = False
    """Whether it has PRI."""
    acs: bool = False
    """On a bridge: whether what is behind it is told apart."""
    accelerator: AcceleratorKind | None = None
    """What its hardware computes."""
    queues: Count = 0
    """Queues of its hardware."""
    instances: Count = 0
    """Mediated devices that can be made; by default as many as queues."""
    mdev_types: tuple[MdevType, ...] = ()
    """Types of mediated devices that its driver offers."""
    sdmdev: Sdmdev | None = None
    """Its registration with class `sdmdev`."""
    uacce: Uacce | None = None
    """Its registration with class `uacce`."""
    idxd: Idxd | None = None
    """What it is to the driver of IDXD."""
    interfaces: tuple[Name, ...] = ()
    """Network interfaces."""
    disk: Disk | None = None
    """Its block device."""


class MdevSpec(Part, frozen=True):
    """A mediated device that was made at boot. `repeat` makes as many, with the next UUIDs."""

    parent: Name
    """The device it is made on."""
    type: Name
    """The `id` of a type of its parent."""
    uuid: Uuid
    """Its UUID."""
    repeat: Annotated[int, Meta(ge=1, le=65536)] = 1
    """So many, with the next UUIDs."""


class Load(Part, frozen=True):
    """A curve of events a second over virtual time.

    Between `low` and `high`, once in `period` seconds: `flat` (high), `sine`, `square`, `saw` (from
    low up to high), `burst` (high in the first tenth, then low). `noise` is the part of the value
    that chance may add or take.
    """

    name: Name
    """What others call it."""
    high: Rate
    """The most events a second."""
    low: Rate = 0.0
    """The least."""
    shape: Literal["flat", "sine", "square", "saw", "burst"] = "flat"
    """The form of the curve."""
    period: Annotated[float, Meta(gt=0, le=1e9)] = 60.0
    """Seconds after which it begins anew."""
    noise: Annotated[float, Meta(ge=0, le=1)] = 0.0
    """The part of the value that chance may add or take."""


class Use(Part, frozen=True):
    """What a process has open, and does with it: exactly one of the first four is given.

    `sdmdev` is a parent: a mediated device of `type` is made on it, or `uuid` is taken if it is
    there; `vfio` are devices on vfio-pci; `uacce` and `idxd` the node of a queue. `job` runs at
    the rate of `load`; `size` is its bytes.
    """

    sdmdev: Name | None = None
    """A parent of mediated devices, of class sdmdev or not."""
    vfio: tuple[Name, ...] = ()
    """Devices on vfio-pci."""
    uacce: Name | None = None
    """The name of a uacce device."""
    idxd: Name | None = None
    """The name of a work queue: `wq0.1`."""
    type: Name | None = None
    """The `id` of the type to make."""
    uuid: Uuid | None = None
    """The UUID to make, or to take if it is there; by default one of chance."""
    keep: bool = False
    """Leave the mediated device behind at the end, as a process does that dies."""
    started: bool = True
    """False: the group is held, the device is not opened."""
    polite: bool = False
    """Let a device of `vfio` go when the kernel asks for it."""
    memory: Annotated[int, Meta(ge=4096, le=1 << 26)] = 65536
    """Bytes that are mapped for the device."""
    job: JobKind | None = None
    """What the hardware is given to do; none: it is only held."""
    size: Annotated[int, Meta(ge=1, le=1 << 20)] = 4096
    """Bytes of a message."""
    load: str | None = None
    """The curve of jobs a second."""


class WriteSpec(Part, frozen=True):
    """A write to a file, `after` seconds of the life of the process that does it."""

    path: Annotated[str, Meta(pattern=_PATH)]
    """The file."""
    data: str
    """What is written."""
    after: Seconds = 0.0
    """Seconds after the process has begun."""


class ProcessSpec(Part, frozen=True, rename={"uses": "use", "writes": "write"}):
    """A program: it begins at `begin`, ends `lives` seconds later, and begins `again` so often.

    `again` counts from one beginning to the next; each has a pid of its own. `repeat` makes as
    many of them, whose `sdmdev` is the parent in the next PCI slot each time.
    """

    name: Annotated[str, Meta(pattern=_COMM)]
    """As in `/proc/PID/comm`."""
    pid: Annotated[int, Meta(ge=2, le=4_000_000)] | None = None
    """Its pid, the first time; by default one that is free."""
    uid: Annotated[int, Meta(ge=0, le=0xFFFF_FFFE)] = 0
    """The user."""
    memlock: Annotated[int, Meta(ge=0)] | None = None
    """RLIMIT_MEMLOCK in bytes; None: not limited."""
    begin: Seconds = 0.0
    """When it begins, in seconds after boot."""
    lives: Seconds | None = None
    """How long it lives; by default for ever."""
    again: Annotated[float, Meta(ge=0.01)] | None = None
    """Seconds from one beginning to the next; by default there is one only."""
    repeat: Annotated[int, Meta(ge=1, le=65536)] = 1
    """So many, with the parents that follow."""
    uses: tuple[Use, ...] = ()
    """What it has open."""
    writes: tuple[WriteSpec, ...] = ()
    """What it writes."""


FaultKind = Literal[
    "errno",
    "hang",
    "removal",
    "lost-interrupt",
    "spurious-interrupt",
    "interrupt-storm",
    "pasid-exhaustion",
    "iommu-fault",
    "stall",
    "wrong-result",
    "kill",
]


_DEEDS = (
    "bind", "create", "drivers_probe", "remove", "rescan", "reset", "unbind",
)  # fmt: skip
"""Files to which is written what is to be done, or to what; to `create` the UUID of what is new."""
_SETTINGS = (
    "allow_unsafe_interrupts", "channel", "driver_override", "enable_unsafe_noiommu_mode",
    "isolate_strategy", "iterations", "kmsg", "max_channels", "new_id", "noverify", "online",
    "remove_id", "reset_method", "run", "smp_affinity_list", "sriov_numvfs", "test_buf_size",
    "threads_per_chan", "timeout", "type", "verbose",
)  # fmt: skip
"""Files to which anything can be written."""
_COMMANDS = (
    "open", "BIND_PASID", "GET_DEVICE_FD", "MAP_DMA", "RESET", "SET_CONTAINER", "SET_IOMMU",
    "SET_IRQS", "START_Q", "UNMAP_DMA", "WAIT",
)  # fmt: skip
OPERATIONS = (*sorted((*_DEEDS, *_SETTINGS)), *_COMMANDS)
"""What can be made to fail or to hang: writes to files, `open`, and ioctls."""


def may_be_written(operation: str, text: str) -> bool:
    """Whether an operation can be about a text that names nothing which is there."""
    if operation == "create":
        return re.fullmatch(_UUID, text) is not None
    return operation in _SETTINGS and "/" not in text


class Fault(Part, frozen=True):
    """Something that goes wrong: once at `at`, `every` so many seconds, or by chance (`rate`).

    `target` is a device, a mediated device, a queue (`0000:75:00.0/3`), an interrupt or a
    process (its name or pid), as the kind asks for. `errno` and `hang` are of an `operation`:
    the name of a file that is written (`unbind`, `create`, `remove`, `reset`, ...) or of an ioctl.
    """

    kind: FaultKind
    """What goes wrong."""
    target: str = ""
    """What it is about."""
    at: Seconds | None = None
    """Once, so many seconds after boot."""
    every: Annotated[float, Meta(ge=0.01)] | None = None
    """Again and again, so many seconds apart."""
    rate: Annotated[float, Meta(ge=0, le=100)] | None = None
    """By chance, so many times a second."""
    lasts: Seconds | None = None
    """Seconds until it is over; None: for ever, or, of what takes no time, at once."""
    operation: str | None = None
    """Of `errno` and `hang`: what fails or hangs."""
    errno: Annotated[str, Meta(pattern=_ERRNO)] | None = None
    """Of `errno`: with what it fails."""
    times: Positive | None = None
    """How many operations fail, or interrupts are lost."""
    amount: Rate | None = None
    """Interrupts a second of a storm."""

    def mistake(self) -> str | None:
        """Why it can happen on no host; None if it may."""
        is_of_operation = self.kind in ("errno", "hang")
        if is_of_operation != (self.operation is not None):
            takes = "needs an" if is_of_operation else "takes no"
            return f"a fault of kind {self.kind} {takes} operation"
        if self.operation is not None and self.operation not in OPERATIONS:
            return f"there is no operation {self.operation}; there are {', '.join(OPERATIONS)}"
        if self.kind == "errno" and not hasattr(errno, self.errno or ""):
            return "a fault of kind errno needs an errno that there is"
        if not self.target and not is_of_operation and self.kind != "pasid-exhaustion":
            return f"a fault of kind {self.kind} needs a target"
        if self.target and self.kind == "pasid-exhaustion":
            return f"a fault of kind {self.kind} takes no target: it is for everybody"
        return None


class Scenario(
    Part,
    frozen=True,
    rename={
        "units": "unit",
        "devices": "device",
        "mdevs": "mdev",
        "loads": "load",
        "processes": "process",
        "faults": "fault",
    },
):
    """A host."""

    title: str
    """What it shows, in a line."""
    hostname: Name = "sim"
    """The name of the host."""
    kernel: str = "6.12"
    """The release whose behaviour it has."""
    quirks: tuple[Quirk, ...] = ()
    """`rfc-v2`: sdmdev as it was posted, faults included."""
    cpus: Annotated[int, Meta(ge=1, le=1024)] = 4
    """CPUs, all online."""
    numa_nodes: Annotated[int, Meta(ge=1, le=64)] = 1
    """NUMA nodes."""
    domain_type: DomainType = "DMA-FQ"
    """Default domain of groups at boot."""
    tick: Annotated[float, Meta(ge=0.01, le=10)] = 0.1
    """Seconds of virtual time between two steps of every load."""
    debugfs: bool = True
    """Whether debugfs is mounted and the unit's driver shows its tables there."""
    modules: tuple[Name, ...] = ()
    """Modules that can be loaded; those of the drivers and of VFIO always can."""
    units: tuple[Unit, ...] = ()
    """IOMMUs."""
    devices: tuple[DeviceSpec, ...] = ()
    """Devices."""
    mdevs: tuple[MdevSpec, ...] = ()
    """Mediated devices that exist at boot."""
    loads: tuple[Load, ...] = ()
    """Curves of events."""
    processes: tuple[ProcessSpec, ...] = ()
    """Programs."""
    faults: tuple[Fault, ...] = ()
    """What goes wrong."""


class ScenarioError(ValueError):
    """A scenario that makes no sense: a sentence with the file and the line."""


class _MistakeError(Exception):
    """What is wrong, and where in the data."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(what)
        self.path = path


def read_scenario(text: str, file: str) -> Scenario:
    """The scenario in a TOML text; `file` names it in messages.

    Raises `ScenarioError`.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(_syntax(str(error), text, file)) from error
    except RecursionError as error:
        raise ScenarioError(f"{file}: its lists or tables are nested too deep") from error
    try:
        scenario = msgspec.convert(data, Scenario)
        _check(scenario)
    except msgspec.ValidationError as error:
        what, path = _split(str(error))
        raise ScenarioError(_located(text, file, path, what)) from error
    except _MistakeError as error:
        raise ScenarioError(_located(text, file, error.path, str(error))) from error
    return _unrolled(scenario)


# -- messages ------------------------------------------------------------------------------------


def _syntax(message: str, text: str, file: str) -> str:
    """What `tomllib` says, with the line in front."""
    what, _, place = message.partition(" (at ")
    found = re.match(r"line (\d+)", place)
    line = int(found[1]) if found else text.count("\n") + 1
    return f"{file}:{line}: {what[:1].lower()}{what[1:]}"


def _split(message: str) -> tuple[str, Path]:
    """(what is wrong, where) of a message such as ``Expected `int` - at `$.device[3].queues` ``."""
    what, _, place = message.partition(" - at `$")
    parts = re.findall(r"\[(\d+)\]|\.([^.\[\]`]+)", place)
    path = tuple(int(index) if index else key for index, key in parts)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what)
    if unknown:
        return "there is no such key", (*path, unknown[1])
    pattern = re.fullmatch(r"Expected `str` matching regex (.*)", what)
    if pattern:
        return f"expected {_PATTERNS[pattern[1]]}", path
    what = what.replace("`", "").replace("Object missing required field", "the table has no")
    return what[:1].lower() + what[1:], path


def _located(text: str, file: str, path: Path, what: str) -> str:
    name = next((part for part in reversed(path) if isinstance(part, str)), "")
    return f"{file}:{Lines(text).of(path)}: {name}{': ' if name else ''}{what}"


# -- what must agree -----------------------------------------------------------------------------


def _check(scenario: Scenario) -> None:
    try:
        behaviour(scenario.kernel)
    except ValueError as error:
        raise _MistakeError(("kernel",), str(error)) from error
    units = _names("unit", [unit.name for unit in scenario.units])
    loads = _names("load", [load.name for load in scenario.loads])
    for index, load in enumerate(scenario.loads):
        if load.low > load.high:
            raise _MistakeError(("load", index, "low"), f"it is above high, {load.high:g}")
    devices = _check_devices(scenario, units, loads)
    _check_mdevs(scenario, devices)
    for index, process in enumerate(scenario.processes):
        here = ("process", index)
        parents = [use.sdmdev for use in process.uses if use.sdmdev is not None]
        if process.repeat > 1 and not all(map(_PCI.fullmatch, parents)):
            raise _MistakeError((*here, "repeat"), "only parents on the bus pci follow each other")
        for one in _next_parents(process):
            for number, use in enumerate(one.uses):
                _check_use((*here, "use", number), use, scenario, devices)
    for index, fault in enumerate(scenario.faults):
        _check_fault(("fault", index), fault, scenario, devices)


def _check_mdevs(scenario: Scenario, devices: dict[str, DeviceSpec]) -> None:
    uuids: set[str] = set()
    used: Counter[str] = Counter()
    for index, mdev in enumerate(scenario.mdevs):
        parent = devices.get(mdev.parent)
        here: Path = ("mdev", index)
        if parent is None:
            raise _MistakeError((*here, "parent"), f"there is no device {mdev.parent}")
        type_ = next((one for one in parent.mdev_types if one.id == mdev.type), None)
        if type_ is None:
            raise _MistakeError((*here, "type"), f"{mdev.parent} offers no type {mdev.type}")
        if parent.driver in (None, "vfio-pci"):
            raise _MistakeError((*here, "parent"), f"{mdev.parent} has no driver to make it")
        used[mdev.parent] += type_.costs * mdev.repeat
        capacity = parent.instances or parent.queues
        if parent.sdmdev is not None:  # Each takes a queue, too.
            capacity = min(capacity, parent.queues)
        if used[mdev.parent] > capacity:
            what = f"{mdev.parent} has {capacity} instances, and {used[mdev.parent]} are taken"
            raise _MistakeError(here, what)
        if len(uuids) + mdev.repeat > _MOST_MDEVS:
            raise _MistakeError(here, f"a host has {_MOST_MDEVS} mediated devices at most")
        for one in _next_uuids(mdev):
            if one.uuid in uuids:
                raise _MistakeError((*here, "uuid"), f"there are two mediated devices {one.uuid}")
            uuids.add(one.uuid)


def _names(table: str, names: list[str]) -> frozenset[str]:
    """All names of a table. Raises for one that is there twice."""
    for name, count in Counter(names).items():
        if count > 1:
            second = [index for index, other in enumerate(names) if other == name][1]
            raise _MistakeError((table, second), f"there are two of the name {name}")
    return frozenset(names)


def _check_devices(
    scenario: Scenario, units: frozenset[str], loads: frozenset[str]
) -> dict[str, DeviceSpec]:
    devices: dict[str, DeviceSpec] = {}
    count = 0
    for index, spec in enumerate(scenario.devices):
        here: Path = ("device", index)
        if spec.bus == "pci" and not _PCI.fullmatch(spec.address):
            what = f"{spec.address} is no PCI address, such as 0000:75:00.0"
            raise _MistakeError((*here, "address"), what)
        if spec.repeat > 1 and spec.bus != "pci":
            raise _MistakeError((*here, "repeat"), "only a device on the bus pci can be repeated")
        if spec.unit is not None and spec.unit not in units:
            raise _MistakeError((*here, "unit"), f"there is no unit {spec.unit}")
        if spec.interrupts.load is not None and spec.interrupts.load not in loads:
            what = f"there is no load {spec.interrupts.load}"
            raise _MistakeError((*here, "interrupts", "load"), what)
        if spec.numa_node >= scenario.numa_nodes:
            raise _MistakeError((*here, "numa_node"), f"the last node is {scenario.numa_nodes - 1}")
        if spec.vfs > spec.sriov_total:
            raise _MistakeError((*here, "vfs"), f"sriov_total is {spec.sriov_total}")
        for number, region in enumerate(spec.reserved):
            if region.end < region.start:
                raise _MistakeError((*here, "reserved", number, "end"), "it is before the start")
        count += spec.repeat * (1 + spec.vfs)
        if count > _MOST_DEVICES:
            raise _MistakeError(here, f"a host has {_MOST_DEVICES:,} devices at most")
        for one in _repeated(spec):
            if one.address in devices:
                raise _MistakeError((*here, "address"), f"there are two devices {one.address}")
            devices[one.address] = one
    _check_parents(scenario, devices)
    return devices


def _check_parents(scenario: Scenario, devices: dict[str, DeviceSpec]) -> None:
    """A device is enumerated behind the one that it hangs below."""
    before: set[str] = set()
    for index, spec in enumerate(scenario.devices):
        parent, here = spec.parent, ("device", index, "parent")
        own = {one.address for one in _repeated(spec)}
        if parent is not None and parent not in before:
            if parent not in devices:
                raise _MistakeError(here, f"there is no device {parent}")
            above, passed = parent, set[str]()
            while above not in own and above not in passed:
                passed.add(above)
                above = devices[above].parent or above
            if above in own:
                raise _MistakeError(here, f"{above} would be below itself")
            raise _MistakeError(here, f"{parent} must stand before what is below it")
        before |= own


def _check_use(here: Path, use: Use, scenario: Scenario, devices: dict[str, DeviceSpec]) -> None:
    ways = [bool(way) for way in (use.sdmdev, use.vfio, use.uacce, use.idxd)]
    if sum(ways) != 1:
        raise _MistakeError(here, "give one of sdmdev, vfio, uacce and idxd")
    if use.load is not None and all(use.load != load.name for load in scenario.loads):
        raise _MistakeError((*here, "load"), f"there is no load {use.load}")
    for key, names in (("vfio", use.vfio), ("sdmdev", (use.sdmdev,) if use.sdmdev else ())):
        for name in names:
            if name not in devices:
                raise _MistakeError((*here, key), f"there is no device {name}")
    if use.sdmdev is not None:
        types = [type_.id for type_ in devices[use.sdmdev].mdev_types]
        is_made = any(use.uuid == mdev.uuid for mdev in scenario.mdevs)
        if not is_made and use.type not in types:
            offers = ", ".join(types) or "none"
            raise _MistakeError(here, f"give a type that {use.sdmdev} offers: {offers}")
    device = devices[use.sdmdev] if use.sdmdev is not None else None
    specs = devices.values()
    if use.uacce is not None:
        device = next((one for one in specs if one.uacce and one.uacce.name == use.uacce), None)
        if device is None:
            raise _MistakeError((*here, "uacce"), f"there is no uacce device {use.uacce}")
    if use.idxd is not None:
        device = next((one for one in specs if one.idxd and use.idxd in one.idxd.nodes), None)
        if device is None:
            raise _MistakeError((*here, "idxd"), f"there is no work queue {use.idxd} with a node")
    kind = device.accelerator if device is not None else None
    if use.job is not None and use.job not in _JOBS.get(kind, ()):
        what = f"an engine of kind {kind}" if kind is not None else "a device that computes nothing"
        raise _MistakeError((*here, "job"), f"{what} cannot do it")


def _check_fault(
    here: Path, fault: Fault, scenario: Scenario, devices: dict[str, DeviceSpec]
) -> None:
    if sum(when is not None for when in (fault.at, fault.every, fault.rate)) != 1:
        raise _MistakeError(here, "give one of at, every and rate")
    mistake = fault.mistake()
    if mistake is not None:
        raise _MistakeError(here, mistake)
    if fault.target:
        check = _check_subject if fault.operation is not None else _check_target
        check((*here, "target"), fault, scenario, devices)


def _check_subject(
    here: Path, fault: Fault, scenario: Scenario, devices: dict[str, DeviceSpec]
) -> None:
    """What an operation is about: something that there is or can be, or what may be written."""
    target, operation = fault.target, fault.operation or ""
    if target.isdecimal() or re.fullmatch(_UUID, target) or may_be_written(operation, target):
        return  # A group, an interrupt, a process; a mediated device.
    specs = devices.values()
    known = (
        devices,
        ("pci", "mdev", "vfio", "iommu", "vfio-pci"),
        (name for spec in specs for name in (spec.bus, spec.driver)),
        (f"{spec.driver}-{type_.id}" for spec in specs for type_ in spec.mdev_types),
        (spec.uacce.name for spec in specs if spec.uacce is not None),
        (name for spec in specs if spec.idxd is not None for name in spec.idxd.nodes),
        (process.name for process in scenario.processes),
    )
    if not any(target in names for names in known) and not _is_vf(target, devices):
        raise _MistakeError(here, f"there is nothing {target} that {operation} could be about")


def _check_target(
    here: Path, fault: Fault, scenario: Scenario, devices: dict[str, DeviceSpec]
) -> None:
    target = fault.target
    if fault.kind == "kill":
        if not target.isdecimal() and all(target != one.name for one in scenario.processes):
            raise _MistakeError(here, f"there is no process {target}")
        return
    if fault.kind.endswith(("-interrupt", "-storm")) and target.isdecimal():
        return
    number = ""
    if fault.kind == "stall":
        if re.fullmatch(_UUID, target):
            return
        target, _, number = target.partition("/")
    spec = devices.get(target)
    if spec is None:
        if not _is_vf(target, devices):
            raise _MistakeError(here, f"there is no device {target}")
        return
    if fault.kind in ("stall", "wrong-result") and spec.accelerator is None:
        raise _MistakeError(here, f"{target} does not compute")
    queues = len(spec.idxd.queues) if spec.idxd is not None else spec.queues
    if number and not (number.isdecimal() and int(number) < queues):
        raise _MistakeError(here, f"{target} has no queue {number}")


def _is_vf(address: str, devices: dict[str, DeviceSpec]) -> bool:
    """Whether a device can have a virtual function at an address."""
    place = _routing_id(address)
    return place is not None and any(
        0 < place - (_routing_id(spec.address) or 0) <= spec.sriov_total
        for spec in devices.values()
        if spec.sriov_total and spec.address[:5] == address[:5]
    )


def _routing_id(address: str) -> int | None:
    """Bus, slot and function of a PCI address as one number."""
    found = _PCI.fullmatch(address)
    if found is None:
        return None
    return int(found[2], 16) << 8 | int(found[3], 16) << 3 | int(found[4])


# -- repetitions ---------------------------------------------------------------------------------


def _unrolled(scenario: Scenario) -> Scenario:
    return msgspec.structs.replace(
        scenario,
        devices=tuple(one for spec in scenario.devices for one in _repeated(spec)),
        mdevs=tuple(one for spec in scenario.mdevs for one in _next_uuids(spec)),
        processes=tuple(one for spec in scenario.processes for one in _next_parents(spec)),
    )


def _repeated(spec: DeviceSpec) -> Iterator[DeviceSpec]:
    """A device for each repetition: the same in the next slots of its bus and of those behind."""
    if spec.repeat == 1:
        yield spec
        return
    for number in range(spec.repeat):
        changes: dict[str, Any] = {"address": _slot_after(spec.address, number), "repeat": 1}
        yield msgspec.structs.replace(spec, **changes)


def _slot_after(address: str, number: int) -> str:
    """The PCI address so many slots further on, and on the buses behind it."""
    bus, slot, function = address[:7].replace(":", ""), address[8:10], address[-1]
    place = (int(bus, 16) << 5 | int(slot, 16)) + number
    return f"{place >> 13:04x}:{place >> 5 & 0xFF:02x}:{place & 0x1F:02x}.{function}"


def _next_parents(spec: ProcessSpec) -> Iterator[ProcessSpec]:
    """A process for each repetition, with the parents that follow."""
    if spec.repeat == 1:
        yield spec
        return
    for number in range(spec.repeat):
        uses = tuple(
            use
            if use.sdmdev is None
            else msgspec.structs.replace(use, sdmdev=_slot_after(use.sdmdev, number))
            for use in spec.uses
        )
        yield msgspec.structs.replace(spec, uses=uses, repeat=1)


def _next_uuids(spec: MdevSpec) -> Iterator[MdevSpec]:
    """A mediated device for each repetition: the UUIDs count up in their last twelve digits."""
    head, _, tail = spec.uuid.rpartition("-")
    for number in range(spec.repeat):
        uuid = f"{head}-{int(tail, 16) + number:012x}"
        yield msgspec.structs.replace(spec, uuid=uuid, repeat=1)
