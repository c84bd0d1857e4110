"""Fake roots of any size for `linux:ROOT`: groups, PCI devices, interrupt counters.

They hold what the readers open, in the form that kernel 6.12 gives it. They belong on tmpfs, so
that what is measured is the reading and not a disk.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import NamedTuple

_FIRST_IRQ = 24
_REGIONS = "0x00000000fee00000 0x00000000feefffff msi\n"
_DRIVERS = ("nvme", "vfio-pci", "e1000e", None)
_SUMMARIES = (("NMI", "Non-maskable interrupts"), ("LOC", "Local timer interrupts"))


class Shape(NamedTuple):
    """How large a host is. `dense`: every cell of the interrupt table counts, not 1 to 3."""

    groups: int
    devices: int
    irqs: int = 512
    cpus: int = 16
    dense: bool = False


SMALL = Shape(groups=128, devices=256)
LARGE = Shape(groups=4096, devices=8192)
MANY_INTERRUPTS = Shape(groups=128, devices=256, irqs=2000, cpus=256)


class Tree:
    """A root on disk, and the counters in it that can be moved on."""

    def __init__(self, root: str, shape: Shape) -> None:
        self.root = root
        self.shape = shape
        self.irqs = range(_FIRST_IRQ, _FIRST_IRQ + shape.irqs)
        chance = random.Random(7)
        self._busy = [_busy_cpus(shape, chance) for _ in self.irqs]
        self._counts = [chance.randrange(100_000, 900_000) for _ in self.irqs]

    def tick(self, share: int = 1) -> None:
        """Let interrupts come, on every `share`-th line, and rewrite the files in place.

        The table and the `intr` line keep their lengths; inodes stay, so kept descriptors see it.
        """
        start = random.randrange(share)
        for row in range(start, len(self._counts), share):
            count = self._counts[row] + 1 + row % 97
            self._counts[row] = count if count < 1_000_000 else 100_000
        self._write_counters(range(start, len(self._counts), share))

    def _write_counters(self, rows: range) -> None:
        _rewrite(f"{self.root}/proc/interrupts", self._table())
        cpus = self.shape.cpus
        totals = [count * len(busy) for count, busy in zip(self._counts, self._busy, strict=True)]
        numbers = " ".join(map(str, [0] * _FIRST_IRQ + totals))
        processors = "".join(f"cpu{cpu} 1 2 3 4 5 6 7 0 0 0\n" for cpu in range(cpus))
        _rewrite(
            f"{self.root}/proc/stat",
            f"cpu  1 2 3 4 5 6 7 0 0 0\n{processors}intr {sum(totals)} {numbers}\nctxt 5\n",
        )
        for row in rows:
            cells = ["0"] * cpus
            for cpu in self._busy[row]:
                cells[cpu] = str(self._counts[row])
            path = f"{self.root}/sys/kernel/irq/{self.irqs[row]}/per_cpu_count"
            _rewrite(path, ",".join(cells) + "\n")

    def _table(self) -> str:
        cpus = self.shape.cpus
        lines = ["          " + "".join(f" {f'CPU{cpu}':<10}" for cpu in range(cpus))]
        zero = f"{0:10} "
        for row, irq in enumerate(self.irqs):
            cells = [zero] * cpus
            for cpu in self._busy[row]:
                cells[cpu] = f"{self._counts[row]:10} "
            device = row % self.shape.devices
            vector = row // self.shape.devices
            lines.append(
                f"{irq:4}: {''.join(cells)} IR-PCI-MSIX-{address(device)}"
                f" {vector:3}-edge      dev{device}q{vector}"
            )
        lines += [f"{name:>4}: {'         1 ' * cpus}  {text}" for name, text in _SUMMARIES]
        return "\n".join([*lines, " ERR:          0", ""])


def make_tree(root: str, shape: Shape) -> Tree:
    """Write a root into the directory `root`, which is there and empty. A second or three."""
    _write(root, "proc/version", "Linux version 6.12.0-bench (a@b) #1 SMP\n")
    _write(root, "proc/sys/kernel/hostname", "bench\n")
    _write(root, "sys/devices/system/cpu/online", f"0-{shape.cpus - 1}\n")
    unit = "sys/devices/virtual/iommu/dmar0"
    _write(root, f"{unit}/intel-iommu/cap", "d2008c222f0606\n")
    _write(root, f"{unit}/intel-iommu/ecap", "f00f5e\n")
    _write(root, f"{unit}/intel-iommu/version", "1:0\n")
    _link(root, "sys/class/iommu/dmar0", unit)
    for driver in filter(None, _DRIVERS):
        os.makedirs(f"{root}/sys/bus/pci/drivers/{driver}")
    for group in range(shape.groups):
        path = f"sys/kernel/iommu_groups/{group}"
        _write(root, f"{path}/type", "DMA\n")
        _write(root, f"{path}/reserved_regions", _REGIONS)
        os.makedirs(f"{root}/{path}/devices")
    tree = Tree(root, shape)
    for device in range(shape.devices):
        irqs = tree.irqs[device :: shape.devices]
        _write_device(root, device, device * shape.groups // shape.devices, irqs)
    for irq in tree.irqs:
        _write(root, f"proc/irq/{irq}/smp_affinity_list", f"0-{shape.cpus - 1}\n")
        os.makedirs(f"{root}/sys/kernel/irq/{irq}")
    tree.tick()
    return tree


def address(device: int) -> str:
    """The PCI address of the device of this number: 32 on a bus, 256 buses in a segment."""
    return f"{device >> 13:04x}:{device >> 5 & 0xFF:02x}:{device & 0x1F:02x}.0"


def device_path(device: int) -> str:
    """Its sysfs path."""
    name = address(device)
    return f"/sys/devices/pci{name[:7]}/{name}"


def _write_device(root: str, device: int, group: int, irqs: range) -> None:
    name, path = address(device), device_path(device)[1:]
    driver = _DRIVERS[device % len(_DRIVERS)]
    bound = f"DRIVER={driver}\n" if driver else ""
    _write(
        root,
        f"{path}/uevent",
        f"{bound}PCI_CLASS=10802\nPCI_ID=8086:0A54\nPCI_SUBSYS_ID=8086:4308\n"
        f"PCI_SLOT_NAME={name}\nMODALIAS=pci:v00008086d00000A54sv00008086sd00004308bc01sc08i02\n",
    )
    for file, text in (
        ("modalias", "pci:v00008086d00000A54sv00008086sd00004308bc01sc08i02\n"),
        ("class", "0x010802\n"),
        ("vendor", "0x8086\n"),
        ("device", "0x0a54\n"),
        ("driver_override", "(null)\n"),
        ("numa_node", "0\n"),
        ("power_state", "D0\n"),
        ("irq", f"{irqs[0] if irqs else 0}\n"),
    ):
        _write(root, f"{path}/{file}", text)
    Path(root, path, "config").write_bytes(b"\x86\x80\x54\x0a".ljust(256, b"\0"))
    for irq in irqs:
        _write(root, f"{path}/msi_irqs/{irq}", "msix\n")
    if driver:
        _link(root, f"{path}/driver", f"sys/bus/pci/drivers/{driver}")
        _link(root, f"sys/bus/pci/drivers/{driver}/{name}", path)
    _link(root, f"{path}/iommu", "sys/devices/virtual/iommu/dmar0")
    _link(root, f"{path}/subsystem", "sys/bus/pci")
    _link(root, f"{path}/iommu_group", f"sys/kernel/iommu_groups/{group}")
    _link(root, f"sys/kernel/iommu_groups/{group}/devices/{name}", path)
    _link(root, f"sys/bus/pci/devices/{name}", path)


def _busy_cpus(shape: Shape, chance: random.Random) -> list[int]:
    if shape.dense:
        return list(range(shape.cpus))
    return sorted(chance.sample(range(shape.cpus), min(shape.cpus, chance.randint(1, 3))))


def _write(root: str, path: str, text: str) -> None:
    full = f"{root}/{path}"
    try:
        file = open(full, "wb")  # noqa: SIM115 - opened again once its directory is made
    except FileNotFoundError:
        os.makedirs(os.path.dirname(full))
        file = open(full, "wb")  # noqa: SIM115
    with file:
        file.write(text.encode())


def _link(root: str, path: str, target: str) -> None:
    """A link as sysfs writes them: relative."""
    directory = os.path.dirname(path)
    os.makedirs(f"{root}/{directory}", exist_ok=True)
    os.symlink(os.path.relpath(target, directory), f"{root}/{path}")


def _rewrite(path: str, text: str) -> None:
    """New content in the same inode."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        data = text.encode()
        os.pwrite(fd, data, 0)
        os.ftruncate(fd, len(data))
    finally:
        os.close(fd)


