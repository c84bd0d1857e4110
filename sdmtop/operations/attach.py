"""`attach`: give devices to VFIO or to a driver of choice, with what their groups need for it.

A device changes its driver in three steps: unbind, override, bind. Modules are loaded before that:
for a driver that cannot be had, none is taken away. All devices of a plan are unbound before the
first gets its override. In this order a step that hangs (unbind) has changed nothing else yet, and
undone from the last to the first each of them finds what it needs: the old override is back before
the old driver binds.
"""

from __future__ import annotations

from shlex import join, quote
from typing import TYPE_CHECKING, NamedTuple

from sdmtop.conclusions import states, untold_drivers
from sdmtop.errors import NothingToDoError, RefusedError, UsageError
from sdmtop.operations import equivalents
from sdmtop.operations.draft import Draft
from sdmtop.operations.facts import now
from sdmtop.operations.hold import hold_steps
from sdmtop.operations.mdevs import last_group_first, removal_steps
from sdmtop.operations.plan import Fact, Load, Step, Write
from sdmtop.operations.settings import sriov_steps
from sdmtop.operations.targets import MDEVS, find_targets
from sdmtop.readers.groups import TRANSLATING, is_uio, is_vfio, uses_dma
from sdmtop.readers.idxd import is_configured
from sdmtop.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sdmtop.backends.base import Host
    from sdmtop.model import Device, Sdmdev, Snapshot
    from sdmtop.operations.kept import Kept
    from sdmtop.operations.plan import Plan

DRIVERS = {"pci": "vfio-pci", "platform": "vfio-platform", "amba": "vfio-amba", "cdx": "vfio-cdx"}
"""What hands devices of a bus to processes, unless the operator chooses another."""

NO_OVERRIDE = "(null)"
"""`driver_override` where none is set; a lone newline sets it so."""


class _Freed(NamedTuple):
    """A device that gets a driver, and the step that takes it from the one it had."""

    device: Device
    driver: str
    unbind: tuple[Step, ...]


def plan_attach(
    host: Host,
    snapshot: Snapshot,
    names: Sequence[str],
    *,
    driver: str | None = None,
    only: bool = False,
    kept: Kept | None = None,
) -> Plan:
    """The plan that attaches these TARGETs.

    `driver` is bound instead of the bus's VFIO driver; queues have none. Devices of the group
    that stand in the way are attached as well, or with `only` just unbound. `kept` is what this
    process holds.

    Raises `UsageError` for what no driver can be called, `NothingToDoError` where all is so
    already, `RefusedError` for what no plan can do, `OSError` for a fact that is needed and cannot
    be read.
    """
    if driver is not None:
        _check_name(driver)
    targets = find_targets(snapshot, names)
    draft = Draft(host, snapshot, "attach")
    for device in targets.devices:
        draft.target(device.address)
    for queue in targets.queues:
        draft.target(queue.id)
        if driver is not None:
            raise RefusedError(f"{queue.id}: a queue is opened, it gets no driver")
        hold_steps(draft, queue, kept)
    first = len(draft.steps)
    all_freed = tuple(_free_all(draft, targets.devices, driver, only=only))
    unbinds = draft.steps[first:]
    del draft.steps[first:]
    # A driver that cannot be had is no reason to take one away.
    for freed in all_freed:
        _load(draft, freed.device, freed.driver)
    draft.steps += unbinds
    for freed in all_freed:
        _bind(draft, freed)
    for queue in targets.queues:
        if queue.id not in draft.gone:
            _refuse_without_parent(draft, queue)
    if not draft.steps:
        what = ", ".join(names)
        raise NothingToDoError(f"{what}: attached already")
    options = (f" --driver {quote(driver)}" if driver else "") + (" --only" if only else "")
    return draft.finish(f"sdmtop attach {join(names)}{options}")


def _free_all(
    draft: Draft, devices: Sequence[Device], driver: str | None, *, only: bool
) -> Iterator[_Freed]:
    """Take devices from their drivers, and what stands in their way in their groups."""
    named = {device.address for device in devices}
    for device in devices:
        chosen = driver or DRIVERS.get(device.bus or "")
        if chosen is None:
            raise RefusedError(
                f"{device.address}: which driver? bus {device.bus} has none for VFIO"
            )
        yield from _free(draft, device, chosen)
        if is_vfio(chosen):
            for sibling in _siblings(draft.snapshot, device):
                if sibling.address not in named:
                    named.add(sibling.address)
                    yield from _decide(draft, sibling, device.address, only=only)


