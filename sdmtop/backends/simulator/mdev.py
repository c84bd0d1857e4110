"""Mediated devices: parents, types, instances. As `drivers/vfio/mdev/`."""

from __future__ import annotations

import errno
import uuid
from typing import TYPE_CHECKING

from sdmtop.backends.simulator import uapi
from sdmtop.backends.simulator.completion import Completion, completed
from sdmtop.backends.simulator.devices import Bus, Device, Driver
from sdmtop.backends.simulator.kstrtox import unsigned
from sdmtop.backends.simulator.refusal import refusal
from sdmtop.backends.simulator.vfio import VfioDevice

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.backends.simulator.kernel import Kernel
    from sdmtop.backends.simulator.processes import Process
    from sdmtop.backends.simulator.scenario import MdevType as TypeSpec

UUID_LENGTH = 36
EMULATED = "vfio-noiommu"
"""What the kernel names the group of an mdev that has no IOMMU behind it."""


class MdevType:
    """A type that a parent offers; `directory` is its name in sysfs, `hisi_zip-queue`."""

    def __init__(self, parent: MdevParent, directory: str, spec: TypeSpec) -> None:
        self.parent = parent
        self.directory = directory
        self.spec = spec
        self.mdevs: dict[str, Mdev] = {}

    @property
    def available(self) -> int:
        """How many more of this type can be made."""
        return (self.parent.capacity - self.parent.used) // self.spec.costs


class MdevParent:
    """A device that offers types. All of them take from one pool of `capacity`.

    `exhausted` is the errno of its driver when nothing is left, where the core does not count.
    `make` gives what a process that opens an instance talks to.
    """

    def __init__(
        self,
        device: Device,
        specs: tuple[TypeSpec, ...],
        capacity: int,
        exhausted: int,
        make: Callable[[Mdev], VfioDevice],
        *,
        emulated: bool,
    ) -> None:
        self.device = device
        self.capacity = capacity
        self.used = 0
        self.exhausted = exhausted
        self.make = make
        self.emulated = emulated
        self.is_leaving = False
        driver = device.driver.name if device.driver is not None else device.name
        self.types = {
            f"{driver}-{spec.id}": MdevType(self, f"{driver}-{spec.id}", spec) for spec in specs
        }

    def unregister(self) -> Completion:
        """Withdraw all types; every instance goes, one after the other, once it is let go."""
        self.is_leaving = True
        self.device.kernel.mdev.parents.pop(self.device.name, None)
        ending = self.device.held()

        def remove_next(_: Completion) -> None:
            mdev = next((one for one in self.device.children.values() if isinstance(one, Mdev)),
                        None)  # fmt: skip
            if mdev is not None:
                mdev.remove().then(remove_next)
                return
            self.device.say("MDEV: Unregistering")
            self.device.kernel.uevents.emit("change", self.device.bus.name, self.device.sysfs)
            ending.finish()

        remove_next(ending)
        return ending


class Mdev(Device):
    """An instance. Its queue is taken when it is made, and given back when it is removed."""

    def __init__(self, type_: MdevType, name: str) -> None:
        parent = type_.parent.device
        super().__init__(parent.kernel, parent.kernel.mdev.bus, name, parent.path, parent)
        self.type: MdevType = type_
        self.vfio = type_.parent.make(self)
        self.going: Completion | None = None

    def alike(self, driver: Driver) -> bool:
        """See `Device.alike`: the core's own driver is for every instance of its parent."""
        return driver.name == self.kernel.mdev.driver_name(self.type.parent.device)

    @property
    def does_dma(self) -> bool:
        """See `Device.does_dma`: its parent does."""
        return False

    @property
    def shares_with(self) -> Device | None:
        """See `Device.shares_with`: the parent of an sdmdev."""
        return None if self.type.parent.emulated else self.parent

    def write_remove(self, data: bytes) -> Completion:
        """`remove`: 1 removes, 0 does nothing. Raises EINVAL for what is no number."""
        return self.remove() if unsigned(data) else completed()

    def remove(self) -> Completion:
        """Remove it once nobody holds it; it leaves the view of the bus at once."""
        if self.going is not None:
            return self.going
        going = self.going = self.held()
        mdev = self.kernel.mdev

        def end(_: Completion) -> None:
            self.say(f"Removing from iommu group {self.group.id if self.group else '?'}")
            self.kernel.iommu.leave(self)
            self.vfio.free()
            self.type.parent.used -= self.type.spec.costs
            mdev.uuids.discard(self.name)
            mdev.bus.take_away(self)
            going.finish()

        del self.type.mdevs[self.name]
        mdev.bus.devices.pop(self.name, None)
        self.unbind().then(end)
        return going


