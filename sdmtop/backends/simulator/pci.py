"""PCI: ids and configuration space, virtual functions, resets, removal. As `drivers/pci/`."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.accelerators import make
from sdmtop.backends.simulator.completion import Completion, completed
from sdmtop.backends.simulator.devices import Bus, Device, Driver
from sdmtop.backends.simulator.kstrtox import unsigned
from sdmtop.backends.simulator.refusal import refusal

if TYPE_CHECKING:
    from sdmtop.backends.simulator.accelerators.hardware import Accelerator, Queue
    from sdmtop.backends.simulator.clock import Clock
    from sdmtop.backends.simulator.interrupts import Interrupt
    from sdmtop.backends.simulator.iommu import Domain, Group
    from sdmtop.backends.simulator.kernel import Kernel
    from sdmtop.backends.simulator.mdev import MdevParent
    from sdmtop.backends.simulator.scenario import DeviceSpec
    from sdmtop.backends.simulator.sdmdev import SdmdevParent

BRIDGE_CLASS = 0x0604
_ACS, _ATS, _SRIOV, _PRI, _PASID = 0x0D, 0x0F, 0x10, 0x13, 0x1B
_VF_OFFSET, _VF_STRIDE = 1, 1
_MOST_VFS = 0xFFFF


class PciDevice(Device):
    """A device that has hardware: on bus `pci`, or on another with the same description.

    It is the port of its accelerator.
    """

    def __init__(
        self,
        kernel: Kernel,
        bus: Bus,
        spec: DeviceSpec,
        directory: str,
        parent: Device | None = None,
        physfn: PciDevice | None = None,
    ) -> None:
        super().__init__(kernel, bus, spec.address, directory, parent)
        self.spec = spec
        self.physfn = physfn
        self.numa_node = spec.numa_node
        self.vfs: list[PciDevice] = []
        self._disabling: Completion | None = None
        """The removal of its VFs, while that waits."""
        self._removal: Completion | None = None
        """Its own removal, once it has begun."""
        self.enabled = 0
        self.lines: list[Interrupt] = []
        """The interrupts that its driver has set up."""
        self.msi = ""
        """`msi` or `msix` while its driver uses one of them."""
        self.resets: list[str] = list(spec.reset)
        self.hardware: Accelerator[Queue] | None = None
        self.sdmdev: SdmdevParent | None = None
        self.mdev_parent: MdevParent | None = None
        self.ring: tuple[Domain, int] | None = None
        """Where its driver has mapped memory of its own."""

    @property
    def does_dma(self) -> bool:
        """See `Device.does_dma`."""
        return not self.is_bridge

    @property
    def lock(self) -> Completion | None:
        """See `Device.lock`: removing its VFs takes it, too."""
        return self.leaving or self._disabling

    @property
    def is_bridge(self) -> bool:
        """Whether there is a bus behind it."""
        return self.spec.class_ >> 8 == BRIDGE_CLASS

    @property
    def serves_kernel(self) -> bool:
        """Whether a driver of the kernel's has it, so that its disks and interfaces are there."""
        driver = self.linked_driver
        return driver is not None and driver.uses_dma

    @property
    def pasid_bits(self) -> int:
        """Width of its PASIDs; a VF has those of its PF."""
        return self.physfn.pasid_bits if self.physfn is not None else self.spec.pasid_bits

    def alike(self, driver: Driver) -> bool:
        """See `Device.alike`: by vendor and device, the ids of whatever the driver was made for."""
        return (self.spec.vendor, self.spec.device) in driver.ids or self.name in driver.devices

    # -- what its accelerator is given (`accelerators.hardware.Port`) --------------------------

    @property
    def clock(self) -> Clock:
        """Time."""
        return self.kernel.clock

    def translate(
        self, iova: int, size: int, *, write: bool, pasid: int | None = None
    ) -> list[memoryview]:
        """The memory that it reaches. Raises `DmaError`, which the IOMMU has logged."""
        return self.kernel.iommu.translate(self, iova, size, write=write, pasid=pasid)

    def raise_interrupt(self) -> None:
        """The first vector of whoever has the device."""
        if self.lines:
            self.kernel.interrupts.fire(self.lines[0])

    def accelerator(self) -> Accelerator[Queue]:
        """Its hardware. Raises ENODEV for a device that does not compute."""
        if self.hardware is None:
            kind = self.spec.accelerator
            if kind is None:
                raise refusal(errno.ENODEV, f"{self.name} does not compute")
            queues = len(self.spec.idxd.queues) if self.spec.idxd else self.spec.queues
            common = "rfc-v2" in self.kernel.scenario.quirks
            self.hardware = make(kind, self, queues, common_doorbell=common)
        return self.hardware

    def advance(self) -> None:
        """Its pages may have been written: it notices now what it would notice anyway."""
        if self.hardware is not None:
            self.hardware.advance(self.clock.now)

    # -- reset ---------------------------------------------------------------------------------

    def write_reset(self, data: bytes) -> Completion:
        """`reset`. Raises EINVAL for anything but 1, ENOTTY without a method."""
        if unsigned(data) != 1:
            raise refusal(errno.EINVAL, "only 1 can be written")
        return self.when_unlocked(self.reset)

    def reset(self) -> None:
        """Reset the function. Raises ENOTTY without a method."""
        if not self.resets:
            raise refusal(errno.ENOTTY, f"{self.name} has no way to be reset, or all are disabled")
        self.say("resetting")
        if self.hardware is not None:
            self.hardware.reset()
        self.say("reset done")

    def write_reset_method(self, data: bytes) -> None:
        """`reset_method`: names in the order of trying, `default`, or nothing to disable all."""
        words = data.decode("ascii", "replace").split()
        if words == ["default"]:
            self.resets = list(self.spec.reset)
            return
        for word in words:
            if word not in self.spec.reset:
                raise refusal(errno.EINVAL, f"{self.name} has no reset method {word!r}")
        self.resets = [*words]

    # -- virtual functions ---------------------------------------------------------------------

    def write_numvfs(self, data: bytes) -> Completion:
        """`sriov_numvfs`: see kernel-abi 1.4 for what it refuses."""
        count = unsigned(data)
        if count > _MOST_VFS:
            raise refusal(errno.EINVAL, f"{count} is no number of 16 bits")
        if count > self.spec.sriov_total:
            raise refusal(errno.ERANGE, f"{self.name} has {self.spec.sriov_total} VFs at most")

        def change() -> Completion | None:
            if count == len(self.vfs):
                return None
            if self.driver is None or not self.driver.makes_vfs:
                who = self.driver.name if self.driver is not None else "no driver"
                raise refusal(errno.ENOENT, f"{who} makes no VFs of {self.name}")
            if not count:
                return self.remove_vfs()
            if self.vfs:
                self.say(
                    f"{len(self.vfs)} VFs already enabled. Disable before enabling {count} VFs", 4
                )
                raise refusal(
                    errno.EBUSY, f"{self.name} has {len(self.vfs)} VFs; disable them first"
                )
            self.add_vfs(count)
            return None

        return self.when_unlocked(change)

    def add_vfs(self, count: int) -> None:
        """Make virtual functions, each a device with a group of its own."""
        for number in range(count):
            self.vfs.append(self.kernel.pci.add_vf(self, number))

    def remove_vfs(self) -> Completion:
        """Remove all of them, the last one first, as soon as nobody holds them."""
        ending = self._disabling = self.held()

        def remove_next(_: Completion) -> None:
            if self.vfs:
                self.vfs[-1].remove().then(drop)
            else:
                self._disabling = None
                ending.finish()

        def drop(done: Completion) -> None:
            self.vfs.pop()
            remove_next(done)

        remove_next(ending)
        return ending

    # -- removal -------------------------------------------------------------------------------

    def write_remove(self, data: bytes) -> Completion:
        """`remove`: take the device away, once it is let go."""
        return self.remove() if unsigned(data) else completed()

    def remove(self) -> Completion:
        """Unbind, and take away with everything behind it; a second one waits for the first."""
        if self._removal is not None:
            return self._removal
        ending = self._removal = self.held()

        def remove_next(_: Completion) -> None:
            behind = next(iter(self.children.values()), None)
            if isinstance(behind, PciDevice):
                behind.remove().then(remove_next)
                return
            self.unbind().then(end)

        def end(_: Completion) -> None:
            self.kernel.iommu.leave(self)
            self.bus.take_away(self)
            if self.physfn is None:
                self.kernel.pci.removed[self.name] = self
            ending.finish()

        remove_next(ending)
        return ending

    # -- configuration space -------------------------------------------------------------------

    @property
    def config_size(self) -> int:
        """4096 bytes of a PCIe device, 256 of a conventional one."""
        spec = self.spec
        is_express = spec.pasid_bits or spec.ats or spec.pri or spec.sriov_total or spec.acs
        return 4096 if is_express or "flr" in spec.reset or self.physfn is not None else 256

    def config(self) -> bytes:
        """The configuration space."""
        spec = self.spec
        space = bytearray(self.config_size)
        vf = self.physfn is not None
        struct.pack_into("<HH", space, 0, 0xFFFF if vf else spec.vendor,
                         0xFFFF if vf else spec.device)  # fmt: skip
        struct.pack_into("<H", space, 4, 0x0006 if self.enabled else 0)
        struct.pack_into("<I", space, 8, spec.class_ << 8 | spec.revision)
        space[0x0E] = 1 if self.is_bridge else 0
        struct.pack_into("<HH", space, 0x2C, spec.subsystem_vendor, spec.subsystem_device)
        if len(space) > 256:
            self._extended(space)
        return bytes(space)

    def _extended(self, space: bytearray) -> None:
        spec = self.spec
        on = self.driver is not None
        found: list[tuple[int, bytes]] = []
        if spec.acs:
            found.append((_ACS, struct.pack("<HH", 0x1F, 0x1D)))
        if spec.ats:
            found.append((_ATS, struct.pack("<HH", 0x20, 0x8000 if on else 0)))
        if spec.pri and self.physfn is None:
            found.append((_PRI, struct.pack("<HH", int(on), 0x8100)))
        if spec.pasid_bits and self.physfn is None:
            found.append((_PASID, struct.pack("<HH", spec.pasid_bits << 8, int(on))))
        if spec.sriov_total and self.physfn is None:
            found.append((_SRIOV, struct.pack("<IHH", 0, 0x09 if self.vfs else 0, 0)))
        at = 0x100
        for number, (id_, body) in enumerate(found):
            following = 0 if number == len(found) - 1 else at + 0x40
            struct.pack_into("<I", space, at, following << 20 | 1 << 16 | id_)
            space[at + 4 : at + 4 + len(body)] = body
            at += 0x40

    def modalias(self) -> str:
        """What tells user space which module is for it."""
        spec = self.spec
        class_ = spec.class_
        return (
            f"pci:v{spec.vendor:08X}d{spec.device:08X}sv{spec.subsystem_vendor:08X}"
            f"sd{spec.subsystem_device:08X}bc{class_ >> 16:02X}sc{class_ >> 8 & 0xFF:02X}"
            f"i{class_ & 0xFF:02X}"
        )

    def uevent(self) -> str:
        """See `Device.uevent`."""
        spec = self.spec
        return super().uevent() + (
            f"PCI_CLASS={spec.class_:X}\nPCI_ID={spec.vendor:04X}:{spec.device:04X}\n"
            f"PCI_SUBSYS_ID={spec.subsystem_vendor:04X}:{spec.subsystem_device:04X}\n"
            f"PCI_SLOT_NAME={self.name}\nMODALIAS={self.modalias()}\n"
        )


