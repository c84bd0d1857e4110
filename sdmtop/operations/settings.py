"""Plans of a single setting: domain type, interrupt affinity, reset, number of VFs."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sdmtop.errors import NothingToDoError, RefusedError, UsageError
from sdmtop.operations.draft import Draft
from sdmtop.operations.facts import SILENT, as_set, now, say_ids
from sdmtop.operations.plan import ANY, Fact, Write
from sdmtop.operations.targets import find_device, find_group
from sdmtop.readers.groups import GROUPS
from sdmtop.readers.sysfs import names

if TYPE_CHECKING:
    from sdmtop.backends.base import Host
    from sdmtop.model import Device, Interrupt, Snapshot
    from sdmtop.operations.plan import Plan

DOMAIN_TYPES = ("identity", "DMA", "DMA-FQ", "auto")
"""The words that a group's `type` takes (`drivers/iommu/iommu.c`, `iommu_group_store_type`)."""


_MOST_DIGITS = 5
"""Of a number of VFs: PCI has room for 65,535."""


def plan_domain_type(host: Host, snapshot: Snapshot, name: str, wanted: str) -> Plan:
    """The plan that changes the default domain of a group (`group/18`).

    `UsageError` for a word that no kernel takes; `NothingToDoError` where it is so.
    """
    if wanted not in DOMAIN_TYPES:
        raise UsageError(f"{wanted} is no domain type; use {', '.join(DOMAIN_TYPES)}")
    group = find_group(snapshot, name)
    draft = Draft(host, snapshot, "domain-type")
    draft.target(name)
    draft.lock(name)
    members = [device for device in snapshot.devices if device.address in group.devices]
    for device in members:
        draft.identify_device(device)
    old = now(host, "text", f"{GROUPS}/{group.id}/type")
    if old.value == wanted:
        raise NothingToDoError(f"{name}: its domain type is {wanted} already")
    draft.identify(old)
    draft.step(
        name,
        f"set the domain type of group {group.id} to {wanted}",
        Write(old.path, wanted),
        before=(old,),
        after=(Fact(old.kind, old.path, ANY if wanted == "auto" else wanted),),
        inverse=Write(old.path, old.value) if old.value in DOMAIN_TYPES else None,
        inverse_title=f"set the domain type of group {group.id} back to {old.value}",
    )
    draft.note("not persistent: the boot options iommu.passthrough and iommu.strict would keep it")
    if (old.value, wanted) == ("DMA", "DMA-FQ"):
        draft.note("with a driver bound the kernel takes no way back from DMA-FQ to DMA")
    return draft.finish(f"sdmtop domain-type {name} {wanted}")


def plan_affinity(host: Host, snapshot: Snapshot, name: str, cpus: str) -> Plan:
    """The plan that lets an interrupt (`irq/24`), or all of a device, come to these CPUs only.

    `UsageError` for what is no list of CPUs.
    """
    try:
        wanted = as_set(cpus)
    except ValueError:
        raise UsageError(f"{cpus} is no list of CPUs such as 0-3,8") from None
    draft = Draft(host, snapshot, "affinity")
    draft.target(name)
    for interrupt in _interrupts(snapshot, name):
        irq = interrupt.irq
        old = now(host, "cpus", f"/proc/irq/{irq}/smp_affinity_list")
        if old.value is None:
            raise NothingToDoError(f"irq/{irq}: it has no affinity that could be set")
        if old.value == wanted:
            continue
        draft.lock(f"irq/{irq}")
        draft.identify(now(host, "text", f"/sys/kernel/irq/{irq}/actions"), old)
        draft.step(
            f"irq/{irq}",
            f"let interrupt {irq} ({_handlers(interrupt)}) come to CPUs {wanted}",
            Write(old.path, wanted),
            before=(old,),
            after=(Fact(old.kind, old.path, wanted),),
            inverse=Write(old.path, old.value),
            inverse_title=f"let interrupt {irq} come to CPUs {old.value} again",
        )
    if not draft.steps:
        raise NothingToDoError(f"{name}: its interrupts come to CPUs {wanted} already")
    if balancer := running(host, b"irqbalance"):
        draft.note(f"irqbalance runs (process {balancer}) and may set it to something else")
    draft.note("where the kernel manages an interrupt (queues of NVMe) it takes no other affinity")
    return draft.finish(f"sdmtop affinity {name} {cpus}")


def _interrupts(snapshot: Snapshot, name: str) -> list[Interrupt]:
    kind, _, irq = name.partition("/")
    if kind == "irq":
        found = [one for one in snapshot.interrupts if one.irq == irq and irq.isdecimal()]
    else:
        address = find_device(snapshot, name).address
        found = [one for one in snapshot.interrupts if one.device == address]
    if not found:
        raise NothingToDoError(f"{name}: there is no such interrupt")
    return found