def _check_name(driver: str) -> None:
    """It becomes part of paths, and an argument of modprobe: it must not lead anywhere else."""
    if (
        driver in ("", ".", "..")
        or "/" in driver
        or driver.startswith("-")
        or printable(driver) != driver
    ):
        raise UsageError(
            f"'{driver}' is no name of a driver: name one such as vfio-pci, as it is called in "
            "/sys/bus/pci/drivers"
        )
    spelled = driver.replace("_", "-")
    if spelled != driver and spelled in DRIVERS.values():
        raise UsageError(f"{driver} is the name of a module: its driver is called {spelled}")


def _refuse_without_parent(draft: Draft, queue: Sdmdev) -> None:
    """A queue that is opened, while its parent loses the driver that serves it."""
    parent = queue.parent
    if parent in draft.gone or any(step.subject == parent for step in draft.steps):
        draft.refuse(
            queue.id,
            f"another step of this plan takes {parent}, whose queue it is, from its driver: name "
            "either it or the device",
        )


def _decide(draft: Draft, device: Device, target: str, *, only: bool) -> Iterator[_Freed]:
    """What becomes of a device in the group of a target; itself, if it gets a driver as well."""
    if device.address in draft.gone:
        draft.decide(device.address, f"goes: it is a VF of {device.physfn}")
        return
    draft.identify_device(device)
    untold = untold_drivers(draft.snapshot).get(device.address)
    if untold is not None:
        draft.decide(device.address, f"kept as it is: {untold}")
        sentence = f"cannot tell whether it keeps the group not viable: {untold}"
        draft.verdict("unknown", device.address, sentence, f"{device.path}/driver")
    elif device.driver is None:
        draft.decide(device.address, "kept as it is: it has no driver")
    elif not uses_dma(device.driver):
        draft.decide(device.address, f"kept as it is: {device.driver} does not stand in the way")
    elif only:
        draft.decide(device.address, f"loses {device.driver}, or {target} cannot be used")
        unbind_steps(draft, device)
        draft.note(
            f"{device.address} stays without a driver until something binds one; then group "
            f"{device.group} is not viable any more"
        )
    else:
        draft.decide(
            device.address, f"attached as well: {device.driver} would keep the group not viable"
        )
        yield from _free(draft, device, DRIVERS.get(device.bus or "", "vfio-pci"))


def _free(draft: Draft, device: Device, driver: str) -> Iterator[_Freed]:
    """Take a device from its driver, for another; no steps if it has that one."""
    draft.identify_device(device)
    draft.lock_device(device)
    if device.driver != driver:
        yield _Freed(device, driver, unbind_steps(draft, device))


def _bind(draft: Draft, freed: _Freed) -> None:
    """Give a device to its new driver."""
    device, driver, unbind = freed
    path, bus = device.path, device.bus
    drivers = f"/sys/bus/{bus}/drivers"
    first = len(draft.steps)
    if device.address not in states(draft.snapshot):  # Its lock is taken, and all is refused.
        _override(draft, device, driver)
    draft.step(
        device.address,
        f"bind {device.address} to {driver}",
        Write(f"{drivers}/{driver}/bind", device.address),
        before=(Fact("link", f"{path}/driver", None),),
        after=(Fact("link", f"{path}/driver", driver),),
        inverse=Write(f"{drivers}/{driver}/unbind", device.address),
        inverse_title=f"unbind {device.address} from {driver}",
    )
    _note_driver(draft, device, driver)
    for command in equivalents.rebind(device, driver):
        draft.equivalent(command, *unbind, *draft.steps[first:])
    keeps = f"driverctl{equivalents.of_bus(device)} set-override"
    draft.note(f"not persistent: a reboot undoes it (`{keeps}` would keep it)")


