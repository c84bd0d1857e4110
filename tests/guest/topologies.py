"""Machines as data: which IOMMU, and which devices in which groups.

Addresses are fixed, so that a test can name a device; group numbers are the kernel's choice.
"""

from typing import NamedTuple

# -- the devices that every machine has ------------------------------------------------------

EDU = "0000:01:00.0"
"""Alone in its group, behind a root port."""

NVME = "0000:02:00.0"
"""Can have two virtual functions."""

NIC, VIRTIO_NIC = "0000:03:00.0", "0000:04:00.0"

BRIDGE = "0000:05:00.0"
"""A PCIe-to-PCI bridge: itself and what is behind it is one group of four."""
BRIDGED_EDU, BRIDGED_TESTDEV, BRIDGED_NIC = "0000:06:01.0", "0000:06:02.0", "0000:06:03.0"

TWINS = ("0000:00:08.0", "0000:00:08.1")
"""Two functions of one slot without ACS: one group."""

HOTPLUG_PORT = "0000:00:0c.0"
PLUGGED = "0000:07:00.0"
"""Where a device appears that is plugged into the port."""

# The driver of a virtio device asks for memory through the IOMMU only if it is told to.
VIRTIO = "iommu_platform=on,disable-legacy=on"
_NVME = "sriov_max_vfs=2,max_ioqpairs=6,msix_qsize=7,sriov_vq_flexible=4,sriov_vi_flexible=2"

# Each line is a `-device`; the roots of the buses first.
DEVICES = (
    "pcie-root-port,id=rp1,bus=pcie.0,addr=01.0,chassis=1,slot=1",
    "pcie-root-port,id=rp2,bus=pcie.0,addr=02.0,chassis=2,slot=2",
    "pcie-root-port,id=rp3,bus=pcie.0,addr=03.0,chassis=3,slot=3",
    "pcie-root-port,id=rp4,bus=pcie.0,addr=04.0,chassis=4,slot=4",
    "pcie-root-port,id=rp5,bus=pcie.0,addr=05.0,chassis=5,slot=5",
    "pcie-root-port,id=vacant,bus=pcie.0,addr=0c.0,chassis=12,slot=12",
    "pxb-pcie,id=far,bus=pcie.0,addr=09.0,bus_nr=64,numa_node=1",
    "pcie-root-port,id=rp64,bus=far,addr=00.0,chassis=64,slot=64",
    "edu,bus=rp1",
    "nvme-subsys,id=subsys0",
    f"nvme,bus=rp2,serial=near,subsys=subsys0,{_NVME}",
    "e1000e,bus=rp3",
    f"virtio-net-pci,bus=rp4,ats=on,{VIRTIO}",
    "pcie-pci-bridge,id=bridge,bus=rp5",
    "edu,bus=bridge,addr=01.0",
    "pci-testdev,bus=bridge,addr=02.0",
    "e1000,bus=bridge,addr=03.0",
    f"virtio-rng-pci,bus=pcie.0,addr=06.0,{VIRTIO}",
    "pci-testdev,bus=pcie.0,addr=08.0,multifunction=on",
    f"virtio-rng-pci,bus=pcie.0,addr=08.1,{VIRTIO}",
    "nvme,bus=rp64,serial=far",
)


class Topology(NamedTuple):
    """A machine: `iommu` are QEMU's devices, `boot` kernel options, `early` modules to load first.

    `driver` is what the units are to be called, None for a machine without an IOMMU.
    """

    name: str
    driver: str | None
    iommu: tuple[str, ...]
    boot: tuple[str, ...] = ()
    early: tuple[str, ...] = ()


_INTEL = "intel-iommu,intremap=on,caching-mode=on,device-iotlb=on,aw-bits=48"

TOPOLOGIES = {
    one.name: one
    for one in (
        Topology("intel", "intel", (_INTEL,), ("intel_iommu=on",)),
        Topology("intel-scalable", "intel", (f"{_INTEL},x-scalable-mode=on",),
                 ("intel_iommu=on,sm_on",)),
        # NVMe gets no interrupt behind QEMU's AMD IOMMU: its driver would wait for a minute.
        Topology("amd", "amd", ("amd-iommu,intremap=on",), ("modprobe.blacklist=nvme",)),
        Topology("virtio", "virtio", ("virtio-iommu-pci,bus=pcie.0,addr=1e.0",),
                 early=("virtio_iommu",)),
        Topology("none", None, ()),
    )
}  # fmt: skip
