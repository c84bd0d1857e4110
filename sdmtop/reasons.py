"""Why an operation cannot be begun on what is selected, as far as a snapshot tells.

This is what dims a key. What else stands against an operation, its plan says.
"""

from collections.abc import Collection

from sdmtop.conclusions import holders, untold_drivers
from sdmtop.model import Device, Sdmdev, Snapshot
from sdmtop.readers.groups import ONLY_BRIDGES, is_bridge, is_uio, is_vfio

_MDEVS = ("sdmdev", "mdev")


def not_to_attach(snapshot: Snapshot, target: str) -> str | None:
    """Why a target cannot be attached."""
    queue = _queue(snapshot, target)
    if queue is not None:
        return _held(snapshot, queue) if queue.kind in _MDEVS else None
    devices = devices_at(snapshot, target)
    if not devices:
        return f"{target} is no device, group or queue"
    why = _only_bridges(target, devices) or _untold(snapshot, devices)
    if why is not None:
        return why
    groups = {one.id: one for one in snapshot.groups}
    if all(
        device.driver is not None
        and is_vfio(device.driver)
        and (device.group not in groups or groups[device.group].viable is not False)
        for device in devices
    ):
        return f"{target} is attached already"
    return None


def not_to_detach(snapshot: Snapshot, target: str, kept: Collection[str] = ()) -> str | None:
    """Why a target cannot be detached; `kept` are the queues that this process holds itself."""
    queue = _queue(snapshot, target)
    if queue is not None:
        if target in kept or queue.holders is None:
            return None
        if not queue.holders:
            return f"{target} is held by nobody"
        return f"process {queue.holders[0]} holds it until it lets go"
    devices = devices_at(snapshot, target)
    if not devices:
        return f"{target} is no device, group or queue"
    untold = _untold(snapshot, devices)
    if untold is not None:
        return untold
    if len(devices) == 1 and devices[0].driver is None:
        return f"{target} has no driver"
    return None


def not_attached(snapshot: Snapshot, target: str, attached: Collection[str]) -> str | None:
    """Why there is nothing to give back of a target; None where that is not certain.

    `attached` is what the journal was known to have: another process may have added to it since.
    But an attach sets the override.
    """
    devices = devices_at(snapshot, target)
    queues = [one for one in snapshot.sdmdevs if target in (one.id, f"group/{one.group}")]
    if queues or not devices or not all(map(_is_the_kernels, devices)):
        return None
    overrides = {f"{one.path}/driver_override" for one in devices}
    if any(one.path in overrides for one in snapshot.unknown) or any(
        one.address in attached for one in devices
    ):
        return None
    return f"{target} is not attached"


def not_to_attach_to(snapshot: Snapshot, target: str) -> str | None:
    """Why a target cannot be given to a driver of choice."""
    if _queue(snapshot, target) is not None:
        return f"{target} is a queue: it is opened, and gets no driver"
    devices = devices_at(snapshot, target)
    if not devices:
        return f"{target} is no device or group"
    return _only_bridges(target, devices) or _untold(snapshot, devices)


def not_to_make_vfs(snapshot: Snapshot, target: str) -> str | None:
    """Why a target can have no virtual functions."""
    device = _pci_device(snapshot, target)
    if device is None or device.sriov is None:
        return f"{target} is no physical function with SR-IOV"
    return _untold(snapshot, [device])


def not_to_reset(snapshot: Snapshot, target: str) -> str | None:
    """Why a target cannot be reset."""
    device = _pci_device(snapshot, target)
    return _untold(snapshot, [device]) if device else f"{target} is no PCI device"


def not_to_steer(snapshot: Snapshot, target: str) -> str | None:
    """Why a target's interrupts cannot be sent to other CPUs."""
    if target.startswith("irq/"):
        known = any(f"irq/{one.irq}" == target for one in snapshot.interrupts)
        if known and target.removeprefix("irq/").isdecimal():
            return None
        return f"{target} is no interrupt that could come to other CPUs"
    if all(one.device != target for one in snapshot.interrupts):
        return f"{target} has no interrupts"
    return None


def not_to_set_domain_type(snapshot: Snapshot, target: str) -> str | None:
    """Why a target has no default domain that could be another."""
    known = group_of(snapshot, target) is not None
    return None if known else f"{target} is no group, and no device of one"


def group_of(snapshot: Snapshot, target: str) -> int | None:
    """The number of a group, or of the group of a device; None where there is none."""
    found = [one.group for one in devices_at(snapshot, target)]
    return found[0] if found else None


def not_to_create(snapshot: Snapshot, target: str) -> str | None:
    """Why nothing can be created on a target."""
    types = [one for one in snapshot.mdev_types if one.parent == target]
    if not types:
        return f"{target} offers no type of mediated device"
    if all(one.available_instances == 0 for one in types):
        return f"{target} has no instance left"
    return None


def not_to_remove(snapshot: Snapshot, target: str) -> str | None:
    """Why a target cannot be removed."""
    queue = _queue(snapshot, target)
    if queue is None or queue.kind not in _MDEVS:
        return f"{target} is no mediated device"
    return _held(snapshot, queue)


def _held(snapshot: Snapshot, queue: Sdmdev) -> str | None:
    pids = queue.holders or holders(snapshot).get(f"group/{queue.group}", ())
    names = {process.pid: process.name for process in snapshot.processes}
    return f"{names.get(pids[0]) or 'process'} {pids[0]} holds it" if pids else None


def _is_the_kernels(device: Device) -> bool:
    """Whether a device has a driver that serves no process, and that nobody has told it to have."""
    driver = device.driver or ""
    is_for_processes = is_vfio(driver) or is_uio(driver) or driver.startswith("uio")
    return not is_for_processes and driver != "pci-stub" and device.driver_override is None


def _only_bridges(target: str, devices: list[Device]) -> str | None:
    if not all(map(is_bridge, devices)):
        return None
    is_group = target.startswith("group/")
    return f"{target} has {ONLY_BRIDGES}" if is_group else f"{target} is a bridge"


def _untold(snapshot: Snapshot, devices: list[Device]) -> str | None:
    """Whatever would take the lock of such a device would wait behind its unbind."""
    reasons = untold_drivers(snapshot)
    return next(
        (f"{one.address}: {reasons[one.address]}" for one in devices if one.address in reasons),
        None,
    )


def _queue(snapshot: Snapshot, target: str) -> Sdmdev | None:
    return next((one for one in snapshot.sdmdevs if one.id == target), None)


def _pci_device(snapshot: Snapshot, target: str) -> Device | None:
    """The PCI device of this address; of a group none, though it has devices."""
    found = [one for one in devices_at(snapshot, target) if one.address == target]
    return found[0] if found and found[0].bus == "pci" else None


def devices_at(snapshot: Snapshot, target: str) -> list[Device]:
    """The device of an address, or those of a group; none for anything else."""
    kind, _, number = target.partition("/")
    if kind == "group":
        return [one for one in snapshot.devices if str(one.group) == number]
    return [one for one in snapshot.devices if one.address == target]