class MdevDriver(Driver):
    """The driver of instances: offers them through VFIO."""

    uses_dma = False

    def probe(self, device: Device) -> None:
        """See `Driver.probe`."""
        if isinstance(device, Mdev):
            device.vfio.register()

    def remove(self, device: Device) -> Completion:
        """See `Driver.remove`."""
        return device.vfio.unregister() if isinstance(device, Mdev) else completed()


class PlainMdev(VfioDevice):
    """An ordinary mdev: an emulated PCI device without registers, as far as we care."""

    def ioctl(self, process: Process, request: int, argument: int | bytearray) -> int | Completion:
        """See `VfioDevice.ioctl`."""
        if request == uapi.DEVICE_GET_INFO:
            argsz, *_ = uapi.unpack(argument, "IIII")
            uapi.pack(argument, "IIII", argsz, uapi.INFO_PCI, 9, 5)
            return 0
        if request == uapi.DEVICE_GET_REGION_INFO:
            argsz, _, index, _, _, _ = uapi.unpack(argument, "IIIIQQ")
            if index > 8:
                raise refusal(errno.EINVAL, f"there is no region {index}")
            uapi.pack(argument, "IIIIQQ", argsz, 0, index, 0, 0, index << 40)
            return 0
        return super().ioctl(process, request, argument)


class MdevCore:
    """All parents and instances."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.bus = Bus(kernel, "mdev")
        self.parents: dict[str, MdevParent] = {}
        self.uuids: set[str] = set()

    def driver_name(self, parent: Device) -> str:
        """The driver of a parent's instances: its own since 6.1, one for all before."""
        if self.kernel.behaviour.core_counts_mdevs and parent.driver is not None:
            return parent.driver.name
        return "vfio_mdev"

    def register(self, parent: MdevParent) -> None:
        """A driver offers types."""
        device = parent.device
        self.parents[device.name] = parent
        name = self.driver_name(device)
        if name not in self.bus.drivers:
            self.bus.register(MdevDriver(name))
        device.say("MDEV: Registered")
        self.kernel.uevents.emit("change", device.bus.name, device.sysfs)

    def create(self, type_: MdevType, data: bytes) -> None:
        """`create`: make an instance with the UUID that was written.

        Raises EINVAL for what is none, EEXIST for one in use, ENODEV while the parent goes, and
        where no instance is left what the kernel's core or the parent's driver says.
        """
        name = _uuid(data)
        parent = type_.parent
        if name in self.uuids:
            raise refusal(errno.EEXIST, f"there is an mdev {name} already")
        if parent.is_leaving:
            raise refusal(errno.ENODEV, f"{parent.device.name} is being unregistered")
        if type_.available < 1:
            counts = self.kernel.behaviour.core_counts_mdevs and not parent.emulated
            number = errno.EUSERS if counts else parent.exhausted
            raise refusal(number, f"{parent.device.name} has no instance of {type_.directory} left")
        group_name = EMULATED if parent.emulated else None
        mdev = Mdev(type_, name)
        self.uuids.add(name)
        parent.used += type_.spec.costs
        type_.mdevs[name] = mdev
        mdev.kernel.iommu.join(mdev.kernel.iommu.new_group(None, name=group_name), mdev)
        self.bus.add(mdev)
        mdev.probe()


def _uuid(data: bytes) -> str:
    """The UUID that was written, in lower case."""
    text = data.removesuffix(b"\n").decode("ascii", "replace")
    try:
        found = str(uuid.UUID(text)) if len(text) == UUID_LENGTH else ""
    except ValueError:
        found = ""
    if not found or found != text.lower():
        raise refusal(errno.EINVAL, f"{text!r} is no UUID")
    return found