def _handlers(interrupt: Interrupt) -> str:
    return ", ".join(interrupt.actions) or "without a handler"


def running(host: Host, name: bytes) -> int | None:
    """The pid of a process of this name, if there is one that we see."""
    for entry in names(host, "/proc"):
        if entry.isdecimal():
            try:
                if host.read(f"/proc/{entry}/comm").strip() == name:
                    return int(entry)
            except OSError:
                continue  # It has ended, or is none of our business.
    return None


def plan_reset(host: Host, snapshot: Snapshot, name: str) -> Plan:
    """The plan that resets a PCI device. It cannot be undone."""
    device = find_device(snapshot, name)
    draft = Draft(host, snapshot, "reset")
    draft.target(device.address)
    draft.lock_device(device)
    draft.identify_device(device)
    file = now(host, "exists", f"{device.path}/reset")
    method = now(host, "text", f"{device.path}/reset_method")
    if file.value is None:
        raise RefusedError(f"{device.address}: it has no way to be reset")
    if method.value == "":
        draft.refuse(device.address, "all its ways to be reset are disabled", method.path)
    draft.refuse_stuck(device)
    config = Fact("config", f"{device.path}/config", _ids(device))
    try:
        config = now(host, config.kind, config.path)
    except OSError as error:
        # Not every capture has it. It can be planned for, and checked by what the kernel knows.
        why = errno.errorcode.get(error.errno or errno.EIO, str(error.errno))
        draft.verdict(
            "unknown", device.address, "cannot tell whether it answers now", config.path, why
        )
    if config.value == SILENT:
        draft.note(f"{device.address} does not answer now: it must after the reset")
        config = Fact(config.kind, config.path, _ids(device))
    draft.step(
        device.address,
        f"reset {device.address}" + (f" by {method.value.split()[0]}" if method.value else ""),
        Write(file.path, "1"),
        before=(file,),
        after=(config,),
    )
    draft.note("a reset cannot be undone")
    return draft.finish(f"sdmtop reset {name}")


def _ids(device: Device) -> str:
    """What its configuration space should tell, by what the kernel knows of it."""
    ids = ("0xffff", "0xffff") if device.physfn else (device.vendor, device.device)
    vendor, number, class_ = ((one or "").removeprefix("0x") for one in (*ids, device.class_))
    return say_ids(vendor, number, class_)


def as_count(typed: str) -> int:
    """A number of VFs as it was typed. Raises `UsageError`."""
    if not (typed.isascii() and typed.isdecimal() and len(typed) <= _MOST_DIGITS):
        raise UsageError(f"'{typed}' is no number of VFs")
    return int(typed)


def plan_sriov(host: Host, snapshot: Snapshot, name: str, count: int) -> Plan:
    """The plan that gives a physical function so many VFs."""
    device = find_device(snapshot, name)
    if device.sriov is None:
        raise RefusedError(f"{device.address}: it is no physical function with SR-IOV")
    if not 0 <= count <= device.sriov.total:
        raise UsageError(f"{device.address} can have 0 to {device.sriov.total} VFs, not {count}")
    if device.sriov.vfs == count:
        raise NothingToDoError(f"{device.address}: it has {count} VFs already")
    draft = Draft(host, snapshot, "sriov")
    draft.target(device.address)
    draft.lock_device(device)
    draft.identify_device(device)
    had = device.sriov.vfs
    # From one number to another the kernel goes by way of none (EBUSY).
    if had:
        sriov_steps(draft, device, had, 0)
    if count:
        sriov_steps(draft, device, 0, count)
    return draft.finish(f"sdmtop sriov {name} {count}")


def sriov_steps(draft: Draft, device: Device, had: int, count: int) -> None:
    """Change the number of VFs from `had`; to none, and those that are there go."""
    if not count:
        for function in draft.snapshot.devices:
            if function.physfn == device.address:
                _remove_function(draft, function)
    draft.refuse_stuck(device)
    file, links = f"{device.path}/sriov_numvfs", f"{device.path}/virtfn"
    # Which groups VFs are in is for the kernel to say; it may be this one.
    members = Fact("names", f"{GROUPS}/{device.group}/devices", ANY)
    draft.step(
        device.address,
        _say_functions(device, count),
        Write(file, str(count)),
        before=(Fact("count", links, str(had)), members),
        after=(Fact("count", links, str(count)), members),
        inverse=Write(file, str(had)),
        inverse_title=_say_functions(device, had),
    )


def _say_functions(device: Device, count: int) -> str:
    if not count:
        return f"remove the VFs of {device.address}"
    return f"make {count} {'VF' if count == 1 else 'VFs'} of {device.address}"


def _remove_function(draft: Draft, function: Device) -> None:
    """A VF that goes, with its own users checked."""
    draft.gone.add(function.address)
    draft.refuse_stuck(function)
    draft.lock_device(function)
    draft.note(f"what was set up on the VF {function.address} is not set up again by an undo")
