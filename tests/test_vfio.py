"""Each request is the number and the bytes that the kernel's headers say, and so is each answer."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

import pytest

from sdmtop.backends.linux import LinuxHost
from sdmtop.vfio import (
    DATA_EVENTFD,
    DATA_NONE,
    MSI,
    MSIX,
    TRIGGER,
    TYPE1,
    Container,
    Device,
    Group,
    Iommufd,
    Queue,
    Range,
    Region,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.backends.base import Handle, Memory, Signal


class Kernel:
    """A handle that answers each ioctl as the test says, and remembers what was asked."""

    def __init__(
        self, *answers: int | OSError | Callable[[bytearray], int], number: int = 7
    ) -> None:
        self.number = number
        self.asked: list[tuple[int, int | bytes]] = []
        self.closed = False
        self._answers = list(answers)

    def ioctl(self, request: int, argument: int | bytearray = 0) -> int:
        self.asked.append(
            (request, bytes(argument) if isinstance(argument, bytearray) else argument)
        )
        answer = self._answers.pop(0) if self._answers else 0
        if isinstance(answer, OSError):
            raise answer
        if callable(answer):
            assert isinstance(argument, bytearray)
            return answer(argument)
        return answer

    def adopt(self, number: int) -> Handle:
        return Kernel(number=number)

    def read_at(self, offset: int, size: int) -> bytes:
        raise NotImplementedError

    def write_at(self, offset: int, data: bytes) -> int:
        raise NotImplementedError

    def map(self, offset: int, size: int) -> Memory:
        raise NotImplementedError

    def close(self) -> None:
        self.closed = True


def put(form: str, offset: int, *values: int) -> Callable[[bytearray], int]:
    """An ioctl that leaves these values in its argument."""

    def answer(argument: bytearray) -> int:
        struct.pack_into(form, argument, offset, *values)
        return 0

    return answer


@pytest.fixture
def memory() -> Memory:
    return LinuxHost().memory(4096)


def test_a_group_says_whether_it_is_viable_and_in_a_container() -> None:
    kernel = Kernel(put("=I", 4, 1), put("=I", 4, 3))
    group = Group(kernel)
    assert group.status() == (True, False)
    assert group.status() == (True, True)
    assert kernel.asked[0] == (0x3B67, struct.pack("=II", 8, 0))


def test_a_group_enters_a_container_by_the_address_of_its_descriptor() -> None:
    kernel = Kernel()
    Group(kernel).set_container(Container(Kernel(number=12)))
    Group(kernel).unset_container()
    assert kernel.asked == [(0x3B68, struct.pack("=i", 12)), (0x3B69, 0)]


def test_a_device_is_opened_by_its_name() -> None:
    kernel = Kernel(31)
    device = Group(kernel).device("0000:00:04.0")
    assert kernel.asked == [(0x3B6A, b"0000:00:04.0\0")]
    assert device.handle.number == 31


def test_an_error_names_the_request() -> None:
    kernel = Kernel(OSError(errno.EPERM, "Operation not permitted"))
    with pytest.raises(OSError, match="VFIO_GROUP_SET_CONTAINER") as caught:
        Group(kernel).set_container(Container(Kernel()))
    assert caught.value.errno == errno.EPERM


def test_a_node_is_closed_at_the_end_of_a_with() -> None:
    kernel = Kernel()
    with Container(kernel) as container:
        container.api_version()
    assert kernel.closed


def test_numbers_are_passed_by_value() -> None:
    kernel = Kernel(0, 1, 0)
    container = Container(kernel)
    assert container.api_version() == 0
    assert container.supports(TYPE1)
    container.set_iommu(TYPE1)
    assert kernel.asked == [(0x3B64, 0), (0x3B65, 1), (0x3B66, 1)]


def test_memory_is_mapped_for_reading_and_writing(memory: Memory) -> None:
    kernel = Kernel(0, put("=Q", 16, 4096))
    container = Container(kernel)
    container.map(memory, 0x10000)
    assert container.unmap(0x10000, 4096) == 4096
    assert kernel.asked == [
        (0x3B71, struct.pack("=IIQQQ", 32, 3, memory.address, 0x10000, 4096)),
        (0x3B72, struct.pack("=IIQQ", 24, 0, 0x10000, 4096)),
    ]


def test_a_container_tells_the_caller_its_pasid() -> None:
    kernel = Kernel(put("=I", 12, 17))
    assert Container(kernel).bind_process() == 17
    assert kernel.asked == [(0x3B7A, struct.pack("=IIIIi", 20, 1, 0, 0, 0))]


def test_the_ranges_of_a_container_are_in_a_capability_of_a_longer_answer() -> None:
    def longer(argument: bytearray) -> int:
        struct.pack_into("=I", argument, 0, 72)
        return 0

    def whole(argument: bytearray) -> int:
        assert len(argument) == 72
        struct.pack_into("=IIQI4x", argument, 0, 72, 3, 0x1000, 24)
        struct.pack_into("=HHIII", argument, 24, 1, 1, 0, 2, 0)
        struct.pack_into("=QQQQ", argument, 40, 0, 0xFEDFFFFF, 0xFEF00000, (1 << 39) - 1)
        return 0

    assert Container(Kernel(longer, whole)).ranges() == (
        Range(0, 0xFEDFFFFF),
        Range(0xFEF00000, (1 << 39) - 1),
    )


def test_capabilities_that_lead_back_end_there() -> None:
    def round_and_round(argument: bytearray) -> int:
        struct.pack_into("=I", argument, 16, 8)  # The chain begins at 8,
        struct.pack_into("=HHI", argument, 8, 9, 1, 8)  # and goes on at 8.
        return 0

    assert Container(Kernel(round_and_round)).ranges() == ()


def test_what_a_device_has() -> None:
    kernel = Kernel(
        put("=IIII", 4, 3, 9, 5, 0), put("=QQ", 16, 0x1000, 7 << 40), put("=II", 4, 9, 0)
    )
    device = Device(kernel)
    assert device.info() == (True, True, 9, 5)
    assert device.region(7) == Region(0, 7 << 40, 0x1000)
    assert device.irqs(MSIX).flags == 9
    assert [request for request, _ in kernel.asked] == [0x3B6B, 0x3B6C, 0x3B6D]
    assert [len(form) for _, form in kernel.asked if isinstance(form, bytes)] == [24, 32, 16]


class _Signal:
    number = 40

    def wait(self, seconds: float) -> int:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def test_interrupts_raise_signals_and_are_disabled() -> None:
    kernel = Kernel()
    device = Device(kernel)
    signal: Signal = _Signal()
    device.signal_irqs(MSI, [signal])
    device.set_irqs(MSI, DATA_NONE | TRIGGER, 0, 1)
    device.signal_irqs(MSI, [])
    assert kernel.asked == [
        (0x3B6E, struct.pack("=IIIIIi", 24, DATA_EVENTFD | TRIGGER, MSI, 0, 1, 40)),
        (0x3B6E, struct.pack("=IIIII", 20, 0x21, MSI, 0, 1)),
        (0x3B6E, struct.pack("=IIIII", 20, 0x21, MSI, 0, 0)),
    ]


def test_a_cdev_is_bound_to_an_iommufd_and_attached_to_an_address_space() -> None:
    kernel = Kernel(put("=I", 12, 5))
    device = Device(kernel)
    assert device.bind(Iommufd(Kernel(number=9))) == 5
    device.attach(3)
    device.attach(3, pasid=17)
    device.detach(pasid=17)
    device.detach()
    assert kernel.asked == [
        (0x3B76, struct.pack("=IIiI", 16, 0, 9, 0)),
        (0x3B77, struct.pack("=III", 12, 0, 3)),
        (0x3B77, struct.pack("=IIII", 16, 1, 3, 17)),
        (0x3B78, struct.pack("=III", 12, 1, 17)),
        (0x3B78, struct.pack("=II", 8, 0)),
    ]


def test_an_iommufd_has_address_spaces(memory: Memory) -> None:
    kernel = Kernel(put("=I", 8, 2), put("=Q", 32, 0x5000), put("=Q", 16, 4096))
    iommufd = Iommufd(kernel)
    assert iommufd.address_space() == 2
    assert iommufd.map(2, memory) == 0x5000
    assert iommufd.unmap(2, 0x5000, 4096) == 4096
    iommufd.map(2, memory, 0x9000)
    iommufd.destroy(2)
    assert kernel.asked == [
        (0x3B81, struct.pack("=III", 12, 0, 0)),
        (0x3B85, struct.pack("=IIIIQQQ", 40, 6, 2, 0, memory.address, 4096, 0)),
        (0x3B86, struct.pack("=IIQQ", 24, 2, 0x5000, 4096)),
        (0x3B85, struct.pack("=IIIIQQQ", 40, 7, 2, 0, memory.address, 4096, 0x9000)),
        (0x3B80, struct.pack("=II", 8, 2)),
    ]


def test_what_the_iommu_before_a_device_can_do() -> None:
    def vt_d(argument: bytearray) -> int:
        assert len(argument) == 40
        struct.pack_into("=I", argument, 12, 24)
        struct.pack_into("=IB3xQ", argument, 24, 1, 20, 8)
        return 0

    info = Iommufd(Kernel(vt_d)).hardware(LinuxHost(), 1)
    assert info == (1, 20, 8, bytes(24))


def test_queues_of_uacce_and_of_class_sdmdev() -> None:
    kernel = Kernel()
    Queue(kernel).start()
    Queue(kernel).put()
    Device(kernel).bind_pasid(17)
    Device(kernel).wait(250)
    assert kernel.asked == [(0x5700, 0), (0x5701, 0), (0x5702, 17), (0x5701, 250)]