def _note_driver(draft: Draft, device: Device, driver: str) -> None:
    """What an operator may not know of a driver that was chosen instead of VFIO's."""
    if is_vfio(driver):
        return
    if is_uio(driver):
        types = {group.id: group.domain_type for group in draft.snapshot.groups}
        if device.group is not None and types.get(device.group) in TRANSLATING:
            draft.note(
                f"by {driver} a process knows physical addresses only, and in a translated group "
                f"they fault: `sdmtop domain-type group/{device.group} identity` first, or vfio-pci"
            )
        return
    ids = device.vendor, device.device
    if not any((one.vendor, one.device, one.driver) == (*ids, driver)
               for one in draft.snapshot.devices):  # fmt: skip
        draft.note(
            f"{driver} has to take {device.address} by its override, whether or not it knows such "
            "a device: none with these ids has it here"
        )


def _override(draft: Draft, device: Device, driver: str) -> None:
    """Have the bus bind no other driver to the device."""
    override = now(draft.host, "text", f"{device.path}/driver_override")
    if override.value is None:
        draft.refuse(device.address, f"bus {device.bus} has no driver_override on this kernel")
    elif override.value != driver:
        title = f"let only {driver} bind to {device.address}"
        override_step(draft, device, override, driver, title)


def override_step(draft: Draft, device: Device, override: Fact, value: str, title: str) -> Step:
    """Set the override of a device, which is another one now."""
    new, old = ("\n" if one in (None, NO_OVERRIDE) else one for one in (value, override.value))
    draft.identify(override)
    return draft.step(
        device.address,
        title,
        Write(override.path, new),
        before=(override,),
        after=(Fact(override.kind, override.path, value),),
        inverse=Write(override.path, old),
        inverse_title=f"set the override of {device.address} back",
    )


def unbind_steps(draft: Draft, device: Device) -> tuple[Step, ...]:
    """Take a device from its driver, after all that lives on it: VFs and mediated devices.

    Answers the unbind itself; nothing for a device without a driver.
    """
    draft.lock_device(device)
    draft.refuse_stuck(device)
    if device.driver is None:
        return ()
    if device.sriov is not None and device.sriov.vfs:
        sriov_steps(draft, device, device.sriov.vfs, 0)
    for queue in last_group_first(draft.snapshot.sdmdevs):
        if queue.parent == device.address and queue.kind in MDEVS:
            removal_steps(draft, queue)
    if any(
        queue.kind == "idxd"
        and queue.parent == device.address
        and is_configured(queue) is not False
        for queue in draft.snapshot.sdmdevs
    ):
        draft.note(
            "`accel-config save-config` first: an undo does not set up the queues of "
            f"{device.address} again"
        )
    return (unbind_step(draft, device, device.driver),)


def unbind_step(draft: Draft, device: Device, driver: str) -> Step:
    """Take a device from the driver that it has."""
    link, drivers = f"{device.path}/driver", f"/sys/bus/{device.bus}/drivers"
    return draft.step(
        device.address,
        f"unbind {device.address} from {driver}",
        Write(f"{drivers}/{driver}/unbind", device.address),
        before=(Fact("link", link, driver),),
        after=(Fact("link", link, None),),
        inverse=Write(f"{drivers}/{driver}/bind", device.address),
        inverse_title=f"bind {device.address} to {driver} again",
    )


def _load(draft: Draft, device: Device, driver: str) -> None:
    """Load the driver's module where there is no such driver yet."""
    directory = now(draft.host, "exists", f"/sys/bus/{device.bus}/drivers/{driver}")
    loading = any(step.action == Load(driver) for step in draft.steps)
    if directory.value is not None or loading:
        return
    disabled = now(draft.host, "text", "/proc/sys/kernel/modules_disabled")
    if disabled.value == "1":
        draft.refuse(device.address, f"there is no {driver}, and no module may be loaded any more",
                     disabled.path)  # fmt: skip
    draft.step(
        device.address,
        f"load {driver}",
        Load(driver),
        before=(directory,),
        after=(Fact(directory.kind, directory.path, "yes"),),
    )
    draft.note(f"the module of {driver} stays loaded when this is undone")


def _siblings(snapshot: Snapshot, device: Device) -> list[Device]:
    """The other devices of its group; VFs after the PF, with which they may go."""
    found = [
        other
        for other in snapshot.devices
        if device.group is not None
        and other.group == device.group
        and other.address != device.address
    ]
    return sorted(found, key=lambda other: other.physfn is not None)
