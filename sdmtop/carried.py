"""What a capture takes of what devices carry, so that a blast radius can be told from it.

Names, numbers and states; of tables only the lines and words that are needed. No content of any
disk, no label, no serial number, no connection.
"""

from sdmtop.model import Record

TABLES = ("/proc/swaps", "/proc/crypto", "/proc/net/route", "/proc/net/ipv6_route")

SYSTEMS = ("ext4", "xfs", "f2fs")
"""File systems with a directory in /sys/fs for each block device that one is mounted from."""

POOLS = "/proc/spl/kstat/zfs"
INPUTS = "/proc/bus/input/devices"

_INPUT_FIELDS = (b"N: ", b"S: ", b"H: ", b"B: EV=")
_UDEV_FIELDS = (b"E:ID_FS_TYPE=", b"E:ID_PART_TABLE_TYPE=")
_MOUNT_OPTIONS = (
    b"addr=",
    b"ip=",
    b"mon_addr=",
    b"upperdir=",
    b"lowerdir=",
    b"lowerdir+=",
    b"datadir+=",
)


class Taken(Record, frozen=True):
    """Of a device's directory: these files, and the links whose names begin so."""

    files: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


PARTS = {
    "block": Taken(
        (
            "dev",
            "size",
            "hidden",
            "dm/name",
            "dm/uuid",
            "md/level",
            "loop/backing_file",
            "backing_dev",
            "ana_state",
            "netif",
        )
    ),
    "net": Taken(("flags", "uevent", "operstate"), ("lower_", "upper_", "device")),
    "nvme": Taken(("state", "transport", "address")),
    "nvme-subsystem": Taken(links=("nvme",)),
    "drm": Taken(("status",)),
    "vtconsole": Taken(("bind", "name")),
    "tty": Taken(("active",)),
    "watchdog": Taken(("state",)),
    "dma": Taken(("in_use",)),
    "iscsi_connection": Taken(("address",)),
    "devlink": Taken(("status", "sync_state_only"), ("consumer",)),
}
"""Class -> what is taken of each of its devices; of other classes only which devices there are."""

COMMON_NODES = (
    b"/dev/null",
    b"/dev/zero",
    b"/dev/pts/",
    b"/dev/shm/",
    b"/dev/urandom",
    b"/dev/ptmx",
)
"""Nodes that belong to no device, and that every process has."""

VIRTIO = Taken(("mount_tag",), ("driver",))


def mounts(text: bytes) -> bytes:
    """`mountinfo` with no other options than those that name a device, a server or a layer."""
    return b"".join(_mount(line) for line in text.splitlines(keepends=True))


def inputs(text: bytes) -> bytes:
    """`/proc/bus/input/devices` without addresses and serial numbers."""
    return _only(text, _INPUT_FIELDS, keep_blank=True)


def udev(text: bytes) -> bytes:
    """What udev found on a disk, without labels and identifiers."""
    return _only(text, _UDEV_FIELDS)


def _only(text: bytes, fields: tuple[bytes, ...], *, keep_blank: bool = False) -> bytes:
    lines = text.splitlines(keepends=True)
    return b"".join(
        line for line in lines if line.startswith(fields) or (keep_blank and not line.strip())
    )


def _mount(line: bytes) -> bytes:
    head, dash, tail = line.rstrip(b"\n").partition(b" - ")
    words = tail.split(b" ")
    if not dash or len(words) != 3:
        return b""
    options = [
        option
        for option in words[2].split(b",")
        if option.startswith(_MOUNT_OPTIONS) or b"=/dev/" in option
    ]
    return b" ".join((head, b"-", *words[:2], b",".join(options) or b"-")) + b"\n"
