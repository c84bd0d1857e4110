"""Holds a VFIO device through its own node and iommufd, as QEMU does today.

Prints how far it has come, one step a line, then `holding`, and holds until it is ended.
"""

import argparse
import fcntl
import os
import signal
import struct

from tests.guest.inside.hold import map_first_page

# include/uapi/linux/vfio.h and iommufd.h: `_IO(';', 100 + n)`, `_IO(';', 0x80 + n)`.
_BIND_IOMMUFD = 0x3B76
_ATTACH_IOMMUFD_PT = 0x3B77
_IOAS_ALLOC = 0x3B81


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="hold_cdev")
    parser.add_argument("node", help="/dev/vfio/devices/vfioN")
    parser.add_argument("--bind", action="store_true", help="claim it for an iommufd")
    parser.add_argument("--attach", action="store_true", help="and attach it to an address space")
    parser.add_argument("--only-mmap", action="store_true", help="keep a mapping and no descriptor")
    options = parser.parse_args()
    device = os.open(options.node, os.O_RDWR)
    print("open", flush=True)
    if options.bind or options.attach or options.only_mmap:
        iommufd = os.open("/dev/iommu", os.O_RDWR)
        fcntl.ioctl(device, _BIND_IOMMUFD, bytearray(struct.pack("IIiI", 16, 0, iommufd, 0)))
        print("bound", flush=True)
    if options.attach:
        space = bytearray(struct.pack("III", 12, 0, 0))
        fcntl.ioctl(iommufd, _IOAS_ALLOC, space)
        (number,) = struct.unpack_from("I", space, 8)
        fcntl.ioctl(device, _ATTACH_IOMMUFD_PT, bytearray(struct.pack("III", 12, 0, number)))
        print("attached", flush=True)
    if options.only_mmap:
        map_first_page(device)
        os.close(device)
        os.close(iommufd)
    print("holding", flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
