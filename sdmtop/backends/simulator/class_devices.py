"""Devices of classes, which have no bus: units, VFIO's, uacce's, IDXD's queues."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.accelerators.rings import SIZE as RINGS_SIZE
from sdmtop.backends.simulator.carried import disks, interfaces
from sdmtop.backends.simulator.dmatest import channels
from sdmtop.backends.simulator.interrupts import as_list
from sdmtop.backends.simulator.iommufd import IOMMU_MINOR
from sdmtop.backends.simulator.kstrtox import boolean, unsigned
from sdmtop.backends.simulator.processes import PAGE
from sdmtop.backends.simulator.refusal import refusal
from sdmtop.backends.simulator.sdmdev import SdmdevQueue
from sdmtop.backends.simulator.uacce import SVA, UACCE_MAJOR
from sdmtop.backends.simulator.vfio import CDEV_MAJOR, CONTAINER_MINOR, GROUP_MAJOR, MISC_MAJOR
from sdmtop.backends.simulator.vfs import Computed, Directory, File, Fixed, Link, Listing

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.backends.simulator.dmatest import DmaTest
    from sdmtop.backends.simulator.idxd import IdxdDevice, IdxdFile, IdxdQueue
    from sdmtop.backends.simulator.iommu import Unit
    from sdmtop.backends.simulator.kernel import Kernel
    from sdmtop.backends.simulator.mdev import Mdev
    from sdmtop.backends.simulator.pci import PciDevice
    from sdmtop.backends.simulator.uacce import UacceDevice
    from sdmtop.backends.simulator.vfio import VfioDevice, VfioGroup
    from sdmtop.backends.simulator.vfs import Node

IDXD_MAJOR = 235


def classes(kernel: Kernel) -> Directory:
    """/sys/class."""
    vfio = kernel.vfio

    def up(path: str) -> Link:
        return Link(f"../../devices/{path}")

    found: dict[str, Node] = {
        "iommu": Directory(
            Listing(kernel.iommu.units, lambda unit: up(f"virtual/iommu/{unit.name}"))
        ),
        "vfio": Directory(Listing(vfio.groups, lambda one: up(f"virtual/vfio/{one.name}"))),
        "misc": Directory(Fixed({name: up(f"virtual/misc/{name}") for name in _misc(kernel)})),
        "mdev_bus": Directory(Listing(kernel.mdev.parents, lambda parent: up(parent.device.path))),
        "dma": Directory(Computed(lambda: _channels(kernel))),
        "net": Directory(Computed(lambda: interfaces(kernel))),
        "block": Directory(Computed(lambda: disks(kernel))),
    }
    console = Directory(Fixed(active=File(lambda: "tty0\n")))
    found["tty"] = Directory(Fixed(console=console))
    if kernel.behaviour.vfio_dev:
        found["vfio-dev"] = Directory(
            Listing(vfio.devices, lambda one: up(f"{one.device.path}/vfio-dev/vfio{one.index}"))
        )
    if any(device.sdmdev is not None for device in kernel.scenario.devices):
        found["sdmdev"] = Directory(
            Listing(kernel.sdmdevs, lambda one: up(f"{one.path}/sdmdev/{one.name}"))
        )
    if any(device.uacce is not None for device in kernel.scenario.devices):
        found["uacce"] = Directory(
            Listing(kernel.uacce, lambda one: up(f"{one.device.path}/uacce/{one.spec.name}"))
        )
    return Directory(Fixed(found))


def characters(kernel: Kernel) -> dict[str, Node]:
    """Links to all devices that have a character node, by its number: /sys/dev/char."""
    found = {
        f"{MISC_MAJOR}:{minor}": f"virtual/misc/{name}" for name, minor in _minors(kernel).items()
    }
    for group in kernel.vfio.groups.values():
        found[f"{GROUP_MAJOR}:{group.minor}"] = f"virtual/vfio/{group.name}"
    if kernel.behaviour.cdev:
        for name, vfio in kernel.vfio.devices.items():
            found[f"{CDEV_MAJOR}:{vfio.index}"] = f"{vfio.device.path}/vfio-dev/{name}"
    for name, uacce in kernel.uacce.items():
        found[f"{UACCE_MAJOR}:{uacce.minor}"] = f"{uacce.device.path}/uacce/{name}"
    for idxd in kernel.idxd.values():
        for queue in idxd.queues.values():
            if queue.has_node:
                path = f"{idxd.device.path}/{idxd.spec.name}/{queue.name}"
                found[f"{IDXD_MAJOR}:{queue.minor}"] = f"{path}/{idxd.spec.name[:3]}!{queue.name}"
    return {number: Link(f"../../devices/{path}") for number, path in found.items()}


def virtual(kernel: Kernel, unit: Callable[[Unit], Directory]) -> Directory:
    """/sys/devices/virtual."""
    return Directory(
        Fixed(
            iommu=Directory(Listing(kernel.iommu.units, unit)),
            vfio=Directory(Listing(kernel.vfio.groups, _vfio_group)),
            misc=Directory(Fixed(_misc(kernel))),
        )
    )


def _minors(kernel: Kernel) -> dict[str, int]:
    """Miscellaneous devices: VFIO's container, and iommufd."""
    return {"vfio": CONTAINER_MINOR, **({"iommu": IOMMU_MINOR} if kernel.behaviour.cdev else {})}


