"""VFIO: groups with their one opener, containers, and devices that somebody has open.

As `drivers/vfio/{group,container,vfio_main}.c`.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from sdmtop.backends.simulator import uapi
from sdmtop.backends.simulator.completion import Completion
from sdmtop.backends.simulator.processes import OpenFile
from sdmtop.backends.simulator.refusal import refusal
from sdmtop.backends.simulator.type1 import Type1

if TYPE_CHECKING:
    from sdmtop.backends.simulator.devices import Device
    from sdmtop.backends.simulator.iommu import Group
    from sdmtop.backends.simulator.iommufd import CdevFile
    from sdmtop.backends.simulator.kernel import Kernel
    from sdmtop.backends.simulator.processes import Process

GROUP_MAJOR, CDEV_MAJOR, MISC_MAJOR = 243, 247, 10
CONTAINER_MINOR = 196
_ASK_AGAIN = 10.0
"""Seconds."""
ANONYMOUS = "anon_inode:[vfio-device]"


class VfioDevice:
    """A device that a driver offers to processes. Subclasses say what it can do."""

    waits_for_group = False
    """Whether its removal also waits for an open group, as VFIO did in 2018."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.kernel = device.kernel
        self.group: VfioGroup | None = None
        self.index = -1
        self.opens = 0
        self.nodes_open = 0
        """Open files of its own node, bound or not."""
        self.cdev: CdevFile | None = None
        """The one that is bound to an iommufd."""
        self._leaving: Completion | None = None

    @property
    def walks_page_table(self) -> bool:
        """Whether its DMA may go through the page table of the process that has it open."""
        return False

    # -- what a driver does for its holder -----------------------------------------------------

    def on_open(self, process: Process) -> None:
        """The first open. Raises `OSError` if it cannot be had."""

    def on_close(self) -> None:
        """The last close."""

    def ioctl(self, process: Process, request: int, argument: int | bytearray) -> int | Completion:
        """A command on the device."""
        del process, request, argument
        raise refusal(errno.ENOTTY, f"{self.device.name} has no such command")

    def read_at(self, offset: int, size: int) -> bytes:
        """Bytes of a region."""
        del offset, size
        raise refusal(errno.EINVAL, f"{self.device.name} cannot be read")

    def write_at(self, offset: int, data: bytes) -> int:
        """Bytes into a region."""
        del offset, data
        raise refusal(errno.EINVAL, f"{self.device.name} cannot be written")

    def memory_at(self, offset: int, size: int) -> memoryview:
        """Pages of a region."""
        del offset, size
        raise refusal(errno.EINVAL, f"{self.device.name} cannot be mapped")

    def look(self) -> None:
        """Its pages may have been written."""

    def free(self) -> None:
        """The device itself is gone."""

    def ask_to_release(self) -> bool:
        """Ask the holder to let go; whether it has said how it wants to be asked."""
        return False

    # -- registration --------------------------------------------------------------------------

    def register(self) -> None:
        """Offer the device: its group's node appears with the first one."""
        group = self.device.group
        if group is None:
            raise refusal(errno.EINVAL, f"{self.device.name} is in no IOMMU group")
        self.kernel.vfio.register(self, group)

    def unregister(self) -> Completion:
        """Withdraw the device; waits for its holder to let go."""
        vfio = self.kernel.vfio
        ending = self._leaving = Completion()
        vfio.withdraw(self)
        if not self._may_leave():
            self._ask(0)
        self.check_leaving()
        return ending

    def _ask(self, count: int) -> None:
        """Ask the holder, now and every ten seconds, for as long as it takes."""
        if self._leaving is None:
            return
        if self.ask_to_release():
            self.device.say(f"Relaying device request to user (#{count})", 5)
        elif not count:
            text = "No device request channel registered, blocked until released by user"
            self.device.say(text, 4)
        self.kernel.clock.after(_ASK_AGAIN, lambda: self._ask(count + 1))

    def _may_leave(self) -> bool:
        group_open = self.group is not None and self.group.file is not None
        return not self.opens and not self.nodes_open and not (self.waits_for_group and group_open)

    def check_leaving(self) -> None:
        """End an unregistration that waits, if nobody has the device any more."""
        if self._leaving is not None and self._may_leave():
            ending, self._leaving = self._leaving, None
            self.kernel.vfio.unregister(self)
            ending.finish()


