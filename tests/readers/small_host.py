"""A host small enough to read in a test: three devices, three groups, one of everything else."""

import errno
from collections.abc import Mapping
from typing import Any

from sdmtop.backends.tree import Entry, Failure, Link, TreeHost
from sdmtop.readers.names import Names
from sdmtop.readers.snapshot import Reading

PARENT = "0000:01:00.0"
NIC = "0000:02:00.0"
DISK = "0000:02:00.1"
UUID = "5d3de000-0000-4000-8000-000000000001"
ROOT = "/sys/devices/pci0000:00"
BRIDGE = f"{ROOT}/0000:00:01.0"
GROUPS = "/sys/kernel/iommu_groups"
HOLDER = 4711

INTERRUPTS = b"""\
            CPU0       CPU1
 40:         12          3 IR-PCI-MSIX-0000:01:00.0    0-edge      hisi_zip
 41:          0          7 IR-PCI-MSI-0000:02:00.0    0-edge      eth0
NMI:          1          2   Non-maskable interrupts
ERR:          0
"""
TABLES = b"""\
IOMMU dmar0: Root Table Address: 0x5eb000
B.D.F\tRoot_entry\t\t\t\tContext_entry\t\t\t\tPASID\tPASID_table_entry
01:00.0\t0x00000000005fb001:0x00000000005ee001\t0x0000000000000000:0x00000000005ed401\t0     \t\
0x0000000000000000:0x0000000000000002:0x00000000010a9089
02:00.0\t0x00000000005fb001:0x00000000005ee001\t0x0000000000000000:0x00000000005ed401\t0     \t\
0x0000000000000000:0x0000000000000003:0x00000000010b9089
02:00.1\t0x00000000005fb001:0x00000000005ee001\t0x0000000000000000:0x00000000005ed401\t0     \t\
0x0000000000000000:0x0000000000000003:0x00000000010b9089
"""


def device(address: str, group: int, driver: str | None, **files: Entry) -> dict[str, Entry]:
    """A PCI device at the top of the bus; `files` are more entries of its directory."""
    path = f"{ROOT}/{address}"
    ids = b"PCI_CLASS=20000\nPCI_ID=8086:10D3\n"
    entries: dict[str, Entry] = {
        f"/sys/bus/pci/devices/{address}": Link(f"../../../devices/pci0000:00/{address}"),
        f"{path}/subsystem": Link("../../../bus/pci"),
        f"{path}/uevent": (f"DRIVER={driver}\n".encode() if driver else b"") + ids,
        f"{path}/numa_node": b"0\n",
        f"{path}/power_state": b"D0\n",
        f"{path}/irq": b"11\n",
        f"{path}/driver_override": b"(null)\n",
        f"{path}/iommu": Link("../../virtual/iommu/dmar0"),
        f"{path}/iommu_group": Link(f"../../../kernel/iommu_groups/{group}"),
        **member(group, address, f"pci0000:00/{address}"),
    }
    if driver:
        entries[f"{path}/driver"] = Link(f"../../../bus/pci/drivers/{driver}")
    return {**entries, **{f"{path}/{file}": entry for file, entry in files.items()}}


def member(group: int, name: str, place: str) -> dict[str, Entry]:
    """A group's link to a device at `/sys/devices/<place>`, and the group with it."""
    return {
        f"{GROUPS}/{group}/devices/{name}": Link(f"../../../../devices/{place}"),
        f"{GROUPS}/{group}/type": b"DMA\n",
        f"{GROUPS}/{group}/reserved_regions": b"0x00000000fee00000 0x00000000feefffff msi\n",
    }


def mdev(uuid: str, parent: str, group: int, *, emulated: bool = True) -> dict[str, Entry]:
    """An mdev of a PCI parent, of type `zip-queue`, with its group and its node's number."""
    place = f"pci0000:00/{parent}/{uuid}"
    entries: dict[str, Entry] = {
        f"/sys/bus/mdev/devices/{uuid}": Link(f"../../../devices/{place}"),
        f"/sys/devices/{place}/mdev_type": Link("../mdev_supported_types/zip-queue"),
        f"/sys/devices/{place}/iommu_group": Link(f"../../../../kernel/iommu_groups/{group}"),
        f"/sys/devices/{place}/subsystem": Link("../../../../bus/mdev"),
        f"/sys/class/vfio/{group}/dev": f"511:{group}\n",
        **member(group, uuid, place),
        f"{GROUPS}/{group}/type": b"unknown\n",
        f"{GROUPS}/{group}/reserved_regions": b"",
    }
    if emulated:
        entries[f"{GROUPS}/{group}/name"] = b"vfio-noiommu\n"
    return entries


