"""A device taken through VFIO for the length of a test: group, container, descriptor."""

import errno
from typing import NamedTuple

from sdmtop import vfio
from sdmtop.backends.base import Memory
from sdmtop.model import Device, Snapshot
from sdmtop.selftests.trial import Trial, because

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
        trial.skip(f"no {path}: the device is not on vfio-pci")
    except OSError as error:
        if error.errno == errno.EBUSY:
            trial.skip(f"{path} is held by another process")
        raise


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


def endpoints(snapshot: Snapshot) -> list[Device]:
    """The PCI devices in a group that can be given to VFIO: all but bridges."""
    return [
        device
        for device in snapshot.devices
        if device.bus == "pci"
        and device.group is not None
        and not (device.class_ or "").startswith("0x06")
    ]
