"""The nodes through which a process can hold a device or a group.

Sources: the class directories of vfio, vfio-dev, misc (vfio, iommu) and uacce, and the bus of IDXD,
whose `dev` attribute is the node's number.
"""

import errno
import os

from sdmtop.backends.base import Host
from sdmtop.model import Record
from sdmtop.readers.sysfs import index, names, target
from sdmtop.readers.unknowns import Unknowns
from sdmtop.text import fact

# (directory of devices, directory of the nodes, what a node there is)
_CLASSES = (
    ("/sys/class/vfio", "/dev/vfio", "group"),
    ("/sys/class/vfio-dev", "/dev/vfio/devices", "cdev"),
    ("/sys/class/uacce", "/dev", "uacce"),
    ("/sys/bus/dsa/devices", "/dev", "idxd"),
)
_MISC = (("/sys/class/misc/vfio", "/dev/vfio/vfio", "container"),
         ("/sys/class/misc/iommu", "/dev/iommu", "iommufd"))  # fmt: skip
_NOIOMMU = "noiommu-"


class Node(Record, frozen=True):
    """A node in /dev: `group` or `device` (address, UUID, queue) that it gives access to.

    `number` is `st_rdev`, None where sysfs does not tell it.
    """

    path: str
    kind: str
    group: int | None
    device: str | None
    number: int | None


def read_nodes(host: Host, unknowns: Unknowns) -> tuple[Node, ...]:
    """Every node that exists now, by path."""
    found = []
    for directory, place, kind in _CLASSES:
        try:
            entries = names(host, directory)
        except OSError as error:
            unknowns.note(directory, error, "nodes through which devices are held")
            continue
        for name in entries:
            if kind == "idxd" and "!" not in name:
                continue  # A device, or the queue itself: its node is named dsa!wq0.1.
            number = _number(host, unknowns, f"{directory}/{name}/dev")
            if kind == "cdev" and number is None:
                continue  # The kernel has the class, but was built without the cdev.
            group = index(name.removeprefix(_NOIOMMU))
            found.append(
                Node(
                    path=fact(f"{place}/{name.replace('!', '/')}"),
                    kind="noiommu-group" if name.startswith(_NOIOMMU) else kind,
                    group=group if kind == "group" else None,
                    device=_device(host, unknowns, f"{directory}/{name}", kind),
                    number=number,
                )
            )
    for directory, path, kind in _MISC:
        number = _number(host, unknowns, f"{directory}/dev")
        if number is not None:
            found.append(Node(path=path, kind=kind, group=None, device=None, number=number))
    return tuple(sorted(found, key=lambda node: node.path))


def _number(host: Host, unknowns: Unknowns, path: str) -> int | None:
    """`major:minor` of a `dev` attribute as one number."""
    try:
        major, _, minor = host.read(path, 64).strip().partition(b":")
        if major.isdigit() and minor.isdigit():
            return os.makedev(int(major), int(minor))
    except OSError as error:
        unknowns.note_failure(path, error, "number of a node")
        return None
    except (ValueError, OverflowError):
        pass  # More digits than a number of a node can have.
    unknowns.note(path, OSError(errno.EINVAL, "not major:minor"), "number of a node")
    return None


def _device(host: Host, unknowns: Unknowns, path: str, kind: str) -> str | None:
    """Whom the node belongs to: a cdev's device, or the queue itself."""
    name = path[path.rfind("/") + 1 :]
    if kind == "group":
        return None
    if kind != "cdev":
        return fact(name.rpartition("!")[2])
    try:
        # .../<device>/vfio-dev/vfioN
        return fact(target(host, path).split("/")[-3])
    except (OSError, IndexError) as error:
        if isinstance(error, OSError):
            unknowns.note_failure(path, error, "device of a cdev")
        return None
