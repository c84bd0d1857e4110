"""What a run has left behind: the host before it and after it, compared."""

from collections.abc import Collection, Iterator

from sdmtop.backends.base import Host
from sdmtop.differences import Change, changes
from sdmtop.model import Snapshot
from sdmtop.operations.settings import running
from sdmtop.selftests.records import Evidence
from sdmtop.timeline import say

_FIELDS = {
    "devices": ("driver", "driver_override", "group", "sriov"),
    "groups": ("domain_type",),
    "sdmdevs": (),
}
"""What stays as it is unless somebody changes it. Who holds what, for example, does not."""


def left_behind(
    host: Host, before: Snapshot, after: Snapshot, ours: Collection[str]
) -> tuple[list[Evidence], list[Evidence]]:
    """What is not as it was: of what the run had in its hands (`ours`, TARGETs), and elsewhere.

    Affinities are compared of devices of ours only, and only where no irqbalance moves them.
    """
    near: list[Evidence] = []
    far: list[Evidence] = []
    for change in changes(before, after, tuple(_FIELDS)):
        if evidence := _worded(change):
            (near if change.key in ours else far).append(evidence)
    if running(host, b"irqbalance") is None:
        near += _affinities(before, after, ours)
    return near, far


def in_reach(snapshot: Snapshot, targets: Collection[str]) -> frozenset[str]:
    """What a run over these targets may change: them, and all that is in a group with them."""
    groups = {
        device.group
        for device in snapshot.devices
        if device.address in targets and device.group is not None
    }
    devices = {device.address for device in snapshot.devices if device.group in groups}
    functions = {device.address for device in snapshot.devices if device.physfn in devices}
    return frozenset((*targets, *devices, *functions, *(f"group/{number}" for number in groups)))


def _worded(change: Change) -> Evidence | None:
    if change.field is None:
        words = ("there", "gone") if change.kind == "removed" else ("not there", "there")
        # A group comes and goes with what is in it.
        return None if change.part == "groups" else Evidence(change.key, *words)
    if change.field not in _FIELDS[change.part]:
        return None
    name = change.field.replace("domain_type", "domain type")
    return Evidence(f"{name} of {change.key}", say(change.old), say(change.new))


def _affinities(before: Snapshot, after: Snapshot, ours: Collection[str]) -> Iterator[Evidence]:
    """A line that was set up anew has another number perhaps, and the same handlers."""
    old, new = _by_handlers(before, ours), _by_handlers(after, ours)
    for (device, actions), affinity in old.items():
        found = new.get((device, actions), affinity)
        if found != affinity:
            yield Evidence(f"affinity of {device} ({', '.join(actions)})", affinity, found)


def _by_handlers(
    snapshot: Snapshot, ours: Collection[str]
) -> dict[tuple[str, tuple[str, ...]], str]:
    return {
        (row.device, row.actions): row.affinity
        for row in snapshot.interrupts
        if row.device in ours and row.affinity is not None and row.device is not None
    }
