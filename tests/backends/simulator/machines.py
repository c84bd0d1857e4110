"""Machines for tests of the modelled kernel, and what a process does on them."""

from __future__ import annotations

import errno
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sdmtop.backends.simulator import uapi
from sdmtop.backends.simulator.host import SimulatorHost, scenario_of
from sdmtop.backends.simulator.processes import Process
from sdmtop.backends.simulator.scenario import read_scenario
from sdmtop.backends.simulator.vfs import Device as Node
from sdmtop.backends.simulator.vfs import walk
from sdmtop.vfio import TYPE1V2, Container, Device, Group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdmtop.backends.base import Write

EDU = "0000:01:00.0"
NVME = "0000:02:00.0"
NIC = "0000:03:00.0"
BRIDGE = "0000:05:00.0"
BRIDGED_EDU, BRIDGED_TESTDEV, BRIDGED_NIC = "0000:06:01.0", "0000:06:02.0", "0000:06:03.0"
PCI = "/sys/bus/pci/devices"
DRIVERS = "/sys/bus/pci/drivers"
GROUPS = "/sys/kernel/iommu_groups"


def guest(kernel: str = "6.12") -> SimulatorHost:
    """The machine that the guests boot, with a kernel of another release."""
    from msgspec.structs import replace

    return SimulatorHost(replace(scenario_of("edu"), kernel=kernel))


def machine(text: str) -> SimulatorHost:
    """A machine described here and now."""
    return SimulatorHost(read_scenario(text, "test.toml"))


def write(host: SimulatorHost, path: str, data: str) -> None:
    """Write, and take the answer that comes without waiting."""
    begin(host, path, data).result()


def begin(host: SimulatorHost, path: str, data: str) -> Write:
    return host.write(path, data.encode())


@contextmanager
def refused(number: int, reason: str = "") -> Iterator[None]:
    """The kernel says no, with this errno and (part of) a reason."""
    with pytest.raises(OSError, match=reason or ".") as caught:
        yield
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]


def text(host: SimulatorHost, path: str) -> str:
    return host.read(path).decode().strip()


def driver_of(host: SimulatorHost, address: str) -> str | None:
    try:
        return host.readlink(f"{PCI}/{address}/driver").rpartition("/")[2]
    except OSError:
        return None


def group_of(host: SimulatorHost, address: str) -> str:
    return host.readlink(f"{PCI}/{address}/iommu_group").rpartition("/")[2]


def to_vfio(host: SimulatorHost, address: str) -> str:
    """Move a device to vfio-pci; its group."""
    write(host, f"{PCI}/{address}/driver_override", "vfio-pci")
    if driver_of(host, address) is not None:
        write(host, f"{PCI}/{address}/driver/unbind", address)
    write(host, "/sys/bus/pci/drivers_probe", address)
    assert driver_of(host, address) == "vfio-pci"
    return group_of(host, address)


def claim(host: SimulatorHost, group: str) -> tuple[Container, Group]:
    """Open a group, and put it into a container with an IOMMU."""
    container, opened = Container.open(host), Group.open(host, f"/dev/vfio/{group}")
    opened.set_container(container)
    container.set_iommu(TYPE1V2)
    return container, opened


def hold(host: SimulatorHost, address: str) -> tuple[Container, Group, Device]:
    """A device on vfio-pci, open."""
    container, group = claim(host, to_vfio(host, address))
    return container, group, group.device(address)


# -- a machine with a parent of sdmdevs -----------------------------------------------------------

PARENT, SECOND_PARENT, SIBLING = "0000:75:00.0", "0000:76:00.0", "0000:77:00.0"
_PARENT = """
[[device]]
address = "{address}"
{where}
driver = "hisi_zip"
vendor = 0x19e5
device = 0xa250
class = 0x120000
pasid_bits = {device_bits}
accelerator = "zip"
queues = {queues}
bars = [0x1000]
reset = ["flr"]
interrupts = {{ actions = ["hisi_zip"] }}
sdmdev = {{ {sdmdev} }}
mdev_type = [{{ id = "zlib", name = "zlib", device_api = "hisi_qm_v1", flags = "0" }}]
"""


def parents(
    *,
    pasid_bits: int = 0,
    domain_type: str = "DMA",
    kernel: str = "6.12",
    queues: int = 4,
    unit: str = 'unit = "smmu3.0x1"',
    sdmdev: str = "",
    quirks: str = "",
    more: str = "",
) -> SimulatorHost:
    """Two parents of sdmdevs, each in a group of its own, behind one unit."""
    both = "".join(
        _PARENT.format(address=one, where=unit, device_bits=pasid_bits, queues=queues,
                       sdmdev=sdmdev)
        for one in (PARENT, SECOND_PARENT)
    )  # fmt: skip
    return machine(
        f'title = "parents"\nkernel = "{kernel}"\ndomain_type = "{domain_type}"\n'
        f"quirks = [{quirks}]\n"
        f'[[unit]]\nname = "smmu3.0x1"\ndriver = "arm-smmu-v3"\npasid_bits = {pasid_bits}\n'
        f"{both}{more}"
    )


def uuid(number: int) -> str:
    return f"5d3de000-0000-4000-8000-{number:012x}"


def create(host: SimulatorHost, number: int, parent: str = PARENT) -> str:
    """Make an sdmdev; its UUID."""
    directory = f"{PCI}/{parent}/mdev_supported_types"
    (type_,) = host.list(directory)
    write(host, f"{directory}/{type_}/create", uuid(number))
    return uuid(number)


def group_of_mdev(host: SimulatorHost, name: str) -> str:
    return host.readlink(f"/sys/bus/mdev/devices/{name}/iommu_group").rpartition("/")[2]


def available(host: SimulatorHost, parent: str = PARENT) -> int:
    directory = f"{PCI}/{parent}/mdev_supported_types"
    (type_,) = host.list(directory)
    return int(text(host, f"{directory}/{type_}/available_instances"))


class Other:
    """Another process of the model, which makes the same calls."""

    def __init__(self, host: SimulatorHost, pid: int = 812, name: str = "qemu") -> None:
        self.host = host
        self.process = host.kernel.processes.add(Process(pid, name))

    def open(self, path: str) -> int:
        node = walk(self.host.root, path)
        assert isinstance(node, Node)
        return self.process.install(node.open(self.process))

    def ioctl(self, number: int, request: int, argument: int | bytearray = 0) -> int:
        answer = self.process.file(number).ioctl(self.process, request, argument)
        assert isinstance(answer, int)
        return answer

    def claim(self, group: str) -> int:
        container, opened = self.open("/dev/vfio/vfio"), self.open(f"/dev/vfio/{group}")
        self.ioctl(opened, uapi.GROUP_SET_CONTAINER, bytearray(struct.pack("i", container)))
        self.ioctl(container, uapi.SET_IOMMU, uapi.TYPE1V2)
        return container

    def end(self) -> None:
        self.host.kernel.end(self.process)
