"""What a TARGET of the command line names: a device, a group, or a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sdmtop.errors import NothingToDoError
from sdmtop.readers.groups import ONLY_BRIDGES, is_bridge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdmtop.model import Device, IommuGroup, MdevType, Sdmdev, Snapshot


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
    wanted = name.lower()
    for device in snapshot.devices:
        if device.address in (name, wanted, f"0000:{wanted}"):
            return device
    raise NothingToDoError(f"{name}: there is no such device, group or queue")


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