class DeviceFile(OpenFile):
    """An open VFIO device. It keeps its group, and the group's container, open."""

    def __init__(self, vfio: VfioDevice, group_file: OpenFile, process: Process) -> None:
        super().__init__(ANONYMOUS)
        if not vfio.opens:
            vfio.on_open(process)
        vfio.opens += 1
        self.vfio = vfio
        self._group_file = group_file
        group_file.take()

    def ioctl(self, process: Process, request: int, argument: int | bytearray) -> int | Completion:
        """See `OpenFile.ioctl`."""
        return self.vfio.ioctl(process, request, argument)

    def read_at(self, offset: int, size: int) -> bytes:
        """See `OpenFile.read_at`."""
        return self.vfio.read_at(offset, size)

    def write_at(self, offset: int, data: bytes) -> int:
        """See `OpenFile.write_at`."""
        return self.vfio.write_at(offset, data)

    def memory_at(self, offset: int, size: int) -> memoryview:
        """See `OpenFile.memory_at`."""
        return self.vfio.memory_at(offset, size)

    def look(self) -> None:
        """See `OpenFile.look`."""
        self.vfio.look()

    def fdinfo(self) -> str:
        """See `OpenFile.fdinfo`."""
        if not self.vfio.kernel.behaviour.syspath_in_fdinfo:
            return ""
        return f"vfio-device-syspath: {self.vfio.device.sysfs}\n"

    def release(self) -> None:
        """See `OpenFile.release`."""
        self.vfio.opens -= 1
        if not self.vfio.opens:
            self.vfio.on_close()
        self._group_file.drop()
        self.vfio.check_leaving()


class VfioGroup:
    """A group with a node: `devices` are those that are offered."""

    def __init__(self, group: Group, minor: int) -> None:
        self.group = group
        self.minor = minor
        self.devices: list[VfioDevice] = []
        self.file: GroupFile | None = None
        self.container: Container | None = None
        self.is_noiommu = False

    def __str__(self) -> str:
        holder = self.file.opener if self.file is not None else "a process"
        return f"{holder} through VFIO"

    @property
    def name(self) -> str:
        """The name of its node."""
        return f"{'noiommu-' if self.is_noiommu else ''}{self.group.id}"

    def open(self, process: Process) -> OpenFile:
        """Open the node. Raises EBUSY: only one can have it open."""
        if self.file is not None:
            raise refusal(errno.EBUSY, f"group {self.group.id} is open: {self.file.opener} has it")
        cdev = next((one for one in self.devices if one.cdev is not None), None)
        if cdev is not None:
            raise refusal(errno.EBUSY, f"{cdev.device.name} is bound to an iommufd")
        self.file = GroupFile(self, process)
        return self.file

    def set_container(self, container: Container, process: Process) -> None:
        """Put the group into a container: from now on it belongs to the process."""
        if any(other.is_noiommu != self.is_noiommu for other in container.groups):
            raise refusal(errno.EINVAL, "groups with and without an IOMMU cannot be mixed")
        is_real = self.group.unit is not None
        if is_real:
            self.group.claim(self)
        if container.iommu is not None:
            try:
                container.iommu.attach(self, process)
            except OSError:
                if is_real:
                    self.group.release()
                raise
        self.container = container
        container.groups.append(self)
        container.take()

    def unset_container(self) -> None:
        """Take it out again."""
        container = self.container
        if container is None:
            return
        if container.iommu is not None:
            container.iommu.detach(self)
        if self.group.unit is not None:
            self.group.release()
        container.groups.remove(self)
        if not container.groups:
            container.iommu = None
        self.container = None
        container.drop()


