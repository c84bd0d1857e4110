"""What a TARGET of the command line names: a device, a group, or a queue."""

from __future__ import annotations

import errno
import os.path
from typing import TYPE_CHECKING, NamedTuple

from sdmtop.errors import NothingToDoError, UsageError
from sdmtop.readers.groups import ONLY_BRIDGES, is_bridge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdmtop.backends.base import Host
    from sdmtop.model import Device, IommuGroup, MdevType, Sdmdev, Snapshot

NETWORK = "/sys/class/net"

_LONGEST_INTERFACE = 15
"""IFNAMSIZ, without the zero at its end."""

_LEAST_OF_UUID = 8
"""Characters from which the beginning of a UUID may stand for it: its first part."""

_MOST_NAMED = 8
"""UUIDs that are told where several begin alike."""


class Targets(NamedTuple):
    """Devices and queues, each once, in the order in which they were named."""

    devices: tuple[Device, ...]
    queues: tuple[Sdmdev, ...]


def find_targets(snapshot: Snapshot, names: Sequence[str]) -> Targets:
    """The devices and queues of these TARGETs.

    A group is its queue, or all of its devices but bridges, which do not stand in VFIO's way.

    Raises `NothingToDoError` for a name that means nothing on this host, and where bridges are all
    that there is.
    """
    devices: dict[str, Device] = {}
    queues: dict[str, Sdmdev] = {}
    for name in names:
        kind, _, rest = name.partition("/")
        if kind == "group" and rest:
            group = find_group(snapshot, name)
            inside = [
                one for one in snapshot.sdmdevs if one.group == group.id and one.kind in MDEVS
            ]
            queues.update((one.id, one) for one in inside)
            devices.update(
                (one.address, one)
                for one in snapshot.devices
                if one.address in group.devices and not is_bridge(one)
            )
        elif queue := find_queue(snapshot, name):
            queues[queue.id] = queue
        else:
            device = find_device(snapshot, name)
            devices[device.address] = device
    if names and not devices and not queues:
        raise NothingToDoError(f"{', '.join(names)}: {ONLY_BRIDGES}")
    return Targets(tuple(devices.values()), tuple(queues.values()))


def meant(host: Host, snapshot: Snapshot, name: str) -> str:
    """The TARGET that a person means by a name, as the snapshot has it.

    That is a device by its address, its domain left out or not, or by its network interface; a
    queue by its name, or by the beginning of its UUID. Whatever is none of these comes back as it
    is: who looks for it says what it is not.

    Raises `NothingToDoError` for an interface that is no device's of the snapshot, `UsageError`
    for a beginning of several UUIDs, `OSError` where it could not be told.
    """
    if "/" in name:
        return name
    found = _device(snapshot, name)
    if found is not None:
        return found.address
    queue = find_queue(snapshot, name)
    if queue is not None:
        return queue.id
    return _behind(host, snapshot, name) or _begun(snapshot, name) or name


def _behind(host: Host, snapshot: Snapshot, name: str) -> str | None:
    """The address of the device that has this network interface; None: there is no such one."""
    if len(name) > _LONGEST_INTERFACE:
        return None
    try:
        link = host.readlink(f"{NETWORK}/{name}")
    except OSError as error:
        # EINVAL: what is there is no link, and no interface.
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL):
            return None
        raise
    # DEVICE/net/NAME; of virtio the device is below the one that has a driver of its own.
    path = os.path.dirname(os.path.dirname(os.path.normpath(f"{NETWORK}/{link}")))
    if os.path.basename(path).startswith("virtio"):
        path = os.path.dirname(path)
    if path == "/sys/devices/virtual":
        raise NothingToDoError(f"{name}: it is a virtual interface, which no device stands behind")
    above = [one for one in snapshot.devices if f"{path}/".startswith(f"{one.path}/")]
    nearest = max(above, key=lambda one: len(one.path), default=None)
    if nearest is not None and nearest.path == path:
        return nearest.address
    where = f", which is behind {nearest.address}" if nearest is not None else ""
    raise NothingToDoError(f"{name}: it is an interface of {os.path.basename(path)}{where}")


def _begun(snapshot: Snapshot, name: str) -> str | None:
    """The UUID that begins so; None where none does."""
    if len(name) < _LEAST_OF_UUID:
        return None
    begun = name.lower()
    found = [one.id for one in snapshot.sdmdevs if one.kind in MDEVS and one.id.startswith(begun)]
    if len(found) > 1:
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        raise UsageError(f"'{name}' may be {', '.join(found[:_MOST_NAMED])}{more}: say which")
    return found[0] if found else None


MDEVS = ("sdmdev", "mdev")
"""Kinds of queue that are created and removed, and have a group of their own."""


def find_group(snapshot: Snapshot, name: str) -> IommuGroup:
    """The group that `group/18` names. Raises `NothingToDoError`."""
    for group in snapshot.groups:
        if f"group/{group.id}" == name:
            return group
    raise NothingToDoError(f"{name}: there is no such group")


def find_device(snapshot: Snapshot, name: str) -> Device:
    """The device of an address, whose PCI domain may be left out. Raises `NothingToDoError`."""
    device = _device(snapshot, name)
    if device is None and (name.startswith("group/") or find_queue(snapshot, name) is not None):
        raise NothingToDoError(f"{name}: that is no device")
    if device is None:
        raise NothingToDoError(f"{name}: there is no such device, group, queue or interface")
    return device


def _device(snapshot: Snapshot, name: str) -> Device | None:
    wanted = name.lower()
    known = (name, wanted, f"0000:{wanted}")
    return next((one for one in snapshot.devices if one.address in known), None)


def find_queue(snapshot: Snapshot, name: str) -> Sdmdev | None:
    """The queue of a UUID (in any case of letters) or a name."""
    wanted = name.lower()
    return next((one for one in snapshot.sdmdevs if one.id in (name, wanted)), None)


def find_type(snapshot: Snapshot, name: str) -> MdevType:
    """The mdev type that `PARENT/TYPE` names. Raises `NothingToDoError`."""
    for type_ in snapshot.mdev_types:
        if name in (
            f"{type_.parent}/{type_.id}",
            f"{type_.parent.removeprefix('0000:')}/{type_.id}",
        ):
            return type_
    raise NothingToDoError(f"{name}: there is no such parent and type of mdev")
