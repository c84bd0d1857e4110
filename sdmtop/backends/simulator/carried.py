"""What the modelled devices carry: disks with mounts, and interfaces with routes."""

from __future__ import annotations

import os
import sys
from stat import S_IFBLK
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.vfs import Directory, File, Fixed, Link

if TYPE_CHECKING:
    from sdmtop.backends.simulator.kernel import Kernel
    from sdmtop.backends.simulator.pci import PciDevice
    from sdmtop.backends.simulator.scenario import Disk
    from sdmtop.backends.simulator.vfs import Node

_BLOCK_MAJOR = 259
_HEAD = 256 * 1024
_UP = "0x1043"
_NETWORK, _MASK = bytes((192, 0, 2, 0)), bytes((255, 255, 255, 0))
_KERNELS_OWN = (("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"))


class Block(File):
    """The node of a disk or partition, which holds zeros: nobody looks into one that is mounted."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        super().__init__(lambda: bytes(_HEAD), mode=0o660)
        self.number = number
        self.mode = S_IFBLK | 0o660


# -- disks ---------------------------------------------------------------------------------------


def disk_of(device: PciDevice) -> Directory | None:
    """The directory of a disk's controller, `nvme/nvme0/nvme0n1`."""
    disk = device.spec.disk
    if disk is None or not device.serves_kernel:
        return None
    return Directory(
        Fixed({_controller(disk): Directory(Fixed({disk.name: _disk(device.kernel, disk)}))})
    )


def disks(kernel: Kernel) -> dict[str, Node]:
    """Links to whole disks and partitions: /sys/class/block."""
    found: dict[str, Node] = {}
    for device in kernel.pci.serving():
        disk = device.spec.disk
        if disk is not None:
            path = f"../../devices/{device.path}/nvme/{_controller(disk)}/{disk.name}"
            found[disk.name] = Link(path)
            found |= {name: Link(f"{path}/{name}") for name in _partitions(disk)}
    return found


def whole_disks(kernel: Kernel) -> dict[str, Node]:
    """Links to whole disks: /sys/block."""
    return {
        device.spec.disk.name: Link(
            f"../devices/{device.path}/nvme/{_controller(device.spec.disk)}/{device.spec.disk.name}"
        )
        for device in kernel.pci.serving()
        if device.spec.disk is not None
    }


def block_nodes(kernel: Kernel) -> dict[str, Node]:
    """The nodes of all disks and partitions that there are now."""
    numbers = _numbers(kernel)
    return {name: Block(os.makedev(_BLOCK_MAJOR, numbers[name])) for name in disks(kernel)}


def _controller(disk: Disk) -> str:
    return disk.name.rpartition("n")[0] or disk.name


def _partitions(disk: Disk) -> list[str]:
    return [name for name in disk.mounts if name != disk.name]


def _numbers(kernel: Kernel) -> dict[str, int]:
    """The minor number of every disk and partition of the scenario."""
    names = [
        name
        for spec in kernel.scenario.devices
        if spec.disk is not None
        for name in (spec.disk.name, *_partitions(spec.disk))
    ]
    return {name: minor for minor, name in enumerate(names)}


def _disk(kernel: Kernel, disk: Disk) -> Directory:
    numbers = _numbers(kernel)

    def block(name: str, sectors: int, **more: Node) -> Directory:
        return Directory(
            Fixed(
                more,
                holders=Directory(),
                dev=File(lambda: f"{_BLOCK_MAJOR}:{numbers[name]}\n"),
                size=File(lambda: f"{sectors}\n"),
            )
        )

    parts = {
        name: block(name, 1 << 20, partition=File(lambda index=index: f"{index}\n"))  # type: ignore[misc]
        for index, name in enumerate(_partitions(disk), 1)
    }
    more: dict[str, Node] = {**parts, "slaves": Directory()}
    return block(disk.name, 1 << 21, **more, device=Link(f"../../{_controller(disk)}"))


# -- mounts --------------------------------------------------------------------------------------


def mounts(kernel: Kernel) -> str:
    """/proc/mounts."""
    rows = [f"/dev/{part} {place} ext4 rw,relatime 0 0\n" for part, place in _mounted(kernel)]
    rows += [f"{kind} {place} {kind} rw,relatime 0 0\n" for kind, place in _KERNELS_OWN]
    return "".join(rows)


def mountinfo(kernel: Kernel) -> str:
    """/proc/PID/mountinfo: there is one namespace."""
    numbers = _numbers(kernel)
    rows = [
        f"{_BLOCK_MAJOR}:{numbers[part]} / {place} rw,relatime - ext4 /dev/{part} rw\n"
        for part, place in _mounted(kernel)
    ]
    rows += [
        f"0:{number} / {place} rw,relatime - {kind} {kind} rw\n"
        for number, (kind, place) in enumerate(_KERNELS_OWN, 21)
    ]
    return "".join(f"{20 + index} 1 {row}" for index, row in enumerate(rows))


def _mounted(kernel: Kernel) -> list[tuple[str, str]]:
    """What is mounted stays so in the tables, even when its device has been taken away."""
    return [
        mount
        for spec in kernel.scenario.devices
        if spec.disk is not None
        for mount in spec.disk.mounts.items()
    ]


# -- networks ------------------------------------------------------------------------------------


def interfaces_of(device: PciDevice) -> Directory | None:
    """The directory `net` of a device whose driver has it."""
    names = device.spec.interfaces
    if not names or not device.serves_kernel:
        return None
    return Directory(Fixed({name: _interface(device, name) for name in names}))


def interfaces(kernel: Kernel) -> dict[str, Node]:
    """Links to all interfaces: /sys/class/net."""
    return {
        name: Link(f"../../devices/{device.path}/net/{name}")
        for device in kernel.pci.serving()
        for name in device.spec.interfaces
    }


def routes(kernel: Kernel) -> str:
    """/proc/net/route: a network on the first interface, and the rest of the world behind it."""
    head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    first = next(iter(interfaces(kernel)), None)
    if first is None:
        return head
    gateway = _word(_NETWORK[:3] + b"\x01")
    return (
        f"{head}{first}\t00000000\t{gateway}\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        f"{first}\t{_word(_NETWORK)}\t00000000\t0001\t0\t0\t0\t{_word(_MASK)}\t0\t0\t0\n"
    )


def _word(address: bytes) -> str:
    """An address as the kernel prints it here: a word of the CPU."""
    return f"{int.from_bytes(address, sys.byteorder):08X}"


def _interface(device: PciDevice, name: str) -> Directory:
    address = ":".join(f"{byte:02x}" for byte in (2, *name.encode()[:5].ljust(5, b"\0")))
    texts = {
        "address": address, "operstate": "up", "carrier": "1", "flags": _UP,
        "uevent": f"INTERFACE={name}",
    }  # fmt: skip
    files: dict[str, Node] = {
        file: File(lambda text=text: f"{text}\n")  # type: ignore[misc]
        for file, text in texts.items()
    }
    return Directory(
        Fixed(
            files,
            device=Link(f"../../../{device.name}"),
            subsystem=Link(f"{device.up()}/../../class/net"),
        )
    )