class GroupFile(OpenFile):
    """The open node of a group."""

    def __init__(self, group: VfioGroup, opener: Process) -> None:
        super().__init__(f"/dev/vfio/{group.name}", os.makedev(GROUP_MAJOR, group.minor))
        self.group = group
        self.opener = opener

    def ioctl(self, process: Process, request: int, argument: int | bytearray) -> int:
        """See `OpenFile.ioctl`."""
        group = self.group
        if not group.devices:
            raise refusal(errno.ENODEV, f"the devices of group {group.group.id} are gone")
        if request == uapi.GROUP_GET_STATUS:
            argsz, _ = uapi.unpack(argument, "II")
            if argsz < 8:
                raise refusal(errno.EINVAL, "argsz is too small")
            flags = uapi.GROUP_CONTAINER_SET if group.container is not None else 0
            if group.container is not None or group.group.is_viable:
                flags |= uapi.GROUP_VIABLE
            uapi.pack(argument, "II", 8, flags)
            return 0
        if request == uapi.GROUP_SET_CONTAINER:
            self._set_container(process, argument)
            return 0
        if request == uapi.GROUP_UNSET_CONTAINER:
            if group.container is None:
                raise refusal(errno.EINVAL, f"group {group.group.id} is in no container")
            if any(device.opens for device in group.devices):
                raise refusal(errno.EBUSY, f"a device of group {group.group.id} is open")
            group.unset_container()
            return 0
        if request == uapi.GROUP_GET_DEVICE_FD:
            return self._device_fd(process, argument)
        raise refusal(errno.ENOTTY, "a group has no such command")

    def _set_container(self, process: Process, argument: int | bytearray) -> None:
        (number,) = uapi.unpack(argument, "i")
        if number < 0:
            raise refusal(errno.EINVAL, "a descriptor is not negative")
        file = process.file(number)
        if self.group.container is not None:
            raise refusal(errno.EINVAL, f"group {self.group.group.id} is in a container already")
        if not isinstance(file, Container):
            raise refusal(errno.EBADFD, f"{file.name} is no container")
        self.group.set_container(file, process)

    def _device_fd(self, process: Process, argument: int | bytearray) -> int:
        if not isinstance(argument, bytearray):
            raise refusal(errno.EFAULT, "the argument is no name")
        name = bytes(argument).split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
        device = next((one for one in self.group.devices if one.device.name == name), None)
        if device is None:
            raise refusal(errno.ENODEV, f"{name!r} is no device of group {self.group.group.id}")
        container = self.group.container
        if container is None or container.iommu is None:
            raise refusal(errno.EINVAL, "the group has no container with an IOMMU yet")
        process.check_room()
        if self.group.is_noiommu:
            device.device.say(f"vfio-noiommu device opened by user ({process.name}:{process.pid})")
        return process.install(DeviceFile(device, self, process))

    def release(self) -> None:
        """See `OpenFile.release`: the group leaves its container."""
        self.group.unset_container()
        self.group.file = None
        for device in [*self.group.devices]:
            device.check_leaving()


