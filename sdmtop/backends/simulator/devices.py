"""The driver core: buses, drivers, devices; binding, probing, and unbinding that may never end.

As `drivers/base/{bus,dd}.c`. A device's lock is modelled by `Device.lock`: while an unbind waits,
everything that takes the lock waits behind it.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.completion import Completion, completed
from sdmtop.backends.simulator.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.backends.simulator.iommu import Group
    from sdmtop.backends.simulator.kernel import Kernel

PAGE = 4096
NOT_SET = "(null)"
"""What `driver_override` reads when there is none."""


class Device:
    """A device of any bus. `directory` is where it sits below /sys/devices, without its name."""

    def __init__(
        self, kernel: Kernel, bus: Bus, name: str, directory: str, parent: Device | None = None
    ) -> None:
        self.kernel = kernel
        self.bus = bus
        self.name = name
        self.parent = parent
        self.path = f"{directory}/{name}"
        self.children: dict[str, Device] = {}
        self.driver: Driver | None = None
        self.leaving: Completion | None = None
        self.override: str | None = None
        self.group: Group | None = None
        self.numa_node = -1

    def __str__(self) -> str:
        return self.name

    @property
    def does_dma(self) -> bool:
        """Whether it is a source of DMA, which a bridge and an mdev are not."""
        return True

    @property
    def pasid_bits(self) -> int:
        """Width of its PASIDs; 0: it has none."""
        return 0

    @property
    def shares_with(self) -> Device | None:
        """The device whose domain it uses instead of one of its own."""
        return None

    @property
    def linked_driver(self) -> Driver | None:
        """The driver that the `driver` link names: gone as soon as an unbind begins."""
        return None if self.leaving is not None else self.driver

    @property
    def lock(self) -> Completion | None:
        """What has its lock and waits: an unbind."""
        return self.leaving

    def alike(self, driver: Driver) -> bool:
        """Whether the driver is for such a device, by its ids."""
        return self.name in driver.devices

    def when_unlocked(self, action: Callable[[], Completion | None]) -> Completion:
        """Do something that takes the device's lock: now, or when whatever has it has ended."""
        lock = self.lock
        if lock is None:
            return action() or completed()
        waiting = Completion(f"{self.name} is locked: {lock.why}", "device_lock", lock.device)

        def go_on(_: Completion) -> None:
            try:
                outcome = self.when_unlocked(action)
            except OSError as error:
                waiting.fail(error)
            else:
                outcome.then(lambda done: _copy(done, waiting))

        lock.then(go_on)
        return waiting

    # -- binding -------------------------------------------------------------------------------

    def bind(self, driver: Driver) -> None:
        """Bind to a driver. Raises EBUSY if bound, or in a claimed group; else what probing says.

        The caller has the device's lock.
        """
        if self.driver is not None:
            raise refusal(errno.EBUSY, f"{self.name} is bound to {self.driver.name}")
        uses = self.group is not None and driver.uses_dma
        if uses and self.group is not None:
            self.group.use()
        # The kernel sets it before it probes, and takes it back when that fails.
        self.driver = driver
        try:
            driver.probe(self)
        except OSError as error:
            self._say_why_not(driver, error.errno or errno.EIO)
            self.driver = None
            if uses and self.group is not None:
                self.group.unuse()
            raise
        driver.devices_bound[self.name] = self
        self.kernel.uevents.emit("bind", self.bus.name, self.sysfs)

    def _say_why_not(self, driver: Driver, number: int) -> None:
        """Log a probe that failed, while the driver still is the device's."""
        if self.kernel.behaviour.device_in_probe:
            self.say(f"probe with driver {driver.name} failed with error -{number}", 4)
        else:
            text = f"{driver.name}: probe of {self.name} failed with error -{number}"
            self.kernel.log.say(text, 4)

    def held(self) -> Completion:
        """What waits until nobody holds it."""
        driver = self.driver.name if self.driver is not None else self.bus.name
        return Completion(
            f"{self.name} is held by a process",
            "vfio_unregister_group_dev",
            f"{driver} {self.name}",
        )

    def unbind(self) -> Completion:
        """Unbind from the driver, which may wait for whoever holds the device."""
        driver = self.driver
        if driver is None:
            return completed()
        if self.leaving is not None:
            return self.when_unlocked(lambda: None)
        if self.lock is not None:
            return self.when_unlocked(self.unbind)
        del driver.devices_bound[self.name]
        ending = self.leaving = self.held()

        def end(_: Completion) -> None:
            if self.group is not None and driver.uses_dma:
                self.group.unuse()
            self.driver = None
            self.leaving = None
            self.kernel.uevents.emit("unbind", self.bus.name, self.sysfs)
            ending.finish()

        driver.remove(self).then(end)
        return ending

    def probe(self) -> Completion:
        """Let the bus find a driver, as `drivers_probe` and hot-plug do.

        That none fits, or that one fails, is no error; EINVAL if the group is in user hands.
        """
        if self.driver is not None:
            return completed()
        for driver in self.bus.drivers.values():
            if not self.bus.matches(self, driver):
                continue
            try:
                self.bind(driver)
            except OSError as error:
                if self.group is not None and self.group.owner is not None and driver.uses_dma:
                    raise refusal(errno.EINVAL, error.strerror or "") from None
                continue
            break
        return completed()

    def set_override(self, data: bytes) -> None:
        """`driver_override`: any text up to a page; a lone newline takes it away."""
        if len(data) >= PAGE - 1:
            raise refusal(errno.EINVAL, "the name is longer than a page")
        text = data.split(b"\n", 1)[0].decode("utf-8", "surrogateescape")
        self.override = text or None

    # -- where it shows ------------------------------------------------------------------------

    @property
    def sysfs(self) -> str:
        """Its absolute path."""
        return f"/sys/devices/{self.path}"

    def up(self) -> str:
        """From its directory to /sys: `../../..`."""
        return "/".join([".."] * (self.path.count("/") + 2))

    def say(self, text: str, level: int = 6) -> None:
        """Log a line about the device, as `dev_info` does."""
        speaker = self.driver.name if self.driver is not None else self.bus.name
        self.kernel.log.say(
            f"{speaker} {self.name}: {text}", level, subsystem=self.bus.name, device=self.name
        )

    def uevent(self) -> str:
        """The text of its `uevent`."""
        return f"DRIVER={self.driver.name}\n" if self.driver is not None else ""


