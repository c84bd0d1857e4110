"""What follows from a Snapshot without being a field of it: who holds what, and what is stuck.

Each is concluded once for a snapshot, never for a line.
"""

from collections.abc import Iterator

from sdmtop.model import Snapshot, Unknown
from sdmtop.readers.holders import ANONYMOUS, CDEVS, MAPPED

STUCK = "stuck"
"""State of a device whose unbind has begun and waits for a holder to let go."""

UNTOLD = "?"
"""State of a device of which nobody can tell whether it has a driver."""

_GROUPS = "/dev/vfio/"
_UNTOLD_DRIVERS = "cannot tell the driver of "


def holders(snapshot: Snapshot) -> dict[str, tuple[int, ...]]:
    """The pids behind `group/N` and behind each device that is known to be open by itself."""
    found: dict[str, set[int]] = {}
    for process in snapshot.processes:
        for what in process.holds:
            for key in _held(what):
                found.setdefault(key, set()).add(process.pid)
    opened = {key for key in found if not key.startswith("group/")}
    if opened:
        for group in snapshot.groups:
            for address in opened.intersection(group.devices):
                found.setdefault(f"group/{group.id}", set()).update(found[address])
    return {key: tuple(sorted(pids)) for key, pids in found.items()}


def _held(what: str) -> Iterator[str]:
    """The TARGET that one string of `Process.holds` is about."""
    node, _, device = what.replace(MAPPED, "").partition(" ")
    if node.startswith(CDEVS) or node == ANONYMOUS:
        if device:
            yield device
    elif node.startswith(_GROUPS):
        number = node.removeprefix(_GROUPS).removeprefix("noiommu-")
        if number.isdecimal():
            yield f"group/{number}"


def blindness(snapshot: Snapshot) -> Unknown | None:
    """Why it cannot be told that nobody holds a thing; None where it can."""
    for entry in snapshot.unknown:
        if entry.path in ("/proc/*/fd", "/proc/*/maps", "/proc"):
            return entry
    return None


def states(snapshot: Snapshot) -> dict[str, str]:
    """Devices without a driver that are more than unbound: `STUCK` or `UNTOLD`."""
    errnos = {
        entry.path: entry.errno for entry in snapshot.unknown if entry.path.endswith("/driver")
    }
    # Of many failures of a kind `unknown` has only the count; the group names each device.
    untold = {
        address
        for group in snapshot.groups
        if group.viable is None and (group.viability_reason or "").startswith(_UNTOLD_DRIVERS)
        for address in (group.viability_reason or "").removeprefix(_UNTOLD_DRIVERS).split(", ")
    }
    if not errnos and not untold:
        return {}
    found = {}
    for device in snapshot.devices:
        if device.driver is None:
            errno = errnos.get(f"{device.path}/driver")
            if errno is not None or device.address in untold:
                found[device.address] = STUCK if errno == "EBUSY" else UNTOLD
    return found


def untold_drivers(snapshot: Snapshot) -> dict[str, str]:
    """Why nobody can tell whether these devices have a driver, and whom an unbind waits for."""
    found = states(snapshot)
    if not found:
        return {}
    held = holders(snapshot)
    names = {process.pid: process.name for process in snapshot.processes}
    reasons = {}
    for device in snapshot.devices:
        state = found.get(device.address)
        if state == STUCK:
            of_queues = (
                one.holders or () for one in snapshot.sdmdevs if one.parent == device.address
            )
            through = (held.get(device.address, ()), held.get(f"group/{device.group}", ()))
            pids = sorted(set().union(*through, *of_queues))
            who = ", ".join(f"{names.get(pid) or 'process'} {pid}" for pid in pids)
            by = f", held by {who}" if who else ""
            reasons[device.address] = f"an unbind of it is under way{by}"
        elif state is not None:
            reasons[device.address] = "its driver cannot be told"
    return reasons
