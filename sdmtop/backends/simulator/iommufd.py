"""iommufd, and VFIO devices that are had by a node of their own (6.6 and later; kernel-abi 3).

As `drivers/iommu/iommufd/` and `drivers/vfio/{device_cdev,iommufd}.c`. Not here: the compatible
container, nested page tables, page faults, dirty tracking.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from sdmtop.backends.simulator import uapi
from sdmtop.backends.simulator.pci import PciDevice
from sdmtop.backends.simulator.processes import PAGE, OpenFile
from sdmtop.backends.simulator.refusal import refusal
from sdmtop.backends.simulator.type1 import Type1
from sdmtop.backends.simulator.vfio import CDEV_MAJOR, MISC_MAJOR

if TYPE_CHECKING:
    from sdmtop.backends.simulator.completion import Completion
    from sdmtop.backends.simulator.kernel import Kernel
    from sdmtop.backends.simulator.processes import Process
    from sdmtop.backends.simulator.vfio import VfioDevice

IOMMU_MINOR = 258
_HW_TYPES = {"intel": 1, "arm-smmu-v3": 2, "amd": 4}
_NO_ATS = 8
"""Among the capabilities of GET_HW_INFO."""
_PASID = 1
"""Flag of ATTACH_PT and DETACH_PT: only of this PASID."""
_EVERYTHING = (1 << 64) - 1


class Ioas:
    """An address space: what is mapped in it, and the devices that are attached to it."""

    def __init__(self, kernel: Kernel) -> None:
        self.mappings = Type1(kernel, uapi.TYPE1V2)
        self.devices: set[CdevFile] = set()

    def free_iova(self, size: int) -> int:
        """Where the kernel would put a mapping. Raises ENOSPC where there is no room."""
        at = PAGE
        for dma in sorted(self.mappings.dmas.values(), key=lambda dma: dma.iova):
            if at + size <= dma.iova:
                break
            at = max(at, dma.end)
        for start, end in self.mappings.ranges() or [(0, _EVERYTHING)]:
            if max(at, start) + size - 1 <= end:
                return max(at, start)
        raise refusal(errno.ENOSPC, "the address space has no room for it")


class Iommufd(OpenFile):
    """An open /dev/iommu: its objects, by id. A device that is bound keeps it open."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__("/dev/iommu", os.makedev(MISC_MAJOR, IOMMU_MINOR))
        self._kernel = kernel
        self.objects: dict[int, Ioas | CdevFile] = {}
        self._next = 1

    def add(self, item: Ioas | CdevFile) -> int:
        """A new object; its id."""
        number = self._next
        self._next += 1
        self.objects[number] = item
        return number

    def ioas(self, number: int) -> Ioas:
        """The address space of an id. Raises ENOENT."""
        found = self.objects.get(number)
        if not isinstance(found, Ioas):
            raise refusal(errno.ENOENT, f"there is no address space {number}")
        return found

    def ioctl(self, process: Process, request: int, argument: int | bytearray) -> int:
        """See `OpenFile.ioctl`."""
        if request == uapi.IOMMU_IOAS_ALLOC:
            size, flags, _ = uapi.unpack(argument, "III")
            if flags:
                raise refusal(errno.EOPNOTSUPP, "there are no such flags")
            uapi.pack(argument, "III", size, flags, self.add(Ioas(self._kernel)))
        elif request == uapi.IOMMU_DESTROY:
            self._destroy(uapi.unpack(argument, "II")[1])
        elif request == uapi.IOMMU_IOAS_MAP:
            self._map(process, argument)
        elif request == uapi.IOMMU_IOAS_UNMAP:
            self._unmap(argument)
        elif request == uapi.IOMMU_IOAS_IOVA_RANGES:
            self._ranges(process, argument)
        elif request == uapi.IOMMU_GET_HW_INFO:
            self._hardware(process, argument)
        else:
            raise refusal(errno.ENOTTY, "iommufd has no such command")
        return 0

    def _destroy(self, number: int) -> None:
        found = self.objects.get(number)
        if found is None:
            raise refusal(errno.ENOENT, f"there is no object {number}")
        if isinstance(found, CdevFile) or found.devices or found.mappings.domains:
            raise refusal(errno.EBUSY, f"object {number} is in use")
        found.mappings.unmap_everything()
        del self.objects[number]

    def _map(self, process: Process, argument: int | bytearray) -> None:
        size, flags, number, _, address, length, iova = uapi.unpack(argument, "IIIIQQQ")
        ioas = self.ioas(number)
        if flags & ~7 or not flags & (uapi.IOAS_READABLE | uapi.IOAS_WRITEABLE):
            raise refusal(errno.EOPNOTSUPP, "readable, writeable or both")
        if not flags & uapi.IOAS_FIXED_IOVA:
            iova = ioas.free_iova(max(length, PAGE))
        protection = (uapi.MAP_READ if flags & uapi.IOAS_READABLE else 0) | (
            uapi.MAP_WRITE if flags & uapi.IOAS_WRITEABLE else 0
        )
        ioas.mappings.map(process, address, iova, length, protection)
        uapi.pack(argument, "IIIIQQQ", size, flags, number, 0, address, length, iova)

    def _unmap(self, argument: int | bytearray) -> None:
        size, number, iova, length = uapi.unpack(argument, "IIQQ")
        everything = (iova, length) == (0, _EVERYTHING)
        mappings = self.ioas(number).mappings
        done = mappings.unmap(0 if everything else iova, 0 if everything else length,
                              everything=everything)  # fmt: skip
        if not done and not everything:
            raise refusal(errno.ENOENT, f"nothing is mapped at {iova:#x}")
        uapi.pack(argument, "IIQQ", size, number, iova, done)

    def _ranges(self, process: Process, argument: int | bytearray) -> None:
        size, number, room, _, address, _ = uapi.unpack(argument, "IIIIQQ")
        ranges = self.ioas(number).mappings.ranges() or [(0, _EVERYTHING)]
        text = b"".join(struct.pack("QQ", *one) for one in ranges[:room])
        if text:
            process.memory.at(address, len(text))[:] = text
        uapi.pack(argument, "IIIIQQ", size, number, len(ranges), 0, address, PAGE)
        if room < len(ranges):
            raise refusal(errno.EMSGSIZE, f"there are {len(ranges)} ranges")

    def _hardware(self, process: Process, argument: int | bytearray) -> None:
        size, flags, number, length, address, _, _, _ = uapi.unpack(argument, _HW_INFO)
        cdev = self.objects.get(number)
        device = cdev.vfio.device if isinstance(cdev, CdevFile) else None
        group = device.group if device is not None else None
        if group is None or group.unit is None:
            raise refusal(errno.ENOENT, f"there is no device {number} behind an IOMMU")
        unit = group.unit
        data = struct.pack("IIQQ", 0, 0, *unit.registers()) if unit.driver == "intel" else b""
        data = data[:length]
        if data:
            process.memory.at(address, len(data))[:] = data
        kind = _HW_TYPES.get(unit.driver, 0)
        has_no_ats = isinstance(device, PciDevice) and not device.spec.ats
        uapi.pack(argument, _HW_INFO, size, flags, number, len(data), address, kind,
                  group.pasid_bits, _NO_ATS if has_no_ats else 0)  # fmt: skip

    def release(self) -> None:
        """See `OpenFile.release`: no device is bound any more, so nothing is attached."""
        for found in self.objects.values():
            if isinstance(found, Ioas):
                found.mappings.unmap_everything()
        self.objects.clear()