def _misc(kernel: Kernel) -> dict[str, Node]:
    return {
        name: Directory(Fixed(dev=File(lambda minor=minor: f"{MISC_MAJOR}:{minor}\n")))  # type: ignore[misc]
        for name, minor in _minors(kernel).items()
    }


# -- IOMMU units ---------------------------------------------------------------------------------

_EFR = 0x29D3


def unit_attributes(kernel: Kernel, unit: Unit) -> dict[str, Node]:
    """What a unit exports of its registers: Intel and AMD do, the others nothing."""
    bits = unit.pasid_bits
    if unit.driver == "intel":
        cap, ecap = unit.registers()
        names = [*kernel.iommu.units]
        address = 0xFED9_0000 + 0x1000 * names.index(unit.name)
        texts = {
            "version": "1:0",
            "address": f"{address:x}",
            "cap": f"{cap:x}",
            "ecap": f"{ecap:x}",
            "domains_supported": "65536",
        }
        files: dict[str, Node] = {
            name: File(lambda text=text: f"{text}\n")  # type: ignore[misc]
            for name, text in texts.items()
        }
        files["domains_used"] = File(lambda: f"{unit.domains()}\n")
        return {"intel-iommu": Directory(Fixed(files))}
    if unit.driver == "amd":
        efr = _EFR & ~0x10 | (0x10 | bits - 1 << 32 if bits else 0)
        text = f"{efr:x}:0" if kernel.behaviour.amd_features_first else f"0:{efr:x}"
        return {
            "amd-iommu": Directory(
                Fixed(cap=File(lambda: "1f03000f\n"), features=File(lambda: f"{text}\n"))
            )
        }
    return {}


# -- VFIO ----------------------------------------------------------------------------------------


def _vfio_group(group: VfioGroup) -> Directory:
    return Directory(
        Fixed(
            dev=File(lambda: f"{GROUP_MAJOR}:{group.minor}\n"),
            uevent=File(
                lambda: f"MAJOR={GROUP_MAJOR}\nMINOR={group.minor}\nDEVNAME=vfio/{group.name}\n"
            ),
            subsystem=Link("../../../../class/vfio"),
        )
    )


def vfio_dev(vfio: VfioDevice) -> Directory:
    """`vfio-dev/vfioN` of a device; with a node where the kernel has such."""
    entries: dict[str, Node] = {
        "device": Link(f"../../../{vfio.device.name}"),
        "subsystem": Link(f"{vfio.device.up()}/../../class/vfio-dev"),
    }
    if vfio.kernel.behaviour.cdev:
        entries["dev"] = File(lambda: f"{CDEV_MAJOR}:{vfio.index}\n")
    return Directory(Fixed(entries))


