"""What can be asked of an open node of VFIO, iommufd, uacce and class sdmdev, typed.

Sources: `include/uapi/linux/{vfio,iommufd}.h`, `include/uapi/misc/uacce/uacce.h`, and
`include/uapi/linux/vfio_sdmdev.h` of the 2018 RFC. Every failure is the `OSError` of the kernel,
with the name of the request as its `filename`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from sdmtop.backends.base import Handle, Host, Memory, Signal

CONTAINER = "/dev/vfio/vfio"
IOMMUFD = "/dev/iommu"

TYPE1, TYPE1V2, NOIOMMU = 1, 3, 8
"""Models of an IOMMU for `Container.set_iommu`; `params/iommu_type` of a parent is one of them."""

INTX, MSI, MSIX, ERROR, REQUEST = range(5)
"""Interrupt indexes of a VFIO PCI device. REQUEST asks its holder to let it go."""

DATA_NONE, DATA_BOOL, DATA_EVENTFD = 1, 2, 4
MASK, UNMASK, TRIGGER = 8, 0x10, 0x20
"""Flags of `Device.set_irqs`: the form of its data, or-ed with what is done."""

REGION_READ, REGION_WRITE, REGION_MMAP = 1, 2, 4
CONFIG_REGION = 7
"""The index of a PCI device's configuration space; BARs are 0 to 5."""


class Request(NamedTuple):
    """An ioctl: its number and its name."""

    number: int
    name: str


GET_API_VERSION = Request(0x3B64, "VFIO_GET_API_VERSION")
CHECK_EXTENSION = Request(0x3B65, "VFIO_CHECK_EXTENSION")
SET_IOMMU = Request(0x3B66, "VFIO_SET_IOMMU")
GET_STATUS = Request(0x3B67, "VFIO_GROUP_GET_STATUS")
SET_CONTAINER = Request(0x3B68, "VFIO_GROUP_SET_CONTAINER")
UNSET_CONTAINER = Request(0x3B69, "VFIO_GROUP_UNSET_CONTAINER")
GET_DEVICE_FD = Request(0x3B6A, "VFIO_GROUP_GET_DEVICE_FD")
GET_INFO = Request(0x3B6B, "VFIO_DEVICE_GET_INFO")
GET_REGION_INFO = Request(0x3B6C, "VFIO_DEVICE_GET_REGION_INFO")
GET_IRQ_INFO = Request(0x3B6D, "VFIO_DEVICE_GET_IRQ_INFO")
SET_IRQS = Request(0x3B6E, "VFIO_DEVICE_SET_IRQS")
RESET = Request(0x3B6F, "VFIO_DEVICE_RESET")
BIND_IOMMUFD = Request(0x3B76, "VFIO_DEVICE_BIND_IOMMUFD")
ATTACH_PT = Request(0x3B77, "VFIO_DEVICE_ATTACH_IOMMUFD_PT")
DETACH_PT = Request(0x3B78, "VFIO_DEVICE_DETACH_IOMMUFD_PT")
# Of the 2018 series for shared virtual addressing, which the RFC's user library builds on.
IOMMU_BIND = Request(0x3B7A, "VFIO_IOMMU_BIND")
# The kernel uses these numbers twice: on a container, and on a device (kernel-abi 3.2).
IOMMU_GET_INFO = Request(0x3B70, "VFIO_IOMMU_GET_INFO")
MAP_DMA = Request(0x3B71, "VFIO_IOMMU_MAP_DMA")
UNMAP_DMA = Request(0x3B72, "VFIO_IOMMU_UNMAP_DMA")
DESTROY = Request(0x3B80, "IOMMU_DESTROY")
IOAS_ALLOC = Request(0x3B81, "IOMMU_IOAS_ALLOC")
IOVA_RANGES = Request(0x3B84, "IOMMU_IOAS_IOVA_RANGES")
IOAS_MAP = Request(0x3B85, "IOMMU_IOAS_MAP")
IOAS_UNMAP = Request(0x3B86, "IOMMU_IOAS_UNMAP")
GET_HW_INFO = Request(0x3B8A, "IOMMU_GET_HW_INFO")
START_QUEUE = Request(0x5700, "UACCE_CMD_START_Q")
PUT_QUEUE = Request(0x5701, "UACCE_CMD_PUT_Q")
# The same number as PUT_QUEUE: the RFC's class came before uacce.
SDMDEV_WAIT = Request(0x5701, "VFIO_SDMDEV_CMD_WAIT")
BIND_PASID = Request(0x5702, "VFIO_SDMDEV_CMD_BIND_PASID")

