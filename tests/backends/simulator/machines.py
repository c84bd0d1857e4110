"""Machines for tests of the modelled kernel, and what a process does on them."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from sdmtop.backends.simulator.host import SimulatorHost, scenario_of
from sdmtop.backends.simulator.scenario import read_scenario
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
