"""What speaks against the steps of a plan, told by what they do and not by what they are for.

The rules look at each action, so that no way to make a plan (a command, an undo, the rest of a
plan that was left half-done) can pass them by. They are asked when a plan is made, and again
when it begins.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from typing import TYPE_CHECKING

import sdmtop
from sdmtop import vfio
from sdmtop.conclusions import blindness, holders
from sdmtop.lookup import devices_of
from sdmtop.operations.blast import blast_radius
from sdmtop.operations.facts import now
from sdmtop.operations.plan import Call, Open, Verdict, Write
from sdmtop.operations.targets import MDEVS, find_queue
from sdmtop.places import state_directory
from sdmtop.readers.groups import GROUPS, TRANSLATING, is_bridge, is_uio, is_vfio, uses_dma
from sdmtop.readers.idxd import DEVICES
from sdmtop.readers.sysfs import number_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sdmtop.backends.base import Host
    from sdmtop.model import Device, IommuGroup, Sdmdev, Snapshot
    from sdmtop.operations.plan import Step

_LONGEST = 10.0
"""Seconds after which no more processes are looked into, and the rest of them is unknown."""

_ALL_MEMORY = "nothing translates its DMA: whoever gets it can read and write all memory"

_IDXD_DRIVERS = "/sys/bus/dsa/drivers"
_NOIOMMU = "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode"


def judge(host: Host, snapshot: Snapshot, steps: Sequence[Step]) -> tuple[Verdict, ...]:
    """What these steps would cost, and what forbids them, on the host as it is.

    The snapshot is a fresh one of the host.
    """
    rules = _Rules(host, snapshot)
    verdicts: dict[Verdict, None] = {}
    for step in steps:
        verdicts.update(dict.fromkeys(rules.of(step)))
    if rules.touched:
        own = (sys.executable, os.path.dirname(sdmtop.__file__), state_directory())
        end = time.monotonic() + _LONGEST
        resets = [address for address, only_reset in rules.touched.items() if only_reset]
        blast = blast_radius(host, snapshot, tuple(rules.touched), resets=resets, own=own,
                             enough=lambda: time.monotonic() > end)  # fmt: skip
        verdicts.update(dict.fromkeys(blast))
    return tuple(verdicts)


def why_not_shared(host: Host, snapshot: Snapshot, queue: Sdmdev, number: int) -> str | None:
    """Why the kernel answered this errno when a queue was to share its parent's domain.

    None if nothing on the host, as it is in this snapshot, explains it.
    """
    found = _Rules(host, snapshot).sharing(queue)
    return next((verdict.sentence for answer, verdict in found if answer == number), None)


class _Rules:
    """The rules, on one host at one moment."""

    def __init__(self, host: Host, snapshot: Snapshot) -> None:
        self._host = host
        self._snapshot = snapshot
        self._devices = devices_of(snapshot)
        self._paths = {device.path: device for device in snapshot.devices}
        self._holders = holders(snapshot)
        self._bound: set[str] = set()
        """Devices that an earlier step gives a driver."""
        self._disabled: set[str] = set()
        """Queues that an earlier step disables."""
        self._own = number_of(_link(host, "/proc/self"))
        """Our own process, whose queues an earlier step closes."""
        self.touched: dict[str, bool] = {}
        """Devices that somebody could miss, and whether they are only reset."""

    def of(self, step: Step) -> Iterator[Verdict]:
        """What speaks against one step."""
        action = step.action
        if isinstance(action, Write):
            yield from self._write(action, step)
        elif isinstance(action, Open):
            yield from self._open(action, step.subject)
        elif isinstance(action, Call) and action.request == vfio.SET_IOMMU.name:
            queue = find_queue(self._snapshot, step.subject)
            if queue is not None and queue.domain_of is not None:
                yield from (verdict for _, verdict in self.sharing(queue))

    def _write(self, write: Write, step: Step) -> Iterator[Verdict]:
        directory, _, file = write.path.rpartition("/")
        device = self._paths.get(directory)
        if file == "unbind" and write.data in self._devices:
            yield from self._unbind(self._devices[write.data])
        elif file == "unbind" and directory.startswith(f"{_IDXD_DRIVERS}/"):
            yield from self._disable(write.data)
        elif file == "bind" and write.data in self._devices:
            yield from self._bind(self._devices[write.data], directory.rpartition("/")[2])
        elif file == "remove" and (queue := find_queue(self._snapshot, directory[-36:])):
            yield from self._remove(queue, directory)
        elif file == "create":
            yield from self._create(directory)
        elif file == "type" and directory.startswith(f"{GROUPS}/"):
            yield from self._type(directory, write.data)
        elif file == "reset" and device is not None:
            yield from self._reset(device)
        elif file == "sriov_numvfs" and device is not None:
            yield from self._functions(device, int(write.data))
        elif file == "smp_affinity_list":
            yield from self._affinity(step.subject, write.data)

    # -- devices and their drivers --

    def _unbind(self, device: Device) -> Iterator[Verdict]:
        """A device that loses its driver."""
        self.touched[device.address] = False
        yield from self._bridge(device)
        for queue in self._snapshot.sdmdevs:
            if queue.domain_of == device.group and queue.kind in MDEVS and queue.holders:
                yield _refuse(
                    f"group/{device.group}",
                    f"its domain is shared with {queue.id}, which "
                    f"{self._process(queue.holders[0])} holds",
                    f"/dev/vfio/{queue.group}",
                )

    def _bind(self, device: Device, driver: str) -> Iterator[Verdict]:
        """A device that gets this driver, whether or not it had one.

        Without a driver it may be in use all the same: by firmware's frame buffer, which vfio-pci
        ends (drivers/vfio/pci/vfio_pci_core.c), or by the machine itself.
        """
        self._bound.add(device.address)
        yield from self._bridge(device)
        if is_vfio(driver) or is_uio(driver):
            self.touched[device.address] = False
        group = self._group(device.group)
        if is_uio(driver):
            yield from self._untranslated(device, group)
        if not is_vfio(driver):
            others = [pid for pid in self._holders.get(f"group/{device.group}", ())
                      if pid not in self._holders.get(device.address, ())]  # fmt: skip
            if group is not None and others and uses_dma(driver):
                yield _refuse(
                    device.address,
                    f"{self._process(others[0])} holds its group {group.id}: the kernel takes no "
                    f"{driver} into it",
                    f"/dev/vfio/{group.id}",
                )
        elif group is None:
            if now(self._host, "text", _NOIOMMU).value == "Y":
                yield Verdict("unsafe", device.address, _ALL_MEMORY, (_NOIOMMU,))
            else:
                yield _refuse(device.address, "it is in no IOMMU group: nothing isolates it",
                              f"{device.path}/iommu_group")  # fmt: skip
        else:
            regions = f"{GROUPS}/{group.id}/reserved_regions"
            for unread in self._snapshot.unknown:
                if unread.path == regions:
                    yield Verdict("unknown", device.address,
                                  "cannot tell whether firmware keeps a mapping of its own in "
                                  f"group {group.id}", (regions, unread.errno))  # fmt: skip
            for region in group.reserved_regions:
                if region.type == "direct":
                    yield _refuse(
                        device.address,
                        f"firmware keeps a mapping of its own in group {group.id}: the kernel "
                        "hands out no device of it",
                        regions,
                        f"{region.start}-{region.end} {region.type}",
                    )

    @staticmethod
    def _bridge(device: Device) -> Iterator[Verdict]:
        if is_bridge(device):
            yield _refuse(device.address, "it is a bridge: what is below it would go with it",
                          device.path)  # fmt: skip

    @staticmethod
    def _untranslated(device: Device, group: IommuGroup | None) -> Iterator[Verdict]:
        """A device whose user can reach all memory, as the group's default domain lets it."""
        if group is None:
            yield Verdict("unsafe", device.address, _ALL_MEMORY, (f"{device.path}/iommu_group",))
        elif group.domain_type not in TRANSLATING:
            type_ = (f"{GROUPS}/{group.id}/type",)
            if group.domain_type is None:
                said = "cannot tell whether anything translates its DMA"
                yield Verdict("unknown", device.address, said, type_)
            else:
                yield Verdict("unsafe", device.address, _ALL_MEMORY, type_)

    def _reset(self, device: Device) -> Iterator[Verdict]:
        self.touched.setdefault(device.address, True)
        if device.driver is not None:
            yield Verdict(
                "unsafe",
                device.address,
                f"{device.driver} is bound to it: the device forgets all, and not every driver is "
                "told",
                (f"{device.path}/driver",),
            )

    def _functions(self, device: Device, count: int) -> Iterator[Verdict]:
        """A physical function that gets so many VFs; those that it has go first."""
        if device.driver is None and count and device.address not in self._bound:
            yield _refuse(device.address, "no driver is bound to it that could make VFs",
                          f"{device.path}/driver")  # fmt: skip
        if count:
            return
        for function in self._snapshot.devices:
            if function.physfn != device.address:
                continue
            self.touched[function.address] = False
            if function.driver is not None and is_vfio(function.driver):
                yield _refuse(
                    function.address,
                    f"this VF is bound to {function.driver}: detach it first",
                    f"{function.path}/driver",
                )

    # -- mediated devices --

    def _remove(self, queue: Sdmdev, path: str) -> Iterator[Verdict]:
        """An mdev that goes: while somebody holds it, the kernel would wait for ever."""
        yield from self._held(queue)
        if queue.holders is None:
            yield self._unseen(queue)
        if "removal" in queue.params:
            yield _refuse(queue.id, "its removal is under way, and waits for its holder", path)

    def _create(self, directory: str) -> Iterator[Verdict]:
        for type_ in self._snapshot.mdev_types:
            parent = self._devices.get(type_.parent)
            if (
                type_.available_instances == 0
                and parent is not None
                and directory == f"{parent.path}/mdev_supported_types/{type_.id}"
            ):
                yield _refuse(parent.address, f"no instance of {type_.id} is left",
                              f"{directory}/available_instances")  # fmt: skip

    # -- settings --

    def _type(self, directory: str, wanted: str) -> Iterator[Verdict]:
        """The kernel's rules for the type of a domain (kernel-abi 1.1)."""
        group = self._group(int(directory.rpartition("/")[2]))
        if group is None or (group.domain_type, wanted) == ("DMA", "DMA-FQ"):
            return  # DMA to DMA-FQ it changes while drivers are at work.
        name = f"group/{group.id}"
        if group.domain_type in (None, "unknown"):
            yield _refuse(name, "it has no default domain to change", f"{directory}/type")
        for address in group.devices:
            device = self._devices.get(address)
            if device is not None and device.driver is not None and uses_dma(device.driver):
                yield _refuse(
                    name,
                    f"{address} is bound to {device.driver}: the kernel changes the type only "
                    "while no driver of the group does DMA",
                    f"{device.path}/driver",
                )
        held = self._holders.get(name, ())
        if held:
            yield _refuse(name, f"{self._process(held[0])} holds it, and so it keeps its type",
                          f"/dev/vfio/{group.id}")  # fmt: skip
        elif group.owner == "vfio" and (blind := blindness(self._snapshot)):
            yield Verdict("unknown", name, f"cannot tell whether it is claimed: {blind.what}",
                          (blind.path,))  # fmt: skip
        for queue in self._snapshot.sdmdevs:
            if queue.domain_of == group.id and queue.holders:
                yield _refuse(name, f"its domain is shared with {queue.id}, which "
                              f"{self._process(queue.holders[0])} holds",
                              f"/dev/vfio/{queue.group}")  # fmt: skip

    def _affinity(self, subject: str, cpus: str) -> Iterator[Verdict]:
        online = now(self._host, "cpus", "/sys/devices/system/cpu/online")
        if online.value is not None and numbers_of(cpus).isdisjoint(numbers_of(online.value)):
            yield _refuse(subject, f"none of the CPUs {cpus} is online", online.path, online.value)

    # -- queues of IDXD --

    def _disable(self, name: str) -> Iterator[Verdict]:
        """A queue that is disabled, or a device with all its queues.

        The kernel waits for nobody: it warns of clients and takes the queue from them
        (`idxd_drv_disable_wq` of drivers/dma/idxd/device.c).
        """
        for queue in self._snapshot.sdmdevs:
            if queue.kind != "idxd" or name not in (queue.id, queue.params.get("device")):
                continue
            enabled = queue.params.get("state") != "disabled" and queue.id not in self._disabled
            others = [pid for pid in queue.holders or () if pid != self._own]
            path = f"{DEVICES}/{queue.id}"
            if others:
                yield Verdict("unsafe", queue.id, f"{self._process(others[0])} holds it, and would "
                              "lose it", (f"/proc/{others[0]}/fd",))  # fmt: skip
            elif queue.holders is None and enabled:
                yield self._unseen(queue)
            elif enabled and (queue.type or "").startswith("kernel"):
                yield Verdict("unsafe", queue.id, "it is enabled for the kernel, which would lose "
                              "it", (f"{path}/type",))  # fmt: skip
            elif enabled and queue.id != name:
                yield Verdict("unsafe", queue.id, f"it is enabled, and would be disabled with "
                              f"{name}", (f"{path}/state",))  # fmt: skip
            self._disabled.add(queue.id)

    # -- queues that are opened --

    def _open(self, action: Open, subject: str) -> Iterator[Verdict]:
        queue = find_queue(self._snapshot, subject)
        if queue is None or action.path in (vfio.CONTAINER, vfio.IOMMUFD):
            return
        if queue.kind in MDEVS or (queue.type or "").endswith("/dedicated"):
            yield from self._held(queue)
        if "removal" in queue.params:
            yield _refuse(queue.id, "its removal is under way, and waits for its holder")
        if queue.params.get("available_instances") == "0":
            yield _refuse(queue.id, "all its queues are taken",
                          f"/sys/class/uacce/{queue.id}/available_instances")  # fmt: skip
        if queue.params.get("isolate") == "1":
            yield _refuse(queue.id, "it is isolated after errors",
                          f"/sys/class/uacce/{queue.id}/isolate")  # fmt: skip

    def sharing(self, queue: Sdmdev) -> Iterator[tuple[int, Verdict]]:
        """Why an sdmdev may not share its parent's domain, with what the kernel answers to it.

        By the RFC, and its review.
        """
        parent = self._devices.get(queue.parent or "")
        group = self._group(parent.group) if parent is not None else None
        if parent is None or group is None:
            yield (
                errno.ENODEV,
                _refuse(
                    queue.id,
                    f"its parent {queue.parent} is in no IOMMU group: there is no domain to share",
                ),
            )
            return
        place = f"{GROUPS}/{group.id}"
        held = self._holders.get(f"group/{group.id}", ())
        if held or group.owner == "vfio":
            who = f": {self._process(held[0])} holds it" if held else ""
            yield (
                errno.EINVAL,
                _refuse(
                    queue.id,
                    f"group {group.id} of its parent is VFIO's, and has no domain to share{who}",
                    place,
                ),
            )
        if parent.sdmdev is not None and "MULTI_PROC_MAP" in parent.sdmdev.dma_flags:
            return  # Each process gets a PASID, and an address space of its own.
        if group.domain_type == "identity":
            yield (
                errno.EINVAL,
                _refuse(
                    queue.id,
                    f"the domain of group {group.id} is identity: nothing can be mapped into it",
                    f"{place}/type",
                ),
            )
        for other in self._snapshot.sdmdevs:
            others = [pid for pid in other.holders or () if pid != self._own]
            if other.parent == queue.parent and other.id != queue.id and others:
                yield (
                    errno.EBUSY,
                    _refuse(
                        queue.id,
                        "without PASIDs one process at a time shares a domain, and "
                        f"{self._process(others[0])} holds {other.id}",
                        f"/proc/{others[0]}/fd",
                    ),
                )

    # -- what they share --

    def _unseen(self, queue: Sdmdev) -> Verdict:
        """That nobody knows who holds a queue."""
        blind = blindness(self._snapshot)
        why = blind.what if blind is not None else "its holders were not looked for"
        return Verdict("unknown", queue.id, f"cannot tell whether somebody holds it: {why}",
                       (blind.path,) if blind is not None else ())  # fmt: skip

    def _held(self, queue: Sdmdev) -> Iterator[Verdict]:
        for pid in queue.holders or ():
            yield _refuse(queue.id, f"{self._process(pid)} holds it", f"/proc/{pid}/fd")

    def _process(self, pid: int) -> str:
        """A holder, by name and pid."""
        name = next((one.name for one in self._snapshot.processes if one.pid == pid), None)
        return f"{name or 'process'} {pid}"

    def _group(self, id_: int | None) -> IommuGroup | None:
        return next((one for one in self._snapshot.groups if one.id == id_), None)


def numbers_of(cpus: str) -> frozenset[int]:
    """The numbers of a list such as `0-3,8` in the spelling of `facts.as_set`."""
    found: set[int] = set()
    for part in cpus.split(","):
        low, _, high = part.partition("-")
        found.update(range(int(low), int(high or low) + 1))
    return frozenset(found)


def _link(host: Host, path: str) -> bytes | OSError:
    try:
        return host.readlink(path).encode()
    except OSError as error:
        return error


def _refuse(subject: str, sentence: str, *evidence: str) -> Verdict:
    return Verdict("refused", subject, sentence, evidence)