def _nudge(root: str, share: int) -> None:
    """Let interrupts come without knowing the tree: every `share`-th line counts one more."""
    with open(f"{root}/proc/interrupts", "rb") as file:
        lines = file.read().split(b"\n")
    with open(f"{root}/proc/stat", "rb") as file:
        stat = file.read()
    start = stat.index(b"\nintr ") + 1
    end = stat.index(b"\n", start)
    totals = stat[start:end].split()
    columns = len(lines[0].split())
    for row in range(random.randrange(share) + 1, len(lines) - 1, share):
        label, _, rest = lines[row].partition(b":")
        irq = label.strip()
        if not irq.isdigit():
            continue
        cells = [int(cell) for cell in rest[: 11 * columns].split()]
        busiest = cells.index(max(cells))
        cells[busiest] = cells[busiest] % 999_999 + 1
        counts = b"".join(b"%10d " % cell for cell in cells)
        lines[row] = label + b": " + counts + rest[11 * columns + 1 :]
        totals[int(irq) + 2] = b"%d" % (int(totals[int(irq) + 2]) + 1)
        path = f"{root}/sys/kernel/irq/{irq.decode()}/per_cpu_count"
        _rewrite(path, ",".join(map(str, cells)) + "\n")
    _rewrite(f"{root}/proc/interrupts", b"\n".join(lines).decode())
    _rewrite(f"{root}/proc/stat", (stat[:start] + b" ".join(totals) + stat[end:]).decode())


if __name__ == "__main__":
    _nudge(sys.argv[1], int(sys.argv[2]))
