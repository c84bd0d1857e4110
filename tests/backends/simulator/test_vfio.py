"""Groups, containers, mappings, devices and interrupts: sdmdev.md section 7, kernel-abi 3."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

import pytest

from sdmtop.backends.simulator import uapi
from sdmtop.backends.simulator.processes import MOST_OPEN
from sdmtop.vfio import (
    DATA_BOOL,
    DATA_EVENTFD,
    DATA_NONE,
    ERROR,
    INTX,
    MASK,
    MSI,
    MSIX,
    NOIOMMU,
    REQUEST,
    TRIGGER,
    TYPE1,
    TYPE1V2,
    Container,
    Group,
)
from tests.backends.simulator.machines import (
    BRIDGED_EDU,
    BRIDGED_NIC,
    DRIVERS,
    EDU,
    NIC,
    PCI,
    claim,
    driver_of,
    group_of,
    guest,
    hold,
    machine,
    refused,
    text,
    to_vfio,
    write,
)

if TYPE_CHECKING:
    from sdmtop.backends.simulator.host import SimulatorHost
    from sdmtop.backends.simulator.iommu import Mapping

PAGE = 4096


# -- groups ----------------------------------------------------------------------------------------


def test_a_group_has_one_opener() -> None:
    host = guest()
    group = to_vfio(host, EDU)
    first = Group.open(host, f"/dev/vfio/{group}")
    with refused(errno.EBUSY, r"sdmtop \(pid 4242\) has it"):
        Group.open(host, f"/dev/vfio/{group}")
    first.close()
    Group.open(host, f"/dev/vfio/{group}")


@pytest.mark.parametrize(
    ("kernel", "number"),
    [("4.19", errno.EINVAL), ("6.1", errno.EPERM), ("6.12", errno.EPERM), ("7.0", errno.EPERM)],
)
def test_a_group_that_is_not_viable_cannot_be_claimed(kernel: str, number: int) -> None:
    host = guest(kernel)
    opened = Group.open(host, f"/dev/vfio/{to_vfio(host, BRIDGED_EDU)}")
    assert not opened.status().viable
    with refused(number, f"not viable: .*{BRIDGED_NIC} is bound to e1000"):
        opened.set_container(Container.open(host))
    write(host, f"{PCI}/{BRIDGED_NIC}/driver/unbind", BRIDGED_NIC)
    assert opened.status().viable
    opened.set_container(Container.open(host))
    assert opened.status() == (True, True)


def test_set_container_wants_a_container_and_only_one() -> None:
    host = guest()
    opened = Group.open(host, f"/dev/vfio/{to_vfio(host, EDU)}")

    def set_container(number: int) -> None:
        opened.handle.ioctl(uapi.GROUP_SET_CONTAINER, bytearray(struct.pack("i", number)))

    with refused(errno.EBADF):
        set_container(999)
    with refused(errno.EINVAL):
        set_container(-1)
    with refused(errno.EBADFD, "is no container"):
        set_container(host.signal().number)
    with refused(errno.EFAULT):
        opened.handle.ioctl(uapi.GROUP_SET_CONTAINER, 0)
    opened.set_container(Container.open(host))
    with refused(errno.EINVAL, "in a container already"):
        opened.set_container(Container.open(host))


def test_unset_container_waits_for_no_one_and_is_refused_while_a_device_is_open() -> None:
    host = guest()
    _, group, device = hold(host, EDU)
    with refused(errno.EBUSY):
        group.unset_container()
    device.close()
    group.unset_container()
    with refused(errno.EINVAL):
        group.unset_container()


def test_a_device_is_had_by_its_name_once_there_is_an_iommu() -> None:
    host = guest()
    opened = Group.open(host, f"/dev/vfio/{to_vfio(host, EDU)}")
    with refused(errno.EINVAL):
        opened.device(EDU)
    container = Container.open(host)
    opened.set_container(container)
    with refused(errno.EINVAL):
        opened.device(EDU)
    container.set_iommu(TYPE1)
    for name in ("0000:01:00.1", "", "x" * 4000):
        with refused(errno.ENODEV):
            opened.device(name)
    opened.device(EDU)
    opened.device(EDU)


def test_an_open_device_keeps_its_group_open() -> None:
    host = guest()
    container, group, device = hold(host, EDU)
    number = group.handle.number
    path = f"/dev/vfio/{group_of(host, EDU)}"
    group.close()
    container.close()
    assert number not in host.kernel.processes.own.files
    with refused(errno.EBUSY):
        Group.open(host, path)
    device.close()
    Group.open(host, path)


# -- containers ------------------------------------------------------------------------------------


def test_a_container_without_a_group_has_no_iommu() -> None:
    host = guest()
    container = Container.open(host)
    assert container.api_version() == 0
    with refused(errno.EINVAL):
        container.set_iommu(TYPE1V2)
    with refused(errno.EINVAL):
        container.map(host.memory(PAGE), 0)
    opened = Group.open(host, f"/dev/vfio/{to_vfio(host, EDU)}")
    opened.set_container(container)
    with refused(errno.ENODEV):
        container.set_iommu(NOIOMMU)
    with refused(errno.ENODEV):
        container.set_iommu(2)
    container.set_iommu(TYPE1V2)
    with refused(errno.EINVAL):
        container.set_iommu(TYPE1V2)


@pytest.mark.parametrize(("extension", "answer"), [(1, 1), (3, 1), (2, 0), (4, 0), (5, 0), (6, 1),
                                                   (8, 0), (9, 1), (10, 0)])  # fmt: skip
def test_extensions_are_those_that_were_seen(extension: int, answer: int) -> None:
    assert Container.open(guest()).supports(extension) == bool(answer)


def test_a_container_tells_its_page_sizes_and_ranges() -> None:
    container, _ = claim(*_with_edu())
    assert container.page_sizes() == 0x4020_1000
    assert [(hex(one.start), hex(one.end)) for one in container.ranges()] == [
        ("0x0", "0xfedfffff"),
        ("0xfef00000", "0xffffffffffff"),
    ]


def _with_edu() -> tuple[SimulatorHost, str]:
    host = guest()
    return host, to_vfio(host, EDU)


# -- mappings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "iova", "size", "flags", "number"),
    [
        (0, 0x10_0000, 0, 3, errno.EINVAL),
        (0, 0x10_0001, PAGE, 3, errno.EINVAL),
        (1, 0x10_0000, PAGE, 3, errno.EINVAL),
        (0, 0x10_0000, PAGE - 1, 3, errno.EINVAL),
        (0, 0x10_0000, PAGE, 0, errno.EINVAL),
        (0, 0x10_0000, PAGE, 4, errno.EINVAL),
        (0, (1 << 64) - PAGE, 2 * PAGE, 3, errno.EINVAL),
        (0, 0xFEE0_0000, PAGE, 3, errno.EINVAL),
        (0, 0xFEDF_F000, 2 * PAGE, 3, errno.EINVAL),
        (0, 1 << 48, PAGE, 3, errno.EINVAL),
        (0, 0, PAGE, 3, errno.EEXIST),
        (0, 0x1000, PAGE, 3, errno.EEXIST),
        (1 << 40, 0x10_0000, PAGE, 3, errno.EFAULT),
        (0, 0x10_0000, 1 << 20, 3, errno.EFAULT),
    ],
)
def test_map_dma_refuses(address: int, iova: int, size: int, flags: int, number: int) -> None:
    host, group = _with_edu()
    container, _ = claim(host, group)
    memory = host.memory(4 * PAGE)
    container.map(memory, 0)
    form = struct.pack("IIQQQ", 32, flags, memory.address + address, iova, size)
    with refused(number):
        container.handle.ioctl(uapi.IOMMU_MAP_DMA, bytearray(form))
    assert host.kernel.processes.own.pinned == 4 * PAGE
    assert len(domain_of(host, group)) == 1


def domain_of(host: SimulatorHost, group: str) -> list[Mapping]:
    domain = host.kernel.iommu.groups[group].domain
    assert domain is not None
    return [*domain]


def test_memlock_and_the_number_of_mappings_are_limits() -> None:
    host, group = _with_edu()
    container, _ = claim(host, group)
    host.kernel.processes.own.memlock = 2 * PAGE
    container.map(host.memory(PAGE), 0)
    with refused(errno.ENOMEM, "RLIMIT_MEMLOCK is 8192"):
        container.map(host.memory(2 * PAGE), 0x10_0000)
    host.kernel.vfio.dma_entry_limit = 1
    with refused(errno.ENOSPC):
        container.map(host.memory(PAGE), 0x10_0000)


def test_unmap_takes_whole_mappings_and_tells_how_much() -> None:
    host, group = _with_edu()
    container, _ = claim(host, group)
    container.map(host.memory(2 * PAGE), 0x1_0000)
    container.map(host.memory(PAGE), 0x2_0000)
    with refused(errno.EINVAL, "cut in two"):
        container.unmap(0x1_0000, PAGE)
    with refused(errno.EINVAL, "cut in two"):
        container.unmap(0x1_1000, PAGE)
    for iova, size in ((0, 0), (1, PAGE), (0, PAGE - 1)):
        with refused(errno.EINVAL):
            container.unmap(iova, size)
    assert container.unmap(0, 1 << 20) == 3 * PAGE
    assert container.unmap(0x1_0000, 2 * PAGE) == 0
    assert host.kernel.processes.own.pinned == 0
    assert not domain_of(host, group)


def test_unmap_all_is_a_flag() -> None:
    host, group = _with_edu()
    container, _ = claim(host, group)
    container.map(host.memory(PAGE), 0x1_0000)
    form = bytearray(struct.pack("IIQQ", 24, uapi.UNMAP_FLAG_ALL, 0, 0))
    container.handle.ioctl(uapi.IOMMU_UNMAP_DMA, form)
    assert struct.unpack_from("Q", form, 16)[0] == PAGE


def test_memory_of_a_closed_container_is_unpinned() -> None:
    host, group = _with_edu()
    container, opened = claim(host, group)
    container.map(host.memory(PAGE), 0)
    opened.close()
    container.close()
    assert host.kernel.processes.own.pinned == 0


# -- devices ---------------------------------------------------------------------------------------


def test_edu_has_the_regions_and_interrupts_that_were_seen() -> None:
    host = guest()
    _, _, device = hold(host, EDU)
    assert device.info() == (True, True, 9, 5)
    assert device.region(0) == (7, 0, 1 << 20)
    assert device.region(1) == (0, 1 << 40, 0)
    assert device.region(7) == (3, 7 << 40, 256)
    for index in (8, 9):
        with refused(errno.EINVAL):
            device.region(index)
    assert device.irqs(INTX) == (7, 1)
    assert device.irqs(MSI) == (9, 1)
    assert device.irqs(MSIX) == (9, 0)
    assert device.irqs(REQUEST) == (9, 1)
    for index in (ERROR, 5):
        with refused(errno.EINVAL):
            device.irqs(index)


def test_a_device_without_a_reset_method_says_so() -> None:
    host = machine('title = "t"\n[[unit]]\nname = "dmar0"\n[[device]]\naddress = "0000:00:04.0"\n'
                   'unit = "dmar0"\n')  # fmt: skip
    _, _, device = hold(host, "0000:00:04.0")
    assert not device.info().can_reset
    with refused(errno.EINVAL):
        device.reset()


def test_the_loopback_moves_the_signal_and_no_counter() -> None:
    host = guest()
    _, _, device = hold(host, EDU)
    signal = host.signal()
    with refused(errno.EINVAL):
        device.set_irqs(MSI, DATA_NONE | TRIGGER, 0, 1)
    device.signal_irqs(MSI, [signal])
    (irq,) = host.list(f"{PCI}/{EDU}/msi_irqs")
    assert text(host, f"{PCI}/{EDU}/msi_irqs/{irq}") == "msi"
    assert text(host, f"/sys/kernel/irq/{irq}/actions") == f"vfio-msi[0]({EDU})"
    device.set_irqs(MSI, DATA_NONE | TRIGGER, 0, 1)
    assert signal.wait(0) == 1
    device.set_irqs(MSI, DATA_BOOL | TRIGGER, 0, 1, b"\1")
    assert signal.wait(0) == 1
    device.set_irqs(MSI, DATA_BOOL | TRIGGER, 0, 1, b"\0")
    assert signal.wait(0) == 0
    assert text(host, f"/sys/kernel/irq/{irq}/per_cpu_count") == "0,0"
    device.handle.write_at(0x60, struct.pack("<I", 1))
    assert signal.wait(1) == 1
    assert sorted(text(host, f"/sys/kernel/irq/{irq}/per_cpu_count").split(",")) == ["0", "1"]
    device.signal_irqs(MSI, [])
    with refused(errno.ENOENT):
        host.list(f"{PCI}/{EDU}/msi_irqs")


def test_set_irqs_refuses() -> None:
    host = guest()
    _, _, device = hold(host, EDU)
    signal = host.signal()
    data = struct.pack("i", signal.number)
    with refused(errno.EINVAL):
        device.set_irqs(MSI, DATA_EVENTFD | TRIGGER, 0, 2, data * 2)
    with refused(errno.EINVAL):
        device.set_irqs(MSI, DATA_EVENTFD | TRIGGER, 0, 1)
    with refused(errno.EINVAL):
        device.set_irqs(MSI, DATA_EVENTFD | DATA_NONE | TRIGGER, 0, 1, data)
    with refused(errno.EINVAL):
        device.set_irqs(MSIX, DATA_EVENTFD | TRIGGER, 0, 1, data)
    with refused(errno.EBADF):
        device.set_irqs(MSI, DATA_EVENTFD | TRIGGER, 0, 1, struct.pack("i", 999))
    device.signal_irqs(MSI, [signal])
    with refused(errno.ENOTTY):
        device.set_irqs(MSI, DATA_NONE | MASK, 0, 1)
    with refused(errno.EINVAL):
        device.signal_irqs(INTX, [signal])


@pytest.mark.parametrize("index", [INTX, MSI, REQUEST])
def test_only_an_interrupt_that_is_enabled_can_be_disabled(index: int) -> None:
    host = guest()
    _, _, device = hold(host, EDU)
    with refused(errno.EINVAL, f"index {index} is not enabled"):
        device.set_irqs(index, DATA_NONE | TRIGGER, 0, 0)
    device.signal_irqs(index, [host.signal()])
    device.set_irqs(index, DATA_NONE | TRIGGER, 0, 0)
    with refused(errno.EINVAL):
        device.set_irqs(index, DATA_NONE | TRIGGER, 0, 0)


def test_an_interrupt_is_disabled_when_its_device_is_closed() -> None:
    host = guest()
    _, _, device = hold(host, NIC)
    lines = len(host.kernel.interrupts.lines)
    device.signal_irqs(MSIX, [host.signal(), host.signal()])
    assert len(host.kernel.interrupts.lines) == lines + 2
    device.close()
    assert len(host.kernel.interrupts.lines) == lines


def test_the_orphaned_group_answers_that_its_device_is_gone() -> None:
    host = guest()
    group = to_vfio(host, EDU)
    opened = Group.open(host, f"/dev/vfio/{group}")
    write(host, f"{DRIVERS}/vfio-pci/unbind", EDU)
    assert driver_of(host, EDU) is None
    with refused(errno.ENODEV):
        opened.status()
    assert host.list("/dev/vfio") == ["vfio"]


def test_descriptors_run_out() -> None:
    host = guest()
    signals = [host.signal() for _ in range(MOST_OPEN)]
    with refused(errno.EMFILE):
        host.signal()
    signals[5].close()
    assert host.signal().number == 8


# -- without an IOMMU ------------------------------------------------------------------------------


def test_without_an_iommu_only_the_unsafe_mode_takes_a_device() -> None:
    host = machine('title = "t"\n[[device]]\naddress = "0000:00:04.0"\n')
    address = "0000:00:04.0"
    write(host, f"{PCI}/{address}/driver_override", "vfio-pci")
    write(host, "/sys/bus/pci/drivers_probe", address)
    assert driver_of(host, address) is None
    assert b"failed with error -22" in host.kernel_log()[-1]
    with refused(errno.EINVAL):
        write(host, f"{DRIVERS}/vfio-pci/bind", address)
    write(host, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y")
    write(host, f"{DRIVERS}/vfio-pci/bind", address)
    assert host.list("/sys/class/vfio") == ["noiommu-0"]
    assert text(host, "/sys/kernel/iommu_groups/0/name") == "vfio-noiommu"
    assert int(text(host, "/proc/sys/kernel/tainted")) & 64
    container, opened = Container.open(host), Group.open(host, "/dev/vfio/noiommu-0")
    opened.set_container(container)
    with refused(errno.ENODEV):
        container.set_iommu(TYPE1)
    container.set_iommu(NOIOMMU)
    opened.device(address)
    assert b"vfio-noiommu device opened by user (sdmtop:4242)" in host.kernel_log()[-1]
