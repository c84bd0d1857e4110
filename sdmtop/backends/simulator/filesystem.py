"""The root: /sys, /proc and /dev of the modelled kernel."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.carried import block_nodes
from sdmtop.backends.simulator.idxd import IDXD_MAJOR
from sdmtop.backends.simulator.iommufd import IOMMU_MINOR, CdevFile, Iommufd
from sdmtop.backends.simulator.procfs import procfs
from sdmtop.backends.simulator.sysfs import sysfs
from sdmtop.backends.simulator.uacce import UACCE_MAJOR
from sdmtop.backends.simulator.vfio import CDEV_MAJOR, CONTAINER_MINOR, GROUP_MAJOR, MISC_MAJOR
from sdmtop.backends.simulator.vfs import Computed, Device, Directory, File, Fixed, Listing

if TYPE_CHECKING:
    from sdmtop.backends.simulator.kernel import Kernel
    from sdmtop.backends.simulator.vfio import VfioDevice, VfioGroup
    from sdmtop.backends.simulator.vfs import Node


def filesystem(kernel: Kernel) -> Directory:
    """All paths that there are."""
    return Directory(Fixed(sys=sysfs(kernel), proc=procfs(kernel), dev=_devfs(kernel)))


def _devfs(kernel: Kernel) -> Directory:
    def group(vfio: VfioGroup) -> Device:
        return Device(os.makedev(GROUP_MAJOR, vfio.minor), vfio.open)

    def cdev(vfio: VfioDevice) -> Device:
        return Device(os.makedev(CDEV_MAJOR, vfio.index), lambda _: CdevFile(vfio))

    container = os.makedev(MISC_MAJOR, CONTAINER_MINOR)
    below: dict[str, Node] = {
        "vfio": Device(container, kernel.vfio.open_container, mode=0o666),
    }
    beside: dict[str, Node] = {}
    if kernel.behaviour.cdev:
        iommufd = os.makedev(MISC_MAJOR, IOMMU_MINOR)
        below["devices"] = Directory(Listing(kernel.vfio.devices, cdev))
        beside["iommu"] = Device(iommufd, lambda _: Iommufd(kernel), mode=0o660)
    return Directory(
        Fixed(beside),
        Fixed(kmsg=File(None, lambda data: _log(kernel, data), mode=0o200)),
        Fixed(vfio=Directory(Fixed(below), Listing(kernel.vfio.groups, group))),
        Computed(lambda: _queues(kernel)),
        Computed(lambda: block_nodes(kernel)),
    )


def _log(kernel: Kernel, data: bytes) -> None:
    """A line that a process writes into the kernel log; `<6>` before it is its priority."""
    text = data.decode("utf-8", "replace").rstrip("\n")
    priority, bracket, rest = text.partition(">")
    if bracket and priority[:1] == "<" and priority[1:].isdecimal():
        kernel.log.say(rest, int(priority[1:]) & 7)
    else:
        kernel.log.say(text)


def _queues(kernel: Kernel) -> dict[str, Node]:
    """Nodes of uacce, and the directories of IDXD."""
    found: dict[str, Node] = {
        name: Device(os.makedev(UACCE_MAJOR, uacce.minor), uacce.open)
        for name, uacce in kernel.uacce.items()
    }
    below: dict[str, dict[str, Node]] = {}
    for idxd in kernel.idxd.values():
        for queue in idxd.queues.values():
            if queue.has_node:
                node = Device(os.makedev(IDXD_MAJOR, queue.minor), queue.open)
                below.setdefault(idxd.spec.name[:3], {})[queue.name] = node
    return {**found, **{name: Directory(Fixed(nodes)) for name, nodes in below.items()}}