class Driver:
    """A driver: for devices of these `ids` (vendor, device), or of these names."""

    uses_dma = True
    """Whether it uses the DMA API; those that do not have `driver_managed_dma`."""
    makes_vfs = False
    """Whether it can make virtual functions."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ids: set[tuple[int, int]] = set()
        self.dynamic_ids: set[tuple[int, int]] = set()
        self.devices: set[str] = set()
        self.devices_bound: dict[str, Device] = {}

    def probe(self, device: Device) -> None:
        """Take a device. Raises `OSError` if it cannot."""

    def remove(self, device: Device) -> Completion:
        """Give a device back; waits as long as something of it is held."""
        del device
        return completed()


class Bus:
    """A bus: its devices, and its drivers in the order in which they came."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        self.kernel = kernel
        self.name = name
        self.devices: dict[str, Device] = {}
        self.drivers: dict[str, Driver] = {}

    def add(self, device: Device) -> None:
        """A device has been found."""
        self.devices[device.name] = device
        if device.parent is not None:
            device.parent.children[device.name] = device
        self.kernel.uevents.emit("add", self.name, device.sysfs)

    def take_away(self, device: Device) -> None:
        """A device is gone."""
        self.devices.pop(device.name, None)
        if device.parent is not None:
            device.parent.children.pop(device.name, None)
        self.kernel.uevents.emit("remove", self.name, device.sysfs)

    def register(self, driver: Driver) -> None:
        """A driver has been loaded; it binds every device that it finds."""
        self.drivers[driver.name] = driver

    def matches(self, device: Device, driver: Driver) -> bool:
        """Whether a driver may have a device: by override, else by its ids."""
        if device.override is not None:
            return device.override == driver.name
        return device.alike(driver)

    # -- sysfs ---------------------------------------------------------------------------------

    def write_bind(self, driver: Driver, data: bytes) -> Completion:
        """`drivers/X/bind`. Raises ENODEV for no such device, or one that does not match."""
        device = self.devices.get(name_in(data))
        if device is None or not self.matches(device, driver):
            raise refusal(errno.ENODEV, f"{driver.name} is not for {name_in(data)!r}")
        found = device

        def bind() -> None:
            found.bind(driver)

        return found.when_unlocked(bind)

    def write_new_id(self, driver: Driver, data: bytes) -> None:
        """`new_id`: the driver is also for these ids; it binds what has them and is unbound."""
        ids = ids_in(data)
        if ids in driver.ids:
            raise refusal(errno.EEXIST, f"{driver.name} is for these already")
        driver.ids.add(ids)
        driver.dynamic_ids.add(ids)
        for device in [*self.devices.values()]:
            if device.driver is None and self.matches(device, driver):
                device.probe()

    def write_remove_id(self, driver: Driver, data: bytes) -> None:
        """`remove_id`. Raises ENODEV for ids that were not added."""
        ids = ids_in(data)
        if ids not in driver.dynamic_ids:
            raise refusal(errno.ENODEV, f"{driver.name} was not given these")
        driver.dynamic_ids.discard(ids)
        driver.ids.discard(ids)

    def write_unbind(self, driver: Driver, data: bytes) -> Completion:
        """`drivers/X/unbind`. Raises ENODEV for no such device, or one that is bound elsewhere."""
        device = self.devices.get(name_in(data))
        if device is None or device.driver is not driver:
            raise refusal(errno.ENODEV, f"{name_in(data)!r} is not bound to {driver.name}")
        return device.unbind()

    def write_probe(self, data: bytes) -> Completion:
        """`drivers_probe`. Raises ENODEV for no such device."""
        device = self.devices.get(name_in(data))
        if device is None:
            raise refusal(errno.ENODEV, f"there is no device {name_in(data)!r} on bus {self.name}")
        # The kernel does not look behind the lock: a device that is being unbound has a driver.
        return device.probe()


def name_in(data: bytes) -> str:
    """The name that was written: one newline at the end does not count."""
    return data.removesuffix(b"\n").decode("utf-8", "surrogateescape")


def ids_in(data: bytes) -> tuple[int, int]:
    """Vendor and device of `8086 10d3`. Raises EINVAL for what is no such pair."""
    words = data.decode("ascii", "replace").split()
    try:
        vendor, device = (int(word, 16) for word in words[:2])
    except ValueError:
        raise refusal(errno.EINVAL, "vendor and device are hexadecimal") from None
    return vendor, device


def _copy(ended: Completion, other: Completion) -> None:
    if ended.error is not None:
        other.fail(ended.error)
    else:
        other.finish(ended.value)