def queue_of(mdev: Mdev) -> SdmdevQueue | None:
    """The queue of an sdmdev."""
    return mdev.vfio if isinstance(mdev.vfio, SdmdevQueue) else None


# -- uacce ---------------------------------------------------------------------------------------


def uacce_of(device: PciDevice) -> Directory | None:
    """The directory `uacce` of a device that is in the class."""
    spec = device.spec.uacce
    uacce = device.kernel.uacce.get(spec.name) if spec is not None else None
    if uacce is None:
        return None
    return Directory(Fixed({uacce.spec.name: _uacce(uacce)}))


def _uacce(uacce: UacceDevice) -> Directory:
    spec = uacce.spec
    texts = {
        "api": spec.api,
        "flags": str(SVA if uacce.has_sva else 0),
        "algorithms": "\n".join(spec.algorithms),
        "region_mmio_size": str(PAGE),
        "region_dus_size": str(RINGS_SIZE),
        "isolate": "0",
        "dev": f"{UACCE_MAJOR}:{uacce.minor}",
    }
    files: dict[str, Node] = {
        name: File(lambda text=text: f"{text}\n")  # type: ignore[misc]
        for name, text in texts.items()
    }

    def set_strategy(data: bytes) -> None:
        value = unsigned(data)
        if value > 65535:
            raise refusal(errno.EINVAL, "a number up to 65535")
        uacce.isolate_strategy = value

    files["isolate_strategy"] = File(lambda: f"{uacce.isolate_strategy}\n", set_strategy)
    files["available_instances"] = File(lambda: f"{uacce.available}\n")
    files["device"] = Link(f"../../../{uacce.device.name}")
    return Directory(Fixed(files))


# -- IDXD ----------------------------------------------------------------------------------------


def dsa_bus(kernel: Kernel) -> Directory:
    """/sys/bus/dsa."""

    def devices() -> dict[str, Node]:
        found: dict[str, Node] = {}
        for idxd in kernel.idxd.values():
            path = f"../../../devices/{idxd.device.path}/{idxd.spec.name}"
            found[idxd.spec.name] = Link(path)
            for queue in idxd.queues.values():
                found[queue.name] = Link(f"{path}/{queue.name}")
                if queue.has_node:
                    node = f"{idxd.spec.name[:3]}!{queue.name}"
                    found[node] = Link(f"{path}/{queue.name}/{node}")
        return found

    return Directory(Fixed(devices=Directory(Computed(devices)), drivers=Directory()))


def idxd_of(device: PciDevice) -> dict[str, Node]:
    """The directory `dsa0` of a device."""
    spec = device.spec.idxd
    idxd = device.kernel.idxd.get(spec.name) if spec is not None else None
    return {} if idxd is None else {idxd.spec.name: _idxd(idxd)}


def _idxd(idxd: IdxdDevice) -> Directory:
    spec = idxd.spec
    texts: dict[str, Callable[[], object]] = {
        "state": lambda: idxd.state,
        "pasid_enabled": lambda: int(idxd.has_pasids),
        "cmd_status": lambda: f"{idxd.cmd_status:#x}",
        "errors": lambda: "00000000",
        "clients": lambda: idxd.clients,
        "configurable": lambda: 1,
        "max_groups": lambda: spec.groups,
        "max_engines": lambda: spec.engines,
        "max_work_queues": lambda: len(spec.queues),
        "max_work_queues_size": lambda: 128,
        "numa_node": lambda: idxd.device.numa_node,
        "version": lambda: "0x100",
    }
    return Directory(
        Fixed(_files(texts)),
        Listing(idxd.queues, _queue),
    )


def _files(texts: dict[str, Callable[[], object]]) -> dict[str, Node]:
    return {
        name: File(lambda text=text: f"{text()}\n")  # type: ignore[misc]
        for name, text in texts.items()
    }


