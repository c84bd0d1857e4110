"""A small host for tests of what stands above the readers: it changes when a test changes it."""

from collections.abc import Callable

import pytest

from sdmtop.backends.tree import Directory, Entry, Link, TreeHost

PARENT = "0000:00:01.0"
NIC = "0000:00:02.0"
UUID = "5d3de000-0000-4000-8000-000000000001"
GROUPS = "/sys/kernel/iommu_groups"
_PCI = "/sys/devices/pci0000:00"


def errno_of(call: Callable[..., object], *arguments: object) -> int | None:
    """The error that a call of a host raises, by its number."""
    with pytest.raises(OSError, match=r".") as caught:
        call(*arguments)
    return caught.value.errno


def box(**more: Entry) -> TreeHost:
    """Two groups, an sdmdev parent with one sdmdev, a network card, four interrupts."""
    host = TreeHost(
        {
            "/proc/version": "Linux version 6.12.0-test (x) y\n",
            "/proc/sys/kernel/hostname": "box\n",
            "/proc/stat": stat(0, 10, 20, 30),
            "/proc/interrupts": (
                "           CPU0       CPU1       \n"
                "  1:         10          0  IR-PCI-MSI-0000:00:01.0   0-edge      sdmdev\n"
                "  2:          0         20  IR-PCI-MSIX-0000:00:02.0   0-edge      eth0-rx\n"
                "  3:          0         30  IR-PCI-MSIX-0000:00:02.0   1-edge      eth0-tx\n"
                "NMI:          1          2   Non-maskable interrupts\n"
            ),
            "/sys/devices/system/cpu/online": "0-1\n",
            "/sys/class/iommu/dmar0": Link("../../devices/virtual/iommu/dmar0"),
            "/sys/devices/virtual/iommu/dmar0/intel-iommu/ecap": "f00f4e\n",
            "/sys/class/sdmdev/0000:00:01.0": Link(f"../..{_PCI[4:]}/{PARENT}/sdmdev/{PARENT}"),
            f"{_PCI}/{PARENT}/sdmdev/{PARENT}/device": Link(f"../../../{PARENT}"),
            f"{_PCI}/{PARENT}/params/iommu_type": "1\n",
            f"{_PCI}/{PARENT}/params/dma_flag": "2\n",
            "/sys/class/mdev_bus/0000:00:01.0": Link(f"../..{_PCI[4:]}/{PARENT}"),
            f"{_PCI}/{PARENT}/{UUID}/iommu_group": Link(f"../../../..{GROUPS[4:]}/21"),
            f"{_PCI}/{PARENT}/{UUID}/mdev_type": Link("../mdev_supported_types/edu-fact"),
            f"{_PCI}/{PARENT}/{UUID}/subsystem": Link("../../../../bus/mdev"),
            f"/sys/bus/mdev/devices/{UUID}": Link(f"../../..{_PCI[4:]}/{PARENT}/{UUID}"),
            f"{_PCI}/{PARENT}/mdev_supported_types/edu-fact/available_instances": "1\n",
            f"{_PCI}/{PARENT}/mdev_supported_types/edu-fact/name": "factorial\n",
            f"{GROUPS}/21/name": "vfio-noiommu\n",
            f"{GROUPS}/21/type": "unknown\n",
            f"{GROUPS}/21/devices/{UUID}": Link(f"../../../..{_PCI[4:]}/{PARENT}/{UUID}"),
            "/proc/1": Directory(),
            **more,
        }
    )
    plug(host, PARENT, group=1, driver="edu", irqs=(1,))
    plug(host, NIC, group=2, driver="e1000e", irqs=(2, 3))
    return host


def plug(
    host: TreeHost,
    address: str,
    *,
    group: int,
    driver: str | None = None,
    irqs: tuple[int, ...] = (),
) -> None:
    """Put a PCI device into the box."""
    path = f"{_PCI}/{address}"
    bound = f"DRIVER={driver}\n" if driver else ""
    host.put(f"{path}/uevent", f"{bound}PCI_CLASS=20000\nPCI_ID=8086:10D3\n")
    host.put(f"{path}/driver_override", "(null)\n")
    host.put(f"{path}/iommu_group", Link(f"../../..{GROUPS[4:]}/{group}"))
    host.put(f"{path}/iommu", Link("../../virtual/iommu/dmar0"))
    if driver:
        host.put(f"{path}/driver", Link(f"../../../bus/pci/drivers/{driver}"))
    for irq in irqs:
        host.put(f"{path}/msi_irqs/{irq}", "msi\n")
    host.put(f"/sys/bus/pci/devices/{address}", Link(f"../../..{path[4:]}"))
    host.put(f"{GROUPS}/{group}/devices/{address}", Link(f"../../../..{path[4:]}"))
    host.put(f"{GROUPS}/{group}/type", "DMA\n")
    host.put(f"{GROUPS}/{group}/reserved_regions", "")


def unplug(host: TreeHost, address: str, *, group: int) -> None:
    """Pull a PCI device that was alone in its group."""
    host.remove(f"/sys/bus/pci/devices/{address}")
    host.remove(f"{_PCI}/{address}")
    host.remove(f"{GROUPS}/{group}")


def stat(*counts: int) -> str:
    """`/proc/stat` in which interrupt N has come counts[N] times."""
    return f"cpu  1 2 3\nintr {sum(counts)} {' '.join(map(str, counts))}\nctxt 5\n"
