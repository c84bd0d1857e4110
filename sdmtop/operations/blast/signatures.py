"""What a disk or partition holds that nobody uses now: signatures in its first and last blocks.

Offsets and magic numbers are those of the file systems' own headers, and of libblkid.
"""

import errno
import os

from sdmtop.model import Record
from sdmtop.operations.blast.survey import Survey
from sdmtop.readers.sysfs import number
from sdmtop.text import fact, line

HEAD = 256 * 1024
"""Bytes read at the start, and at the end: the first ZFS label is as long."""

_KIB = 1024
_SECTOR = 512
_AWAKE = ("active", "unsupported")

# (what, offset, bytes)
_MAGICS = (
    ("crypto_LUKS", 0, b"LUKS\xba\xbe"),
    ("xfs", 0, b"XFSB"),
    ("squashfs", 0, b"hsqs"),
    ("ceph_bluestore", 0, b"bluestore block device"),
    ("ntfs", 3, b"NTFS    "),
    ("exfat", 3, b"EXFAT   "),
    ("vfat", 54, b"FAT1"),
    ("vfat", 82, b"FAT32   "),
    *(("LVM2_member", sector * _SECTOR, b"LABELONE") for sector in range(4)),
    ("f2fs", _KIB, b"\x10\x20\xf5\xf2"),
    ("ext2/3/4", _KIB + 56, b"\x53\xef"),
    ("linux_raid_member", 0, b"\xfc\x4e\x2b\xa9"),
    ("linux_raid_member", 4 * _KIB, b"\xfc\x4e\x2b\xa9"),
    ("bcache", 4 * _KIB + 24, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")),
    ("iso9660", 32 * _KIB + 1, b"CD001"),
    ("btrfs", 64 * _KIB + 64, b"_BHRfS_M"),
    *(
        ("swap", page - 10, magic)
        for page in (4 * _KIB, 16 * _KIB, 64 * _KIB)
        for magic in (b"SWAPSPACE2", b"SWAP-SPACE", b"S1SUSPEND\0")
    ),
    ("partition table", _SECTOR, b"EFI PART"),
    ("partition table", 4 * _KIB, b"EFI PART"),
    ("partition table", 510, b"\x55\xaa"),
)
_RAID = b"\xfc\x4e\x2b\xa9"
_ZFS_LABEL = 16 * _KIB
_ZFS_HEADS = (b"\x01\x01\x00\x00", b"\x01\x00\x00\x00")
"""How a name-value list begins (include/sys/nvpair.h): XDR, or native, of little-endian hosts."""


class Content(Record, frozen=True):
    """What is on a block device: `type` in libblkid's words, None for what could not be told.

    `type` is empty where all that was read is zero. `pool` is the name in a ZFS label. `source`
    is where it was read.
    """

    type: str | None
    source: str
    pool: str | None = None


def read_content(survey: Survey, source: str, name: str, path: str) -> Content | None:
    """What a block device holds: from its blocks, else from udev; None, and a doubt, if from none.

    A device that sleeps is not woken for it.
    """
    size, rdev = _size(survey, source, path), survey.rdev(source, path)
    if size == 0:
        return Content("", f"{path}/size")  # A drive without a medium.
    node = f"/dev/{name.replace('!', '/')}"
    told = _udev(survey, rdev)
    found = None
    if _sleeps(survey, source, path):
        survey.say_doubt(source, f"{fact(node)} sleeps, and is not woken for this")
    else:
        try:
            found = _probe(survey, node, rdev, size)
        except OSError as error:
            if told is None:
                survey.doubt(source, node, error)
    return found if found is not None and found.type else told or found


def identify(head: bytes, tail: bytes) -> str | None:
    """The type that the first and last bytes of a device tell; empty for zeros, None for unknown.

    `tail` is what precedes the end, up to `HEAD` bytes; any bytes will do.
    """
    for type_, offset, magic in _MAGICS:
        if head.startswith(magic, offset):
            return type_
    if is_zfs(head):
        return "zfs_member"
    if _has_old_raid(tail):
        return "linux_raid_member"
    return None if head.strip(b"\0") or tail.strip(b"\0") else ""


def is_zfs(head: bytes) -> bool:
    """Whether there is a ZFS label: a list of names and values 16 KiB after the start."""
    label = head[_ZFS_LABEL : _ZFS_LABEL + 4 * _KIB]
    return label.startswith(_ZFS_HEADS) and b"version" in label[:64] and b"guid" in label


def pool_name(head: bytes) -> str | None:
    """The name of the pool in an XDR-coded ZFS label; that of a spare or cache has none."""
    label = head[_ZFS_LABEL : _ZFS_LABEL + 4 * _KIB]
    # Length of the key, key, type 9 (string), one element, length of the text, text.
    key = b"\0\0\0\x04name\0\0\0\x09\0\0\0\x01"
    start = label.find(key)
    if start < 0:
        return None
    start += len(key) + 4
    length = int.from_bytes(label[start - 4 : start], "big")
    return fact(label[start : start + length]) if 0 < length < 256 else None


def _has_old_raid(tail: bytes) -> bool:
    """An md superblock of version 1.0 (8 to 12 KiB before the end) or 0.90 (64 to 128 KiB)."""
    return any(
        tail.startswith(_RAID, len(tail) - place)
        for nearest, farthest in ((8, 12), (64, 128))
        for place in range(nearest * _KIB, farthest * _KIB, _SECTOR)
        if place <= len(tail)
    )


def _probe(survey: Survey, node: str, rdev: int | None, size: int | None) -> Content:
    """What the blocks say; raises `OSError` if they cannot be read."""
    if rdev is None or survey.host.device_number(node) != rdev:
        raise OSError(errno.ENXIO, "the node is of another device", node)
    head = survey.host.read_at(node, 0, HEAD)
    tail = survey.host.read_at(node, max(0, size - HEAD), HEAD) if size else b""
    if not head:
        raise OSError(errno.ENOMEDIUM, "it reads as nothing", node)
    return Content(identify(head, tail), node, pool_name(head) if is_zfs(head) else None)


def _udev(survey: Survey, rdev: int | None) -> Content | None:
    """What udev found when the device came; it stays quiet about what it did not know."""
    if rdev is None:
        return None
    path = f"/run/udev/data/b{os.major(rdev)}:{os.minor(rdev)}"
    try:
        text = survey.host.read(path)
    except OSError:
        return None  # The second source: without it, what the first tells or does not, counts.
    for key in (b"E:ID_FS_TYPE=", b"E:ID_PART_TABLE_TYPE="):
        for row in text.split(b"\n"):
            if row.startswith(key) and (value := line(row[len(key) :])):
                return Content(value if b"FS" in key else "partition table", path)
    return None


def _size(survey: Survey, source: str, path: str) -> int | None:
    sectors = number(survey.look(source, path, "size")[0] or b"")
    return None if sectors is None else sectors * _SECTOR


def _sleeps(survey: Survey, source: str, path: str) -> bool:
    status = survey.look(source, f"{path}/device/power", "runtime_status")[0]
    return status is not None and status.decode("ascii", "replace") not in _AWAKE