class Container(OpenFile):
    """An open /dev/vfio/vfio: groups, and once SET_IOMMU has been called, their IOMMU."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__("/dev/vfio/vfio", os.makedev(MISC_MAJOR, CONTAINER_MINOR))
        self._kernel = kernel
        self.groups: list[VfioGroup] = []
        self.iommu: Type1 | None = None

    def ioctl(self, process: Process, request: int, argument: int | bytearray) -> int:
        """See `OpenFile.ioctl`."""
        if request == uapi.GET_API_VERSION:
            return 0
        if request == uapi.CHECK_EXTENSION:
            return int(self._supports(uapi.number_in(argument)))
        if request == uapi.SET_IOMMU:
            self.set_iommu(uapi.number_in(argument), process)
            return 0
        if self.iommu is None:
            raise refusal(errno.EINVAL, "the container has no IOMMU yet")
        return self.iommu.ioctl(process, request, argument)

    def set_iommu(self, kind: int, process: Process) -> None:
        """Choose the model of IOMMU, and attach all groups; all or none of them."""
        if not self.groups or self.iommu is not None:
            what = "an IOMMU already" if self.groups else "no group"
            raise refusal(errno.EINVAL, f"the container has {what}")
        noiommu = self.groups[0].is_noiommu
        if kind not in ((uapi.NOIOMMU,) if noiommu else (uapi.TYPE1, uapi.TYPE1V2,
                                                         uapi.TYPE1_NESTING)):  # fmt: skip
            raise refusal(errno.ENODEV, f"IOMMU model {kind} is not for these groups")
        iommu = Type1(self._kernel, kind)
        for group in self.groups:
            try:
                iommu.attach(group, process)
            except OSError:
                iommu.detach_all()
                raise
        self.iommu = iommu

    def _supports(self, extension: int) -> bool:
        known = (uapi.TYPE1, uapi.TYPE1V2, uapi.TYPE1_NESTING, uapi.UNMAP_ALL)
        if extension == uapi.NOIOMMU:
            return self._kernel.vfio.noiommu
        if extension == uapi.DMA_CC:
            return self.iommu is not None and self.iommu.is_coherent
        return extension in known

    def release(self) -> None:
        """See `OpenFile.release`: no group can be in it any more, each has a reference."""
        self.iommu = None


class Vfio:
    """All groups with a node, and all devices that are offered."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.groups: dict[str, VfioGroup] = {}
        self.devices: dict[str, VfioDevice] = {}
        """By the name of the class device, `vfio3`."""
        self.noiommu = False
        self.allow_unsafe_interrupts = False
        self.dma_entry_limit = 65535

    def register(self, device: VfioDevice, group: Group) -> None:
        """See `VfioDevice.register`."""
        found = self.of(group)
        if found is None:
            minors = {one.minor for one in self.groups.values()}
            minor = next(number for number in range(len(minors) + 1) if number not in minors)
            found = VfioGroup(group, minor)
            found.is_noiommu = group.unit is None and device.device.does_dma
            self.groups[found.name] = found
            self._emit("add", "vfio", f"/sys/devices/virtual/vfio/{found.name}")
        found.devices.append(device)
        device.group = found
        device.index = next(n for n in range(len(self.devices) + 1) if f"vfio{n}" not in
                            self.devices)  # fmt: skip
        self.devices[f"vfio{device.index}"] = device
        if self.kernel.behaviour.vfio_dev:
            self._emit("add", "vfio-dev", f"{device.device.sysfs}/vfio-dev/vfio{device.index}")

    def withdraw(self, device: VfioDevice) -> None:
        """The class device goes at once, whoever holds the device."""
        del self.devices[f"vfio{device.index}"]
        if self.kernel.behaviour.vfio_dev:
            self._emit("remove", "vfio-dev", f"{device.device.sysfs}/vfio-dev/vfio{device.index}")

    def unregister(self, device: VfioDevice) -> None:
        """The device is gone, and the group's node with the last one."""
        group = device.group
        if group is None:
            return
        group.devices.remove(device)
        if not group.devices:
            del self.groups[group.name]
            group.unset_container()
            self._emit("remove", "vfio", f"/sys/devices/virtual/vfio/{group.name}")

    def of(self, group: Group) -> VfioGroup | None:
        """The node of an IOMMU group, if it has one."""
        return self.groups.get(str(group.id)) or self.groups.get(f"noiommu-{group.id}")

    def class_device_of(self, device: Device) -> VfioDevice | None:
        """The device of class `vfio-dev` of a device, while it is offered."""
        group = self.of(device.group) if device.group is not None else None
        for found in group.devices if group is not None else ():
            if found.device is device and self.devices.get(f"vfio{found.index}") is found:
                return found
        return None

    def open_container(self, _process: Process) -> OpenFile:
        """Open /dev/vfio/vfio."""
        return Container(self.kernel)

    def _emit(self, action: str, subsystem: str, path: str) -> None:
        self.kernel.uevents.emit(action, subsystem, path)