def mdev_parent(address: str) -> dict[str, Entry]:
    """Classes mdev_bus and sdmdev, with one type, of a PCI device."""
    path = f"{ROOT}/{address}"
    return {
        f"/sys/class/mdev_bus/{address}": Link(f"../../devices/pci0000:00/{address}"),
        f"/sys/class/sdmdev/{address}": Link(f"../../devices/virtual/sdmdev/{address}"),
        f"/sys/devices/virtual/sdmdev/{address}/device": Link(f"../../../pci0000:00/{address}"),
        f"{path}/params/iommu_type": b"1\n",
        f"{path}/params/dma_flag": b"2\n",
        f"{path}/mdev_supported_types/zip-queue/name": b"zip",
        f"{path}/mdev_supported_types/zip-queue/device_api": b"hisi_qm_v2\n",
        f"{path}/mdev_supported_types/zip-queue/available_instances": b"7\n",
        f"{path}/mdev_supported_types/zip-queue/flags": b"0\n",
    }


def process(pid: int, *links: str, maps: bytes = b"", name: str = "user") -> dict[str, Entry]:
    """A process with these descriptors, from 3 on."""
    proc = f"/proc/{pid}"
    return {
        f"{proc}/comm": f"{name}\n",
        f"{proc}/status": b"Name:\tx\nUid:\t1000\t1000\t1000\t1000\n",
        f"{proc}/maps": maps,
        f"{proc}/fd/0": Link("/dev/null"),
        **{f"{proc}/fd/{3 + index}": Link(link) for index, link in enumerate(links)},
        **{f"{proc}/fdinfo/{3 + index}": b"pos:\t0\n" for index in range(len(links))},
    }


def small_host() -> dict[str, Entry]:
    """The whole tree."""
    unit = "/sys/devices/virtual/iommu/dmar0"
    return {
        **device(PARENT, 1, "hisi_zip", **{"msi_irqs/40": b"msix\n"}),
        **device(NIC, 2, "e1000e", sriov_totalvfs=b"4\n", **{"msi_irqs/41": b"msi\n"}),
        **device(DISK, 2, None),
        **mdev_parent(PARENT),
        **mdev(UUID, PARENT, 9),
        "/sys/class/iommu/dmar0": Link("../../devices/virtual/iommu/dmar0"),
        f"{unit}/intel-iommu/cap": b"d2008c22260286\n",
        f"{unit}/intel-iommu/ecap": b"19800000f4a\n",
        f"{unit}/intel-iommu/domains_supported": b"65536\n",
        f"{unit}/intel-iommu/domains_used": b"3\n",
        **{f"{unit}/devices/{name}": Link("/x") for name in (PARENT, NIC, DISK)},
        "/sys/kernel/debug/iommu/intel/dmar_translation_struct": TABLES,
        "/proc/interrupts": INTERRUPTS,
        "/proc/irq/40/smp_affinity_list": b"0-1\n",
        "/proc/irq/41/smp_affinity_list": b"1\n",
        "/proc/sys/kernel/hostname": b"box\n",
        "/proc/sys/kernel/osrelease": b"6.12.95\n",
        "/sys/devices/system/cpu/online": b"0-1\n",
        **process(HOLDER, "/dev/vfio/9", "anon_inode:[vfio-device]", name="zipper"),
        **process(1, name="init"),
    }


def reading_of(*trees: Mapping[str, Entry]) -> Reading:
    """A host of these entries, later ones instead of earlier ones, read once; without names."""
    entries: dict[str, Entry] = {}
    for tree in trees:
        entries.update(tree)
    reading = Reading(TreeHost(entries), Names((), hwdb=False))
    reading.read_all()
    return reading


def refused(number: int = errno.EIO) -> Failure:
    return Failure(number)


def fields(record: Any, *names: str) -> tuple[Any, ...]:
    return tuple(getattr(record, name) for name in names)
