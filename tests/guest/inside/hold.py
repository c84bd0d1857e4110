"""Holds a group of VFIO, as a driver in user space would.

Prints whether the group is viable, then `holding`, and holds until it is ended.
"""

import argparse
import ctypes
import fcntl
import mmap
import os
import signal
import struct

_SET_IOMMU = 0x3B66
_GET_STATUS = 0x3B67
_SET_CONTAINER = 0x3B68
_GET_DEVICE_FD = 0x3B6A
_TYPE1V2 = 3
_VIABLE = 1


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="hold")
    parser.add_argument("group", type=int)
    parser.add_argument("--device", help="open this device of the group, too")
    parser.add_argument("--only-mmap", action="store_true", help="keep a mapping and no descriptor")
    parser.add_argument("--only-status", action="store_true", help="hold nothing")
    options = parser.parse_args()
    group = os.open(f"/dev/vfio/{options.group}", os.O_RDWR)
    print("viable" if is_viable(group) else "not viable", flush=True)
    if options.only_status:
        return
    if options.device:
        container = os.open("/dev/vfio/vfio", os.O_RDWR)
        device = open_device(container, group, options.device)
        if options.only_mmap:
            map_first_page(device)
            for fd in (device, group, container):
                os.close(fd)
    print("holding", flush=True)
    signal.pause()


def is_viable(group: int) -> bool:
    """What the kernel itself says of a group."""
    status = bytearray(struct.pack("II", 8, 0))
    fcntl.ioctl(group, _GET_STATUS, status)
    return bool(struct.unpack("II", status)[1] & _VIABLE)


def open_device(container: int, group: int, name: str) -> int:
    """Claim a group, and open one of its devices."""
    fcntl.ioctl(group, _SET_CONTAINER, struct.pack("i", container))
    fcntl.ioctl(container, _SET_IOMMU, _TYPE1V2)
    # With an immutable buffer the number that the kernel returns would be lost.
    return int(fcntl.ioctl(group, _GET_DEVICE_FD, bytearray(name.encode() + b"\0")))


def map_first_page(device: int) -> None:
    """Map it for good; `mmap.mmap` would keep a descriptor of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
                          ctypes.c_int, ctypes.c_long)  # fmt: skip
    place = libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_SHARED, device, 0)
    if place == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")


if __name__ == "__main__":
    main()