_MAP_READ_WRITE = 1 | 2
_BIND_PROCESS = 1
_FIXED_IOVA, _WRITEABLE, _READABLE = 1, 2, 4
_ATTACH_PASID = 1
_IOVA_RANGE_CAPABILITY = 1  # VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE
_RANGES_AT_MOST = 256
_PAGE = 4096


class Range(NamedTuple):
    """IOVA that may be mapped: `start` to `end`, inclusive."""

    start: int
    end: int


class GroupStatus(NamedTuple):
    """Whether a group could be claimed, and whether it is in a container."""

    viable: bool
    in_container: bool


class DeviceInfo(NamedTuple):
    """What a device has: regions and interrupt indexes, by count."""

    can_reset: bool
    is_pci: bool
    regions: int
    irqs: int


class Region(NamedTuple):
    """A region of a device: `size` bytes at `offset` of its descriptor."""

    flags: int
    offset: int
    size: int


class Irqs(NamedTuple):
    """The interrupts of one index: so many vectors."""

    flags: int
    vectors: int


class HardwareInfo(NamedTuple):
    """What iommufd knows of the IOMMU before a device.

    `type` is 0 none, 1 VT-d, 2 SMMUv3, 3 Tegra, 4 AMD; `pasid_bits` is 0 where the device has no
    PASID that could be used; `data` are the unit's registers in the form of that type.
    """

    type: int
    pasid_bits: int
    capabilities: int
    data: bytes


class Node:
    """An open node, closed by `close` or at the end of a `with`."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, request: Request, argument: int | bytearray = 0) -> int:
        """What the ioctl returns; a bytearray is changed in place."""
        try:
            return self.handle.ioctl(request.number, argument)
        except OSError as error:
            raise OSError(error.errno, error.strerror, request.name) from error

    def close(self) -> None:
        """Give the descriptor back."""
        self.handle.close()


class Container(Node):
    """`/dev/vfio/vfio`: one I/O address space for the groups that are put into it."""

    @classmethod
    def open(cls, host: Host) -> Container:
        """A container without groups."""
        return cls(host.open(CONTAINER))

    def api_version(self) -> int:
        """0 in every kernel so far."""
        return self.ask(GET_API_VERSION)

    def supports(self, model: int) -> bool:
        """Whether it could be of this model of an IOMMU."""
        return self.ask(CHECK_EXTENSION, model) > 0

    def set_iommu(self, model: int) -> None:
        """Attach its groups to a domain. EINVAL without a group; ENODEV: not this model."""
        self.ask(SET_IOMMU, model)

    def page_sizes(self) -> int:
        """A bit for each size of page that can be mapped."""
        sizes: int = struct.unpack_from("=Q", self._info(), 8)[0]
        return sizes

    def ranges(self) -> tuple[Range, ...]:
        """IOVA that may be mapped; none where the kernel does not tell."""
        info = self._info()
        return tuple(
            Range(*struct.unpack_from("=QQ", info, at + 16 + 16 * index))
            for id_, at in _capabilities(info, struct.unpack_from("=I", info, 16)[0])
            if id_ == _IOVA_RANGE_CAPABILITY
            for index in range(struct.unpack_from("=I", info, at + 8)[0])
        )

    def map(self, memory: Memory, iova: int) -> None:
        """Let devices of the container read and write all of `memory` at `iova`."""
        size = len(memory.view)
        form = struct.pack("=IIQQQ", 32, _MAP_READ_WRITE, memory.address, iova, size)
        self.ask(MAP_DMA, bytearray(form))

    def unmap(self, iova: int, size: int) -> int:
        """Take it away again; how many bytes were mapped there."""
        form = bytearray(struct.pack("=IIQQ", 24, 0, iova, size))
        self.ask(UNMAP_DMA, form)
        taken: int = struct.unpack_from("=Q", form, 16)[0]
        return taken

    def bind_process(self) -> int:
        """The PASID of the caller's address space. ENOTTY: this kernel has no such request."""
        form = bytearray(struct.pack("=IIIIi", 20, _BIND_PROCESS, 0, 0, 0))
        self.ask(IOMMU_BIND, form)
        pasid: int = struct.unpack_from("=I", form, 12)[0]
        return pasid

    def _info(self) -> bytearray:
        """`struct vfio_iommu_type1_info` with its capabilities."""
        form = bytearray(24)
        struct.pack_into("=I", form, 0, len(form))
        self.ask(IOMMU_GET_INFO, form)
        needed = struct.unpack_from("=I", form)[0]
        if needed > len(form):
            form = bytearray(needed)
            struct.pack_into("=I", form, 0, needed)
            self.ask(IOMMU_GET_INFO, form)
        return form


