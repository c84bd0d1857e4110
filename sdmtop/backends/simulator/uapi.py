"""Numbers and structures of the ioctls, as the kernel's headers have them."""

from __future__ import annotations

import errno
import struct
from typing import Any

from sdmtop.backends.simulator.refusal import refusal

# include/uapi/linux/vfio.h
GET_API_VERSION = 0x3B64
CHECK_EXTENSION = 0x3B65
SET_IOMMU = 0x3B66
GROUP_GET_STATUS = 0x3B67
GROUP_SET_CONTAINER = 0x3B68
GROUP_UNSET_CONTAINER = 0x3B69
GROUP_GET_DEVICE_FD = 0x3B6A
DEVICE_GET_INFO = 0x3B6B
DEVICE_GET_REGION_INFO = 0x3B6C
DEVICE_GET_IRQ_INFO = 0x3B6D
DEVICE_SET_IRQS = 0x3B6E
DEVICE_RESET = 0x3B6F
DEVICE_BIND_IOMMUFD = 0x3B76
DEVICE_ATTACH_PT = 0x3B77
DEVICE_DETACH_PT = 0x3B78
IOMMU_GET_INFO = 0x3B70
IOMMU_MAP_DMA = 0x3B71
IOMMU_UNMAP_DMA = 0x3B72
IOMMU_BIND = 0x3B7A
"""VFIO_IOMMU_BIND of the 2018 SVA series, which the user library of the RFC asks for its PASID."""

TYPE1, TYPE1V2, DMA_CC, TYPE1_NESTING, NOIOMMU, UNMAP_ALL, UPDATE_VADDR = 1, 3, 4, 6, 8, 9, 10

GROUP_VIABLE, GROUP_CONTAINER_SET = 1, 2
MAP_READ, MAP_WRITE = 1, 2
UNMAP_FLAG_ALL = 2
BIND_PROCESS = 1

REGION_READ, REGION_WRITE, REGION_MMAP = 1, 2, 4
INFO_RESET, INFO_PCI = 1, 2
DATA_NONE, DATA_BOOL, DATA_EVENTFD = 1, 2, 4
ACTION_MASK, ACTION_UNMASK, ACTION_TRIGGER = 8, 0x10, 0x20
IRQ_EVENTFD, IRQ_MASKABLE, IRQ_AUTOMASKED, IRQ_NORESIZE = 1, 2, 4, 8

# include/uapi/linux/iommufd.h
IOMMU_DESTROY = 0x3B80
IOMMU_IOAS_ALLOC = 0x3B81
IOMMU_IOAS_IOVA_RANGES = 0x3B84
IOMMU_IOAS_MAP = 0x3B85
IOMMU_IOAS_UNMAP = 0x3B86
IOMMU_GET_HW_INFO = 0x3B8A
IOAS_FIXED_IOVA, IOAS_WRITEABLE, IOAS_READABLE = 1, 2, 4

# The 2018 RFC, and include/uapi/misc/uacce/uacce.h: the same numbers with another meaning.
SDMDEV_WAIT = 0x5701
SDMDEV_BIND_PASID = 0x5702
UACCE_START = 0x5700
UACCE_PUT = 0x5701
HISI_SET_QP_CTX = 0xC004480A
HISI_SET_QP_INFO = 0xC010480B


def unpack(argument: int | bytearray, layout: str) -> tuple[Any, ...]:
    """The fields at the beginning of an argument. Raises EFAULT for one that is too short."""
    if not isinstance(argument, bytearray) or len(argument) < struct.calcsize(layout):
        raise refusal(errno.EFAULT, "the argument is no structure of that size")
    return struct.unpack_from(layout, argument)


def pack(argument: int | bytearray, layout: str, *fields: int) -> None:
    """Write fields over the beginning of an argument that `unpack` has accepted."""
    overwrite(argument, struct.pack(layout, *fields))


def overwrite(argument: int | bytearray, data: bytes) -> None:
    """Write bytes over the beginning of an argument, as many as it has room for."""
    if isinstance(argument, bytearray):
        argument[: len(data)] = data[: len(argument)]


def body(argument: int | bytearray, offset: int) -> bytes:
    """What follows the fixed part of an argument."""
    return bytes(argument[offset:]) if isinstance(argument, bytearray) else b""


def number_in(argument: int | bytearray) -> int:
    """An argument that is passed by value."""
    if isinstance(argument, bytearray):
        raise refusal(errno.EINVAL, "the argument is a number, not a structure")
    return argument
