"""What a PCI device shows in sysfs. As `drivers/pci/pci-sysfs.c` and `iov.c`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.backends.simulator import class_devices
from sdmtop.backends.simulator.carried import disk_of, interfaces_of
from sdmtop.backends.simulator.devices import NOT_SET
from sdmtop.backends.simulator.vfs import (
    Attribute,
    Computed,
    Directory,
    File,
    Fixed,
    Link,
    Listing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sdmtop.backends.simulator.completion import Completion
    from sdmtop.backends.simulator.pci import PciDevice
    from sdmtop.backends.simulator.vfs import Node, Part


def _is_pf(device: PciDevice) -> bool:
    return device.spec.sriov_total > 0


def _locked(device: PciDevice) -> Completion | None:
    """What reading or writing behind the device's lock waits for."""
    return device.lock


def _locked_override(device: PciDevice) -> Completion | None:
    return device.lock if device.kernel.behaviour.locked_override else None


def _set_override(device: PciDevice, data: bytes) -> Completion | None:
    if device.kernel.behaviour.locked_override:
        return device.when_unlocked(lambda: device.set_override(data))
    device.set_override(data)
    return None


def _irq(device: PciDevice) -> str:
    """The legacy line; with MSI (but not MSI-X) the first vector."""
    if device.lines and device.msi != "msix":
        return f"{device.lines[0].number}\n"
    return f"{16 + (hash_of(device.name) & 7)}\n"


def hash_of(name: str) -> int:
    """A number that depends on a name only."""
    return sum(name.encode())


def _resource(device: PciDevice) -> str:
    rows = []
    for index in range(13):
        size = device.spec.bars[index] if index < len(device.spec.bars) else 0
        start = 0xFC00_0000_0000 + (hash_of(device.name) << 28) + (index << 24)
        rows.append(
            f"{start:#018x} {start + size - 1:#018x} {0x40200:#018x}" if size
            else f"{0:#018x} {0:#018x} {0:#018x}"
        )  # fmt: skip
    return "\n".join(rows) + "\n"


def _cpus(device: PciDevice) -> str:
    return class_devices.local_cpus(device)


PCI_ATTRIBUTES: dict[str, Attribute[PciDevice]] = {
    "vendor": Attribute(lambda device: f"{device.spec.vendor:#06x}\n"),
    "device": Attribute(lambda device: f"{device.spec.device:#06x}\n"),
    "subsystem_vendor": Attribute(lambda device: f"{device.spec.subsystem_vendor:#06x}\n"),
    "subsystem_device": Attribute(lambda device: f"{device.spec.subsystem_device:#06x}\n"),
    "class": Attribute(lambda device: f"{device.spec.class_:#08x}\n"),
    "revision": Attribute(lambda device: f"{device.spec.revision:#04x}\n"),
    "modalias": Attribute(lambda device: f"{device.modalias()}\n"),
    "uevent": Attribute(lambda device: device.uevent(), mode=0o644),
    "config": Attribute(lambda device: device.config(), mode=0o644),
    "resource": Attribute(_resource),
    "irq": Attribute(_irq),
    "numa_node": Attribute(lambda device: f"{device.numa_node}\n"),
    "local_cpulist": Attribute(_cpus),
    "enable": Attribute(lambda device: f"{device.enabled}\n", mode=0o644),
    "power_state": Attribute(lambda device: "D0\n" if device.enabled else "unknown\n"),
    "msi_bus": Attribute(lambda _: "1\n", mode=0o644),
    "driver_override": Attribute(
        lambda device: f"{device.override or NOT_SET}\n", _set_override, locked=_locked_override
    ),
    "reset": Attribute(
        None, lambda device, data: device.write_reset(data), mode=0o200,
        exists=lambda device: bool(device.spec.reset),
    ),
    "reset_method": Attribute(
        lambda device: " ".join(device.resets) + "\n",
        lambda device, data: device.write_reset_method(data),
        exists=lambda device: bool(device.spec.reset),
    ),
    "remove": Attribute(None, lambda device, data: device.write_remove(data), mode=0o200),
    "sriov_totalvfs": Attribute(lambda device: f"{device.spec.sriov_total}\n", exists=_is_pf),
    "sriov_numvfs": Attribute(
        lambda device: f"{len(device.vfs)}\n",
        lambda device, data: device.write_numvfs(data),
        exists=_is_pf,
        locked=_locked,
    ),
    "sriov_offset": Attribute(lambda _: "1\n", exists=_is_pf),
    "sriov_stride": Attribute(lambda _: "1\n", exists=_is_pf),
    "sriov_vf_device": Attribute(
        lambda device: f"{device.spec.vf_device or device.spec.device:x}\n", exists=_is_pf
    ),
    "sriov_drivers_autoprobe": Attribute(lambda _: "1\n", exists=_is_pf),
    "sriov_vf_total_msix": Attribute(lambda _: "0\n", exists=_is_pf, locked=_locked),
}  # fmt: skip


def _msi_irqs(device: PciDevice) -> Directory | None:
    if not device.msi:
        return None
    kind = device.msi
    return Directory(Fixed({str(line.number): File(lambda: f"{kind}\n") for line in device.lines}))


def _unit_link(device: PciDevice) -> Link | None:
    unit = device.group.unit if device.group is not None else None
    return (
        Link(f"{'../' * (device.path.count('/') + 1)}virtual/iommu/{unit.name}") if unit else None
    )


def _physfn(device: PciDevice) -> Link | None:
    return Link(f"../{device.physfn.name}") if device.physfn is not None else None


def _sdmdev(device: PciDevice) -> Directory | None:
    if device.name not in device.kernel.sdmdevs:
        return None
    entries = Fixed(
        device=Link(f"../../../{device.name}"),
        subsystem=Link(f"{device.up()}/../../class/sdmdev"),
        uevent=File(lambda: ""),
    )
    return Directory(Fixed({device.name: Directory(entries)}))


def _params(device: PciDevice) -> Directory | None:
    sdmdev = device.sdmdev
    if sdmdev is None:
        return None
    return Directory(
        Fixed(
            iommu_type=File(lambda: f"{sdmdev.iommu_type}\n"),
            dma_flag=File(lambda: f"{sdmdev.dma_flag}\n"),
        )
    )


def _types(device: PciDevice) -> Directory | None:
    from sdmtop.backends.simulator.sysfs import type_directory

    parent = device.mdev_parent
    return None if parent is None else Directory(Listing(parent.types, type_directory))


PCI_ENTRIES: dict[str, Callable[[PciDevice], Node | None]] = {
    "iommu": _unit_link,
    "physfn": _physfn,
    "msi_irqs": _msi_irqs,
    "sdmdev": _sdmdev,
    "params": _params,
    "mdev_supported_types": _types,
    "uacce": class_devices.uacce_of,
    "net": interfaces_of,
    "nvme": disk_of,
}


def pci_parts(device: PciDevice) -> Iterable[Part]:
    """What only some devices have, and in numbers: links to virtual functions, IDXD queues."""
    if device.vfs:
        yield Computed(
            lambda: {
                f"virtfn{number}": Link(f"../{vf.name}") for number, vf in enumerate(device.vfs)
            }
        )
    if device.spec.idxd is not None:
        yield Computed(lambda: class_devices.idxd_of(device))
