"""What a test works with while it lasts: a device through VFIO, pages of its own, a queue."""

import errno
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sdmtop import vfio
from sdmtop.backends.base import Handle, Memory
from sdmtop.errors import because
from sdmtop.model import Device, Snapshot
from sdmtop.readers.sysfs import number
from sdmtop.selftests.records import Skipped
from sdmtop.selftests.trial import Trial

PAGE = 4096


class Claim(NamedTuple):
    """What a test of a device works with."""

    group: vfio.Group
    container: vfio.Container
    device: vfio.Device


def open_group(trial: Trial) -> vfio.Group:
    """The node of the target's group; skips where there is none, or where somebody has it."""
    path = f"/dev/vfio/{trial.group.id}"
    trial.say(f"opening {path}")
    try:
        return trial.closing(vfio.Group.open(trial.host, path))
    except FileNotFoundError:
        trial.skip(f"no {path}: the device is not on vfio-pci ('sdmtop attach {trial.target}')")
    except OSError as error:
        if error.errno == errno.EBUSY:
            trial.skip(f"{path} is held by {holder_of(trial, path)}: end it, or test another")
        raise


def holder_of(trial: Trial, path: str) -> str:
    """Who has a node open, as far as we may see."""
    for process in trial.snapshot.processes:
        if any(held.split(" ")[0] == path for held in process.holds):
            return f"{process.name or '?'} ({process.pid})"
    return "a process that we may not see"


def claim(trial: Trial) -> Claim:
    """The target, attached to a domain of its own. Skips where it cannot be had.

    While it is held, a request of the kernel's to let it go ends the test at its next step.
    """
    group = open_group(trial)
    if not group.status().viable:
        trial.skip(f"group {trial.group.id} is not viable: {trial.group.viability_reason or '?'}")
    trial.say("attaching the group")
    container = trial.closing(vfio.Container.open(trial.host))
    try:
        group.set_container(container)
        container.set_iommu(vfio.TYPE1V2)
    except OSError as error:
        # One cause, one failure: that of vfio.group.
        trial.skip(f"the group cannot be attached: {because(error)}")
    trial.say("opening the device")
    device = trial.closing(group.device(trial.target))
    watch_for_request(trial, device)
    return Claim(group, container, device)


def watch_for_request(trial: Trial, device: vfio.Device) -> None:
    """Have the test end when the kernel asks for the device: an unbind waits for it."""
    if device.info().irqs <= vfio.REQUEST or not device.irqs(vfio.REQUEST).vectors:
        return
    asked = trial.closing(trial.host.signal())
    device.signal_irqs(vfio.REQUEST, [asked])
    trial.end_on(asked, "the kernel has asked for the device: an unbind waits for it")


def memory(trial: Trial, size: int = PAGE) -> Memory:
    """Pages of our own for the length of the test."""
    return trial.closing(trial.host.memory(size))


def free_iova(container: vfio.Container) -> int:
    """An IOVA with a free page on both sides, below 256 MiB, which any device can reach."""
    iova = 16 * PAGE
    ranges = container.ranges()
    if not ranges or any(one.start <= iova - PAGE and iova + PAGE <= one.end for one in ranges):
        return iova
    for one in ranges:
        start = (one.start + 2 * PAGE - 1) // PAGE * PAGE
        if start + 16 * PAGE < min(one.end, 1 << 28):
            return start + PAGE
    raise Skipped("no IOVA below 256 MiB may be mapped")


def mapped(trial: Trial, container: vfio.Container, size: int = PAGE) -> tuple[Memory, int]:
    """Pages of our own that the target reaches, and at which IOVA."""
    pages, iova = memory(trial, size), free_iova(container)
    container.map(pages, iova)
    return pages, iova


def refuse_reserved(trial: Trial, map_at: Callable[[int], object]) -> None:
    """No window that the group keeps for something else may be mapped."""
    for region in trial.group.reserved_regions:
        start = number(region.start, 16)
        if start and region.type in ("msi", "reserved", "direct"):
            name = f"{region.type} window at {region.start}"
            trial.refused(name, (errno.EINVAL,), map_at, start)


def open_queue(trial: Trial, path: str, taken: str, refusals: Mapping[int, str]) -> Handle:
    """The node of a queue; skips where it is `taken`, fails with what a refusal means."""
    trial.say(f"opening {path}")
    try:
        return trial.closing(trial.host.open(path))
    except OSError as error:
        if error.errno == errno.EBUSY:
            trial.skip(taken)
        meaning = refusals.get(error.errno or 0)
        if meaning is not None:
            trial.fail(f"{path}: {because(error)}: {meaning}")
        raise


def endpoints(snapshot: Snapshot) -> list[Device]:
    """The PCI devices in a group that can be given to VFIO: all but bridges."""
    return [
        device
        for device in snapshot.devices
        if device.bus == "pci"
        and device.group is not None
        and not (device.class_ or "").startswith("0x06")
    ]
