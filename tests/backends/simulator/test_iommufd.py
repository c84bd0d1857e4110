"""iommufd and the nodes of devices: kernel-abi 3.3, and what was seen in a guest."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

import pytest

from sdmtop.backends.simulator import uapi
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.vfio import MSI, TYPE1V2, Container, Device, Group, Iommufd
from tests.backends.simulator.machines import (
    BRIDGED_EDU,
    BRIDGED_NIC,
    DRIVERS,
    EDU,
    PARENT,
    begin,
    create,
    group_of,
    guest,
    parents,
    refused,
    to_vfio,
    write,
)

if TYPE_CHECKING:
    from sdmtop.backends.simulator.host import SimulatorHost

PAGE = 4096


def node_of(host: SimulatorHost, address: str) -> str:
    (name,) = host.list(f"/sys/bus/pci/devices/{address}/vfio-dev")
    return f"/dev/vfio/devices/{name}"


def bound(host: SimulatorHost, address: str = EDU) -> tuple[Iommufd, Device, int]:
    to_vfio(host, address)
    iommufd, device = Iommufd.open(host), Device.open(host, node_of(host, address))
    return iommufd, device, device.bind(iommufd)


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_distributions_have_neither(kernel: str) -> None:
    host = guest(kernel)
    to_vfio(host, EDU)
    assert "devices" not in host.list("/dev/vfio")
    with refused(errno.ENOENT):
        host.open("/dev/iommu")
    with refused(errno.ENOENT):
        host.read(f"/sys/bus/pci/devices/{EDU}/vfio-dev/vfio0/dev")


def test_a_node_says_nothing_before_it_is_bound() -> None:
    host = guest("7.0")
    to_vfio(host, EDU)
    first, second = (Device.open(host, node_of(host, EDU)) for _ in range(2))
    iommufd = Iommufd.open(host)
    for ask in (first.info, lambda: first.attach(1), first.reset):
        with refused(errno.EINVAL):
            ask()
    with refused(errno.EBADFD):
        first.handle.ioctl(
            uapi.DEVICE_BIND_IOMMUFD, bytearray(struct.pack("IIiI", 16, 0, host.signal().number, 0))
        )
    assert first.bind(iommufd) == 1
    for device in (first, second):
        with refused(errno.EINVAL):
            device.bind(iommufd)
    assert first.info().is_pci


def test_the_group_and_the_node_exclude_each_other() -> None:
    host = guest("7.0")
    _, device, _ = bound(host)
    with refused(errno.EBUSY):
        Group.open(host, f"/dev/vfio/{group_of(host, EDU)}")
    device.close()
    Group.open(host, f"/dev/vfio/{group_of(host, EDU)}")
    with refused(errno.EBUSY):
        Device.open(host, node_of(host, EDU)).bind(Iommufd.open(host))


def test_a_group_that_is_not_viable_cannot_be_bound() -> None:
    host = guest("7.0")
    to_vfio(host, BRIDGED_EDU)
    device = Device.open(host, node_of(host, BRIDGED_EDU))
    with refused(errno.EPERM, BRIDGED_NIC):
        device.bind(Iommufd.open(host))
    write(host, f"{DRIVERS}/e1000/unbind", BRIDGED_NIC)
    device.bind(Iommufd.open(host))
    with refused(errno.EBUSY):
        write(host, f"{DRIVERS}/e1000/bind", BRIDGED_NIC)


def test_attaching_again_replaces_and_detaching_again_is_nothing() -> None:
    host = guest("7.0")
    iommufd, device, _ = bound(host)
    first, second = iommufd.address_space(), iommufd.address_space()
    with refused(errno.ENOENT):
        device.attach(99)
    device.attach(first)
    with refused(errno.EBUSY):
        iommufd.destroy(first)
    device.attach(second)
    iommufd.destroy(first)
    device.detach()
    device.detach()
    iommufd.destroy(second)
    with refused(errno.ENOENT):
        iommufd.destroy(second)
    with refused(errno.EINVAL):
        device.attach(second, pasid=5)


def test_a_pasid_has_an_address_space_of_its_own() -> None:
    host = parents(kernel="7.0", pasid_bits=8)
    iommufd, device, id_ = bound(host, PARENT)
    assert iommufd.hardware(host, id_).pasid_bits == 8
    first, second = iommufd.address_space(), iommufd.address_space()
    device.attach(first)
    iommufd.map(second, host.memory(PAGE), 0x10_0000)
    for pasid in (0, 256):
        with refused(errno.EINVAL):
            device.attach(second, pasid=pasid)
    device.attach(second, pasid=5)
    group = host.kernel.iommu.groups[group_of(host, PARENT)]
    assert [mapping.iova for mapping in group.pasids[5]] == [0x10_0000]
    assert not [*(group.domain or ())]
    with refused(errno.EBUSY):
        device.attach(second, pasid=5)
    with refused(errno.EBUSY):
        iommufd.destroy(second)
    device.detach(pasid=5)
    assert not group.pasids
    device.attach(second, pasid=6)
    device.close()
    assert not group.pasids
    assert host.kernel.processes.own.pinned == 0


def test_mappings() -> None:
    host = guest("7.0")
    iommufd, device, _ = bound(host)
    space = iommufd.address_space()
    device.attach(space)
    memory = host.memory(2 * PAGE)
    assert iommufd.map(space, memory) == PAGE
    assert iommufd.map(space, memory) == 3 * PAGE
    assert iommufd.map(space, memory, 0x10_0000) == 0x10_0000
    for iova, number in ((0x10_0000, errno.EEXIST), (0xFEE0_0000, errno.EINVAL), (1, errno.EINVAL)):
        with refused(number):
            iommufd.map(space, memory, iova)
    assert iommufd.unmap(space, 0x10_0000, 2 * PAGE) == 2 * PAGE
    with refused(errno.ENOENT):
        iommufd.unmap(space, 0x10_0000, 2 * PAGE)
    assert [(hex(one.start), hex(one.end)) for one in iommufd.ranges(host, space)] == [
        ("0x0", "0xfedfffff"),
        ("0xfef00000", "0xffffffffffff"),
    ]
    form = bytearray(struct.pack("IIIIQQ", 32, space, 0, 0, 0, 0))
    with refused(errno.EMSGSIZE):
        iommufd.handle.ioctl(uapi.IOMMU_IOAS_IOVA_RANGES, form)
    assert struct.unpack_from("I", form, 8) == (2,)


def test_an_address_space_keeps_its_mappings_while_nothing_is_attached() -> None:
    host = guest("7.0")
    iommufd, device, _ = bound(host)
    space = iommufd.address_space()
    device.attach(space)
    iommufd.map(space, host.memory(PAGE), 0x10_0000)
    own = host.kernel.processes.own
    assert own.pinned == PAGE
    device.detach()
    assert own.pinned == 0
    device.attach(space)
    assert own.pinned == PAGE
    group = host.kernel.iommu.groups[group_of(host, EDU)]
    assert [mapping.iova for mapping in group.domain or ()] == [0x10_0000]
    iommufd.close()
    assert group.domain is not group.default
    device.close()
    assert own.pinned == 0
    assert group.domain is group.default
    assert group.owner is None


def test_the_hardware_tells_what_it_can() -> None:
    host = guest("7.0")
    iommufd, _, id_ = bound(host)
    info = iommufd.hardware(host, id_)
    assert (info.type, info.pasid_bits, info.capabilities) == (1, 0, 8)
    ecap = host.read("/sys/class/iommu/dmar0/intel-iommu/ecap").strip()
    assert f"{struct.unpack('IIQQ', info.data)[3]:x}".encode() == ecap
    with refused(errno.ENOENT):
        iommufd.hardware(host, 99)


def test_edu_interrupts_through_its_node() -> None:
    host = guest("7.0")
    iommufd, device, _ = bound(host)
    device.attach(iommufd.address_space())
    signal = host.signal()
    device.signal_irqs(MSI, [signal])
    device.handle.write_at(0x60, struct.pack("<I", 1))
    assert signal.wait(1) == 1


def test_an_unbind_waits_for_the_node_too() -> None:
    host = guest("7.0")
    _, device, _ = bound(host)
    unbind = begin(host, f"{DRIVERS}/vfio-pci/unbind", EDU)
    assert not unbind.wait(5)
    assert host.list("/dev/vfio/devices") == []
    device.close()
    assert unbind.wait(0)


def test_a_snapshot_names_the_holder_of_a_node() -> None:
    host = guest("7.0")
    iommufd, device, _ = bound(host)
    blocked = next(one for one in read_snapshot(host).groups if EDU in one.devices)
    assert blocked.attached.type == "blocked"
    device.attach(iommufd.address_space())
    snapshot = read_snapshot(host)
    group = next(one for one in snapshot.groups if EDU in one.devices)
    assert (group.owner, group.attached.type) == ("vfio", "unmanaged")
    (process,) = snapshot.processes
    assert (process.pid, process.name) == (4242, "sdmtop")


def test_what_is_told_to_be_attached_is_what_is_at_every_step_of_a_group() -> None:
    host = guest("6.12")
    id_ = int(to_vfio(host, EDU))

    def told() -> tuple[str | None, str]:
        attached = next(one for one in read_snapshot(host).groups if one.id == id_).attached
        domain = host.kernel.iommu.groups[str(id_)].domain
        assert domain is not None
        assert attached.type in (None, domain.kind)
        return attached.type, attached.evidence

    assert told()[1] == "inferred"
    container, group = Container.open(host), Group.open(host, f"/dev/vfio/{id_}")
    assert told() == (None, "unknown")
    group.set_container(container)
    assert told() == ("blocked", "known")
    container.set_iommu(TYPE1V2)
    assert told() == (None, "unknown")
    device = group.device(EDU)
    assert told() == ("unmanaged", "inferred")
    for node in (device, group, container):
        node.close()
    assert told()[1] == "inferred"


def test_a_node_that_is_only_open_has_attached_nothing_for_sure() -> None:
    host = guest("7.0")
    to_vfio(host, EDU)
    Device.open(host, node_of(host, EDU))
    group = next(one for one in read_snapshot(host).groups if EDU in one.devices)
    assert (group.owner, group.attached.type) == ("vfio", None)


def test_an_sdmdev_is_shared_through_its_node_as_well() -> None:
    host = parents(kernel="7.0")
    name = create(host, 1)
    (node,) = host.list(f"/sys/bus/mdev/devices/{name}/vfio-dev")
    iommufd = Iommufd.open(host)
    device = Device.open(host, f"/dev/vfio/devices/{node}")
    device.bind(iommufd)
    space = iommufd.address_space()
    device.attach(space)
    parent = host.kernel.iommu.groups[group_of(host, "0000:75:00.0")]
    assert len(parent.shares) == 1
    iommufd.map(space, host.memory(PAGE), 0x10_0000)
    assert len([*(parent.domain or ())]) == 2
    host.close()
    assert not parent.shares
    assert len([*(parent.domain or ())]) == 1