_HW_INFO = "=IIIIQIB3xQ"


class CdevFile(OpenFile):
    """An open node of a device, which can do nothing until it is bound to an iommufd."""

    def __init__(self, vfio: VfioDevice) -> None:
        name = f"/dev/vfio/devices/vfio{vfio.index}"
        super().__init__(name, os.makedev(CDEV_MAJOR, vfio.index))
        self.vfio = vfio
        vfio.nodes_open += 1
        self._iommufd: Iommufd | None = None
        self._id = 0
        self._ioas: Ioas | None = None
        self._pasids: dict[int, Ioas] = {}

    def ioctl(self, process: Process, request: int, argument: int | bytearray) -> int | Completion:
        """See `OpenFile.ioctl`."""
        if request == uapi.DEVICE_BIND_IOMMUFD:
            self._bind(process, argument)
            return 0
        if self._iommufd is None:
            raise refusal(errno.EINVAL, "the device is bound to no iommufd yet")
        if request == uapi.DEVICE_ATTACH_PT:
            self._attach(process, self._iommufd, argument)
            return 0
        if request == uapi.DEVICE_DETACH_PT:
            self._detach_command(argument)
            return 0
        return self.vfio.ioctl(process, request, argument)

    def _bind(self, process: Process, argument: int | bytearray) -> None:
        argsz, flags, number, _ = uapi.unpack(argument, "IIiI")
        if argsz < 16 or flags:
            raise refusal(errno.EINVAL, "argsz is too small, or a flag is not known")
        group = self.vfio.group
        if group is None or self.vfio.cdev is not None:
            raise refusal(errno.EINVAL, f"{self.vfio.device.name} is bound already, or gone")
        iommufd = process.file(number)
        if not isinstance(iommufd, Iommufd):
            raise refusal(errno.EBADFD, f"{iommufd.name} is no iommufd")
        if group.file is not None:
            raise refusal(errno.EBUSY, f"group {group.group.id} is open: {group.file.opener}")
        owners = {one.cdev.owner for one in group.devices if one.cdev is not None}
        if owners - {iommufd}:
            raise refusal(errno.EPERM, f"group {group.group.id} belongs to another iommufd")
        if group.group.unit is not None and not owners:
            group.group.claim(f"{process} through iommufd")
        try:
            self.vfio.on_open(process)
        except OSError:
            if group.group.unit is not None and not owners:
                group.group.release()
            raise
        self.vfio.opens += 1
        self.vfio.cdev = self
        self._iommufd = iommufd
        iommufd.take()
        self._id = iommufd.add(self)
        uapi.pack(argument, "IIiI", argsz, flags, number, self._id)

    @property
    def owner(self) -> Iommufd | None:
        """The iommufd that it is bound to."""
        return self._iommufd

    def _attach(self, process: Process, iommufd: Iommufd, argument: int | bytearray) -> None:
        argsz, flags, number = uapi.unpack(argument, "III")
        if argsz < 12 or flags & ~_PASID:
            raise refusal(errno.EINVAL, "argsz is too small, or a flag is not known")
        if flags & _PASID:
            self._attach_pasid(process, iommufd, argument)
            return
        ioas = iommufd.ioas(number)
        if ioas is self._ioas:
            return
        group = self.vfio.group
        if group is None:
            raise refusal(errno.ENODEV, f"{self.vfio.device.name} is gone")
        before = self._ioas
        self._detach()
        if not any(one.vfio.group is group for one in ioas.devices):
            try:
                ioas.mappings.attach(group, process)
            except OSError:
                if before is not None:
                    before.mappings.attach(group, process)
                    before.devices.add(self)
                    self._ioas = before
                raise
        ioas.devices.add(self)
        self._ioas = ioas

    def _attach_pasid(self, process: Process, iommufd: Iommufd, argument: int | bytearray) -> None:
        """Attach one PASID to an address space. Raises EINVAL for one that there cannot be."""
        argsz, _, number, pasid = uapi.unpack(argument, "IIII")
        group = self.vfio.device.group
        if argsz < 16 or group is None or not 0 < pasid < 1 << group.pasid_bits:
            raise refusal(errno.EINVAL, f"{self.vfio.device.name} has no PASID {pasid}")
        ioas = iommufd.ioas(number)
        if pasid in group.pasids:
            raise refusal(errno.EBUSY, f"PASID {pasid} is attached in group {group.id}")
        ioas.mappings.attach_pasid(group, pasid, process)
        self._pasids[pasid] = ioas

    def _detach_command(self, argument: int | bytearray) -> None:
        _, flags = uapi.unpack(argument, "II")
        if flags & ~_PASID:
            raise refusal(errno.EINVAL, "a flag is not known")
        if flags & _PASID:
            self._detach_pasid(uapi.unpack(argument, "III")[2])
        else:
            self._detach()

    def _detach_pasid(self, pasid: int) -> None:
        ioas, group = self._pasids.pop(pasid, None), self.vfio.device.group
        if ioas is not None and group is not None:
            ioas.mappings.detach_pasid(group, pasid)

    def _detach(self) -> None:
        ioas, group = self._ioas, self.vfio.group
        if ioas is None:
            return
        ioas.devices.discard(self)
        self._ioas = None
        if group is not None and not any(one.vfio.group is group for one in ioas.devices):
            ioas.mappings.detach(group, keep=True)

    def read_at(self, offset: int, size: int) -> bytes:
        """See `OpenFile.read_at`."""
        self._check_bound()
        return self.vfio.read_at(offset, size)

    def write_at(self, offset: int, data: bytes) -> int:
        """See `OpenFile.write_at`."""
        self._check_bound()
        return self.vfio.write_at(offset, data)

    def memory_at(self, offset: int, size: int) -> memoryview:
        """See `OpenFile.memory_at`."""
        self._check_bound()
        return self.vfio.memory_at(offset, size)

    def _check_bound(self) -> None:
        if self._iommufd is None:
            raise refusal(errno.EINVAL, "the device is bound to no iommufd yet")

    def look(self) -> None:
        """See `OpenFile.look`."""
        self.vfio.look()

    def fdinfo(self) -> str:
        """See `OpenFile.fdinfo`."""
        if not self.vfio.kernel.behaviour.syspath_in_fdinfo:
            return ""
        return f"vfio-device-syspath: {self.vfio.device.sysfs}\n"

    def release(self) -> None:
        """See `OpenFile.release`: detach, and give the group back with the last device."""
        iommufd = self._iommufd
        if iommufd is not None:
            for pasid in [*self._pasids]:
                self._detach_pasid(pasid)
            self._detach()
            self.vfio.on_close()
            self.vfio.opens -= 1
            self.vfio.cdev = None
            self._iommufd = None
            del iommufd.objects[self._id]
            group = self.vfio.group
            if group is not None and group.group.unit is not None and (
                all(one.cdev is None for one in group.devices)
            ):  # fmt: skip
                group.group.release()
            iommufd.drop()
        self.vfio.nodes_open -= 1
        self.vfio.check_leaving()