def _queue(queue: IdxdQueue) -> Directory:
    spec = queue.spec

    def occupancy() -> str:
        raise refusal(errno.EOPNOTSUPP, "the hardware keeps no count")

    def minor() -> str:
        if not queue.has_node:
            raise refusal(errno.ENXIO, "the queue has no node")
        return f"{queue.minor}\n"

    texts: dict[str, Callable[[], object]] = {
        "type": lambda: spec.type,
        "mode": lambda: spec.mode,
        "name": lambda: spec.name,
        "driver_name": lambda: spec.driver_name,
        "size": lambda: spec.size,
        "threshold": lambda: spec.threshold,
        "priority": lambda: spec.priority,
        "group_id": lambda: spec.group,
        "state": lambda: "enabled" if queue.is_enabled else "disabled",
        "clients": lambda: len(queue.files),
        "block_on_fault": lambda: 0,
        "ats_disable": lambda: 0,
        "prs_disable": lambda: 0,
    }
    files = _files(texts)
    files["occupancy"] = File(occupancy)
    files["cdev_minor"] = File(minor)
    if queue.has_node:
        files[f"{queue.idxd.spec.name[:3]}!{queue.name}"] = _node(queue)
    return Directory(Fixed(files))


def _node(queue: IdxdQueue) -> Directory:
    """The character device of a queue, with a directory for each open file (6.4 and later)."""

    def file(opened: IdxdFile) -> Directory:
        return Directory(
            Fixed(
                pid=File(lambda: f"{opened.pid}\n"),
                cr_faults=File(lambda: "0\n"),
                cr_fault_failures=File(lambda: "0\n"),
            )
        )

    def opened() -> dict[str, Node]:
        if not queue.idxd.has_pasids:
            return {}
        return {f"file{one.index}": file(one) for one in queue.files.values()}

    return Directory(Fixed(dev=File(lambda: f"{IDXD_MAJOR}:{queue.minor}\n")), Computed(opened))


# -- modules -------------------------------------------------------------------------------------


def modules(kernel: Kernel) -> Directory:
    """/sys/module."""

    def entries() -> dict[str, Node]:
        return {name: Directory(Fixed(_parameters(kernel, name))) for name in kernel.modules}

    return Directory(Computed(entries))


def _parameters(kernel: Kernel, module: str) -> dict[str, Node]:
    vfio = kernel.vfio

    def flag(name: str) -> File:
        def store(data: bytes) -> None:
            setattr(vfio, name, boolean(data))

        return File(lambda: "Y\n" if getattr(vfio, name) else "N\n", store)

    if module == "vfio":
        found: dict[str, Node] = {"enable_unsafe_noiommu_mode": flag("noiommu")}
    elif module == "vfio_iommu_type1":
        found = {
            "allow_unsafe_interrupts": flag("allow_unsafe_interrupts"),
            "dma_entry_limit": File(lambda: f"{vfio.dma_entry_limit}\n"),
        }
    elif module == "dmatest":
        found = _dmatest(kernel.dmatest)
    elif any(uacce.device.spec.driver == module for uacce in kernel.uacce.values()):
        found = {"uacce_mode": File(lambda: "1\n")}
    else:
        return {}
    return {"parameters": Directory(Fixed(found))}


def _dmatest(module: DmaTest) -> dict[str, Node]:
    def parameter(name: str) -> File:
        return File(lambda: f"{module.values[name]}\n", module.store(name))

    return {
        **{name: parameter(name) for name in module.values},
        "channel": File(lambda: f"{module.channel}\n", module.store_channel),
        "run": File(module.show_run, module.store_run),
    }


def _channels(kernel: Kernel) -> dict[str, Node]:
    """/sys/class/dma; a channel is used by nobody but dmatest."""
    testing = kernel.dmatest
    return {
        name: Directory(
            Fixed(in_use=File(lambda name=name: f"{int(testing.channel == name)}\n"))  # type: ignore[misc]
        )
        for name in channels(kernel)
    }


def local_cpus(device: PciDevice) -> str:
    """`local_cpulist`."""
    cpus, nodes = device.kernel.interrupts.possible, device.kernel.scenario.numa_nodes
    node = device.numa_node
    near = [cpu for cpu in range(cpus) if node < 0 or cpu * nodes // cpus == node]
    return f"{as_list(tuple(near))}\n"
