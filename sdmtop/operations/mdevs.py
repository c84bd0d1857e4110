"""`create` and `remove`: mediated devices, as `mdevctl start` and `stop` make and unmake them."""

from __future__ import annotations

import uuid as uuids
from typing import TYPE_CHECKING

from sdmtop.errors import NothingToDoError, RefusedError, UsageError
from sdmtop.operations import equivalents
from sdmtop.operations.draft import Draft
from sdmtop.operations.plan import Fact, Write
from sdmtop.operations.targets import MDEVS, find_device, find_queue, find_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sdmtop.backends.base import Host
    from sdmtop.model import Device, MdevType, Sdmdev, Snapshot
    from sdmtop.operations.plan import Plan

BUS = "/sys/bus/mdev/devices"


def plan_create(host: Host, snapshot: Snapshot, name: str, uuid: str | None = None) -> Plan:
    """The plan that makes an mdev of `PARENT/TYPE`, with this UUID or a new one.

    `UsageError` for what is no UUID; `NothingToDoError` where it is there already.
    """
    type_ = find_type(snapshot, name)
    chosen = _parse(uuid) if uuid is not None else str(uuids.uuid4())
    queue = find_queue(snapshot, chosen)
    if queue is not None:
        if (queue.parent, queue.type) == (type_.parent, type_.id):
            raise NothingToDoError(f"{chosen}: it is there already")
        raise RefusedError(f"{chosen}: this UUID is that of an mdev of {queue.parent}")
    parent = _parent(snapshot, type_.parent)
    draft = Draft(host, snapshot, "create")
    draft.target(f"{type_.parent}/{type_.id}")
    draft.lock_device(parent)
    draft.identify_device(parent)
    _create_step(draft, parent, type_, chosen)
    draft.note("not persistent: `mdevctl define` would keep it over a reboot")
    return draft.finish(f"sdmtop create {name} --uuid {chosen}")


def plan_remove(host: Host, snapshot: Snapshot, names: Sequence[str]) -> Plan:
    """The plan that removes mdevs. Raises `RefusedError` for queues of another kind."""
    draft = Draft(host, snapshot, "remove")
    queues: list[Sdmdev] = []
    for name in names:
        queue = find_queue(snapshot, name)
        if queue is None:
            raise NothingToDoError(f"{name}: there is no such mdev")
        if queue.kind not in MDEVS:
            raise RefusedError(f"{name}: a queue of {queue.kind} is not created, nor removed")
        draft.target(queue.id)
        queues.append(queue)
    for queue in last_group_first(queues):
        removal_steps(draft, queue)
    return draft.finish(f"sdmtop remove {' '.join(names)}")


def last_group_first(queues: Iterable[Sdmdev]) -> list[Sdmdev]:
    """The order in which mdevs are removed.

    Undone, they are made again from the last to the first. The kernel gives each the lowest number
    of a group that is free: so it is the one that it had.
    """
    return sorted(queues, key=lambda one: -1 if one.group is None else one.group, reverse=True)


def removal_steps(draft: Draft, queue: Sdmdev) -> None:
    """Remove an mdev, unless an earlier step does."""
    if queue.id in draft.gone:
        return
    draft.gone.add(queue.id)
    snapshot = draft.snapshot
    parent = _parent(snapshot, queue.parent)
    draft.lock_device(parent)
    path = f"{parent.path}/{queue.id}"
    type_ = next(
        (
            one
            for one in snapshot.mdev_types
            if (one.parent, one.id) == (parent.address, queue.type)
        ),
        None,
    )
    if type_ is None:
        draft.refuse(queue.id, "its type cannot be told, so it could not be made again", path)
        return
    step = draft.step(
        parent.address,
        f"remove {queue.id} of {parent.address}",
        Write(f"{path}/remove", "1"),
        before=_facts(path, queue.id, type_.id),
        after=_facts(path, queue.id, None),
        inverse=Write(f"{_directory(parent, type_.id)}/create", queue.id),
        inverse_title=f"make {queue.id} of type {type_.id} again",
    )
    draft.equivalent(equivalents.remove(queue.id), step)


def _create_step(draft: Draft, parent: Device, type_: MdevType, uuid: str) -> None:
    path = f"{parent.path}/{uuid}"
    step = draft.step(
        parent.address,
        f"make {uuid} of type {type_.id} on {parent.address}",
        Write(f"{_directory(parent, type_.id)}/create", uuid),
        before=_facts(path, uuid, None),
        after=_facts(path, uuid, type_.id),
        inverse=Write(f"{path}/remove", "1"),
        inverse_title=f"remove {uuid}",
    )
    draft.equivalent(equivalents.create(uuid, parent.address, type_.id), step)


def _facts(path: str, uuid: str, type_id: str | None) -> tuple[Fact, ...]:
    """An mdev of this type, on its bus and below its parent; None: there is none at all."""
    there = None if type_id is None else "yes"
    return (
        Fact("exists", f"{BUS}/{uuid}", there),
        Fact("exists", path, there),
        Fact("link", f"{path}/mdev_type", type_id),
    )


def _directory(parent: Device, type_id: str) -> str:
    return f"{parent.path}/mdev_supported_types/{type_id}"


def _parent(snapshot: Snapshot, name: str | None) -> Device:
    if name is None:
        raise RefusedError("its parent cannot be told")
    return find_device(snapshot, name)


def _parse(text: str) -> str:
    """A UUID in the one spelling that the kernel uses."""
    try:
        uuid = str(uuids.UUID(text))
    except ValueError:
        raise UsageError(f"{text} is no UUID") from None
    if text.lower() != uuid:
        raise UsageError(f"{text} is no UUID as the kernel wants it: {uuid}")
    return uuid