class PciBus(Bus):
    """The bus `pci`, and how what is found on it is grouped."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel, "pci")
        self.roots: dict[str, dict[str, Device]] = {}
        """Host bridges, `pci0000:00`, with what is directly below them."""
        self.removed: dict[str, PciDevice] = {}
        """Devices that were removed and that a rescan finds again."""
        self._shared: dict[str, Group] = {}
        """Groups that a scenario puts several devices into, by the name that it has for them."""

    def place(self, device: PciDevice) -> None:
        """Enter a device, with its group."""
        self.add(device)
        if device.parent is None:
            self.roots.setdefault(device.path.partition("/")[0], {})[device.name] = device
        self._join(device)

    def take_away(self, device: Device) -> None:
        """See `Bus.take_away`."""
        super().take_away(device)
        self.roots.get(device.path.partition("/")[0], {}).pop(device.name, None)

    def serving(self) -> list[PciDevice]:
        """Devices whose disks and interfaces are there."""
        found = (device for device in self.devices.values() if isinstance(device, PciDevice))
        return [device for device in found if device.serves_kernel]

    def _join(self, device: PciDevice) -> None:
        spec = device.spec
        unit = self.kernel.iommu.units.get(spec.unit) if spec.unit is not None else None
        if unit is None:
            return
        key = spec.group if device.physfn is None else None
        group = self._shared.get(key) if key is not None else None
        if group is None or not group.devices:
            boot = spec.domain_type or self.kernel.scenario.domain_type
            group = self.kernel.iommu.new_group(unit, boot=boot)
            if key is not None:
                self._shared[key] = group
        group.reserve(spec.reserved)
        self.kernel.iommu.join(group, device)
        device.say(f"Adding to iommu group {group.id}")

    def add_vf(self, physfn: PciDevice, number: int) -> PciDevice:
        """A virtual function of a device, on the next routing id."""
        spec = physfn.spec
        segment, bus, slot = spec.address.split(":")
        device, _, function = slot.partition(".")
        routing = int(bus, 16) << 8 | int(device, 16) << 3 | int(function)
        routing += _VF_OFFSET + number * _VF_STRIDE
        address = f"{segment}:{routing >> 8:02x}:{routing >> 3 & 0x1F:02x}.{routing & 7}"
        vf = PciDevice(
            self.kernel,
            self,
            _vf_spec(spec, address),
            physfn.path.rpartition("/")[0],
            physfn.parent,
            physfn,
        )
        self.place(vf)
        vf.probe()
        return vf

    def write_rescan(self, data: bytes) -> None:
        """`rescan`: find again what was removed."""
        if not unsigned(data):
            return
        for name, old in sorted(self.removed.items()):
            parent = old.parent
            if parent is not None and parent.name in self.removed:
                continue
            del self.removed[name]
            if parent is not None:
                parent = self.devices.get(parent.name)
            device = PciDevice(self.kernel, self, old.spec, old.path.rpartition("/")[0], parent)
            self.place(device)
            device.probe()


def _vf_spec(spec: DeviceSpec, address: str) -> DeviceSpec:
    """What a VF is: as its PF, without what only a PF has."""
    from msgspec.structs import replace

    return replace(
        spec, address=address, device=spec.vf_device or spec.device, sriov_total=0, vfs=0,
        group=None, instances=0, mdev_types=(), sdmdev=None, uacce=None, idxd=None, interfaces=(),
        disk=None,
    )  # fmt: skip