class Group(Node):
    """`/dev/vfio/N`: a group, which one process at a time can have open."""

    @classmethod
    def open(cls, host: Host, path: str) -> Group:
        """Claim the node. EBUSY: somebody has it."""
        return cls(host.open(path))

    def status(self) -> GroupStatus:
        """Whether all its devices are out of the kernel's hands."""
        form = bytearray(struct.pack("=II", 8, 0))
        self.ask(GET_STATUS, form)
        flags = struct.unpack_from("=I", form, 4)[0]
        return GroupStatus(viable=bool(flags & 1), in_container=bool(flags & 2))

    def set_container(self, container: Container) -> None:
        """Put it into a container. EPERM: not viable."""
        self.ask(SET_CONTAINER, bytearray(struct.pack("=i", container.handle.number)))

    def unset_container(self) -> None:
        """Take it out. EBUSY: a device of it is open."""
        self.ask(UNSET_CONTAINER)

    def device(self, name: str) -> Device:
        """Open a device of it by its address or UUID. ENODEV: it has none of that name."""
        number = self.ask(GET_DEVICE_FD, bytearray(name.encode() + b"\0"))
        return Device(self.handle.adopt(number))


class Device(Node):
    """A device that VFIO hands out: by its group, or by `/dev/vfio/devices/vfioN`."""

    @classmethod
    def open(cls, host: Host, path: str) -> Device:
        """Open a cdev, which says nothing about who has the device: `bind` claims it."""
        return cls(host.open(path))

    def bind(self, iommufd: Iommufd) -> int:
        """Claim it for an iommufd; its id there. EBUSY, EPERM: somebody's, not viable."""
        form = bytearray(struct.pack("=IIiI", 16, 0, iommufd.handle.number, 0))
        self.ask(BIND_IOMMUFD, form)
        id_: int = struct.unpack_from("=I", form, 12)[0]
        return id_

    def attach(self, address_space: int, pasid: int | None = None) -> None:
        """Attach it, or one PASID of it, to an address space of its iommufd."""
        if pasid is None:
            form = struct.pack("=III", 12, 0, address_space)
        else:
            form = struct.pack("=IIII", 16, _ATTACH_PASID, address_space, pasid)
        self.ask(ATTACH_PT, bytearray(form))

    def detach(self, pasid: int | None = None) -> None:
        """Undo `attach`."""
        if pasid is None:
            form = struct.pack("=II", 8, 0)
        else:
            form = struct.pack("=III", 12, _ATTACH_PASID, pasid)
        self.ask(DETACH_PT, bytearray(form))

    def info(self) -> DeviceInfo:
        """What it has."""
        form = bytearray(struct.pack("=IIIII4x", 24, 0, 0, 0, 0))
        self.ask(GET_INFO, form)
        _, flags, regions, irqs = struct.unpack_from("=IIII", form)
        return DeviceInfo(bool(flags & 1), bool(flags & 2), regions, irqs)

    def region(self, index: int) -> Region:
        """Where a region is. EINVAL: it has none of that index."""
        form = bytearray(struct.pack("=IIIIQQ", 32, 0, index, 0, 0, 0))
        self.ask(GET_REGION_INFO, form)
        _, flags, _, _, size, offset = struct.unpack("=IIIIQQ", form)
        return Region(flags, offset, size)

    def irqs(self, index: int) -> Irqs:
        """The interrupts of an index."""
        form = bytearray(struct.pack("=IIII", 16, 0, index, 0))
        self.ask(GET_IRQ_INFO, form)
        _, flags, _, count = struct.unpack("=IIII", form)
        return Irqs(flags, count)

    def set_irqs(self, index: int, flags: int, start: int, count: int, data: bytes = b"") -> None:
        """Enable, disable, mask or fire interrupts; the form of `data` is in the flags."""
        form = struct.pack("=IIIII", 20 + len(data), flags, index, start, count)
        self.ask(SET_IRQS, bytearray(form + data))

    def signal_irqs(self, index: int, signals: Sequence[Signal]) -> None:
        """Have interrupts of an index, from 0 on, raise these signals; none: disable them."""
        if signals:
            data = b"".join(struct.pack("=i", signal.number) for signal in signals)
            self.set_irqs(index, DATA_EVENTFD | TRIGGER, 0, len(signals), data)
        else:
            self.set_irqs(index, DATA_NONE | TRIGGER, 0, 0)

    def reset(self) -> None:
        """Reset it. EINVAL: it has no way to be reset."""
        self.ask(RESET)

    def bind_pasid(self, pasid: int) -> None:
        """Of an sdmdev: start its queue in the address space of the caller, under its PASID."""
        self.ask(BIND_PASID, pasid)

    def wait(self, milliseconds: int) -> int:
        """Of an sdmdev: sleep until its queue is updated (0: for ever). ENODEV: it cannot."""
        return self.ask(SDMDEV_WAIT, milliseconds)


