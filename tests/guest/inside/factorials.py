"""Uses an sdmdev queue as the RFC has it: write n, WAIT for the interrupt, read n!.

Prints each factorial that the queue has computed, one a line.
"""

import fcntl
import mmap
import os
import struct
import sys

from tests.guest.inside.hold import open_device

_WAIT = 0x5701
"""`_IO('W', 1)`; its argument is a time limit in milliseconds."""


def main() -> None:
    """Arguments: group, UUID, then the numbers."""
    group, uuid, *numbers = sys.argv[1:]
    device = open_device(
        os.open("/dev/vfio/vfio", os.O_RDWR), os.open(f"/dev/vfio/{group}", os.O_RDWR), uuid
    )
    page = mmap.mmap(device, mmap.PAGESIZE)
    for number in map(int, numbers):
        os.pwrite(device, struct.pack("I", number), 0)
        fcntl.ioctl(device, _WAIT, 10_000)
        asked, result = struct.unpack_from("II", page)
        print(f"{asked}! = {result}", flush=True)


if __name__ == "__main__":
    main()