class Iommufd(Node):
    """`/dev/iommu`: address spaces, and the devices that were bound to it."""

    @classmethod
    def open(cls, host: Host) -> Iommufd:
        """One without anything in it."""
        return cls(host.open(IOMMUFD))

    def address_space(self) -> int:
        """A new IOAS; its id."""
        form = bytearray(struct.pack("=III", 12, 0, 0))
        self.ask(IOAS_ALLOC, form)
        id_: int = struct.unpack_from("=I", form, 8)[0]
        return id_

    def destroy(self, id_: int) -> None:
        """Give an object back. EBUSY: in use."""
        self.ask(DESTROY, bytearray(struct.pack("=II", 8, id_)))

    def ranges(self, host: Host, address_space: int) -> tuple[Range, ...]:
        """IOVA that may be mapped in an address space, by what is attached to it."""
        memory = host.memory(_PAGE)
        try:
            form = bytearray(
                struct.pack("=IIIIQQ", 32, address_space, _RANGES_AT_MOST, 0, memory.address, 0)
            )
            self.ask(IOVA_RANGES, form)
            count = struct.unpack_from("=I", form, 8)[0]
            return tuple(
                Range(*struct.unpack_from("=QQ", memory.view, 16 * index)) for index in range(count)
            )
        finally:
            memory.close()

    def map(self, address_space: int, memory: Memory, iova: int | None = None) -> int:
        """Map all of `memory` at `iova`, or where the kernel likes; where it is."""
        flags = _WRITEABLE | _READABLE | (0 if iova is None else _FIXED_IOVA)
        size = len(memory.view)
        form = bytearray(
            struct.pack("=IIIIQQQ", 40, flags, address_space, 0, memory.address, size, iova or 0)
        )
        self.ask(IOAS_MAP, form)
        at: int = struct.unpack_from("=Q", form, 32)[0]
        return at

    def unmap(self, address_space: int, iova: int, size: int) -> int:
        """Take it away again; how many bytes were mapped there."""
        form = bytearray(struct.pack("=IIQQ", 24, address_space, iova, size))
        self.ask(IOAS_UNMAP, form)
        taken: int = struct.unpack_from("=Q", form, 16)[0]
        return taken

    def hardware(self, host: Host, device: int) -> HardwareInfo:
        """What the IOMMU before a device can do; `device` is the id that `Device.bind` gave."""
        memory = host.memory(_PAGE)
        try:
            form = bytearray(
                struct.pack("=IIIIQIB3xQ", 40, 0, device, _PAGE, memory.address, 0, 0, 0)
            )
            self.ask(GET_HW_INFO, form)
            _, _, _, length, _, type_, bits, capabilities = struct.unpack("=IIIIQIB3xQ", form)
            data = bytes(memory.view[: min(length, _PAGE)])
            return HardwareInfo(type_, bits, capabilities, data)
        finally:
            memory.close()


class Queue(Node):
    """A queue of uacce, taken when its node is opened."""

    @classmethod
    def open(cls, host: Host, path: str) -> Queue:
        """Take a queue of the device. EBUSY and the like: there is none left."""
        return cls(host.open(path))

    def start(self) -> None:
        """Put it to work. EINVAL: it has been started."""
        self.ask(START_QUEUE)

    def put(self) -> None:
        """Stop it; it stays ours until it is closed."""
        self.ask(PUT_QUEUE)


def _capabilities(info: bytearray, offset: int) -> Iterator[tuple[int, int]]:
    """(id, offset) of each `struct vfio_info_cap_header` of a chain; it may not go back."""
    while 0 < offset <= len(info) - 8:
        id_, _, following = struct.unpack_from("=HHI", info, offset)
        yield id_, offset
        if following <= offset:
            return
        offset = following
