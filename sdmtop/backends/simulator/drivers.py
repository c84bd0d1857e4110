"""The kernel's own drivers, as far as they show: interrupts, their DMA, the classes they join."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.completion import Completion, completed
from sdmtop.backends.simulator.devices import Device, Driver
from sdmtop.backends.simulator.idxd import IdxdDevice
from sdmtop.backends.simulator.iommu import Mapping
from sdmtop.backends.simulator.mdev import Mdev, MdevParent, PlainMdev
from sdmtop.backends.simulator.pci import PciDevice
from sdmtop.backends.simulator.refusal import refusal
from sdmtop.backends.simulator.sdmdev import (
    MULTI_PROC_MAP,
    SINGLE_PROC_MAP,
    SdmdevParent,
    SdmdevQueue,
)
from sdmtop.backends.simulator.uacce import UacceDevice
from sdmtop.backends.simulator.vfio_pci import VfioPciDevice

if TYPE_CHECKING:
    from sdmtop.backends.simulator.interrupts import Interrupt
    from sdmtop.backends.simulator.kernel import Kernel
    from sdmtop.backends.simulator.scenario import DeviceSpec
    from sdmtop.backends.simulator.scenario import Sdmdev as SdmdevSpec
    from sdmtop.backends.simulator.vfio import VfioDevice

MANAGED = frozenset({"pcieport", "pci-stub", "fsl_mc_dprc", "vfio-pci"})
"""Drivers with `driver_managed_dma`: a group that has only these can be claimed."""
_RING = 16 * 4096
_RING_IOVA = 0xFFFF_0000
"""The DMA API gives out IOVAs from 4 GiB downwards."""


class KernelDriver(Driver):
    """The driver that a device had when the scenario began, or one like it."""

    def __init__(self, kernel: Kernel, name: str) -> None:
        super().__init__(name)
        self._kernel = kernel
        self.uses_dma = name not in MANAGED

    def probe(self, device: Device) -> None:
        """See `Driver.probe`."""
        if not isinstance(device, PciDevice):
            return
        device.enabled += 1
        self._map_ring(device)
        self._set_up_interrupts(device)
        self._join_classes(device)

    def remove(self, device: Device) -> Completion:
        """See `Driver.remove`: users first, then virtual functions, then the hardware."""
        if not isinstance(device, PciDevice):
            return completed()
        ending = Completion()

        def without_mdevs(_: Completion) -> None:
            device.remove_vfs().then(without_vfs)

        def without_vfs(_: Completion) -> None:
            device.mdev_parent = None
            device.sdmdev = None
            self._kernel.leave_classes(device)
            self._tear_down(device)
            ending.finish()

        # The class device goes first: no queue can be opened through it any more.
        self._kernel.sdmdevs.pop(device.name, None)
        if device.mdev_parent is None:
            without_mdevs(ending)
        else:
            device.mdev_parent.unregister().then(without_mdevs)
        return ending

    # -- the hardware --------------------------------------------------------------------------

    def _map_ring(self, device: PciDevice) -> None:
        """The driver's own DMA, which user mappings in a shared domain may not overlap."""
        group = device.group
        if not self.uses_dma or group is None or group.domain is None:
            return
        if not group.domain.is_paging:
            return
        iova = _RING_IOVA
        while group.domain.overlapping(iova, _RING) is not None:
            iova -= _RING
        owner = f"{self.name} {device.name}"
        group.domain.map(Mapping(iova, _RING_MEMORY, True, True, owner))  # noqa: FBT003
        device.ring = (group.domain, iova)

    def _set_up_interrupts(self, device: PciDevice) -> None:
        spec = device.spec.interrupts
        for number, action in enumerate(spec.actions):
            device.lines.append(self._line(device, spec.kind, number, action))
        if device.lines and spec.kind != "intx":
            device.msi = spec.kind

    def _line(self, device: PciDevice, kind: str, number: int, action: str) -> Interrupt:
        # A driver with many queues lets the kernel place their vectors.
        managed = self.name == "nvme" and number > 0

        def handle() -> None:
            if device.sdmdev is not None:
                device.sdmdev.on_interrupt()

        return self._kernel.allocate_line(device, kind, number, action, handle, managed=managed)

    def _tear_down(self, device: PciDevice) -> None:
        for line in device.lines:
            self._kernel.interrupts.free(line)
        device.lines.clear()
        device.msi = ""
        device.enabled -= 1
        if device.ring is not None:
            domain, iova = device.ring
            domain.unmap(iova)
            device.ring = None

    # -- the classes ---------------------------------------------------------------------------

    def _join_classes(self, device: PciDevice) -> None:
        spec = device.spec
        if spec.sdmdev is not None:
            self._register_sdmdev(device, spec.sdmdev)
        if spec.mdev_types:
            self._register_types(device, spec)
        if spec.uacce is not None:
            self._kernel.uacce[spec.uacce.name] = UacceDevice(device, spec.uacce)
        if spec.idxd is not None:
            self._kernel.idxd[spec.idxd.name] = IdxdDevice(device, spec.idxd)

    def _register_sdmdev(self, device: PciDevice, sdmdev: SdmdevSpec) -> None:
        flag = sdmdev.dma_flag
        if flag is None:
            has_pasids = device.group is not None and device.group.has_pasids
            flag = MULTI_PROC_MAP if has_pasids else SINGLE_PROC_MAP
        device.sdmdev = SdmdevParent(
            device,
            iommu_type=sdmdev.iommu_type,
            dma_flag=flag,
            queues=device.spec.queues,
            rfc_v2="rfc-v2" in self._kernel.scenario.quirks,
        )
        self._kernel.sdmdevs[device.name] = device

    def _register_types(self, device: PciDevice, spec: DeviceSpec) -> None:
        sdmdev = device.sdmdev

        def make(mdev: Mdev) -> VfioDevice:
            return PlainMdev(mdev) if sdmdev is None else SdmdevQueue(mdev, sdmdev)

        exhausted = errno.ENOSPC
        if sdmdev is not None:
            # HiSilicon's queue management, or the RFC's dummy driver.
            is_dummy = spec.accelerator in ("memcpy", "edu")
            exhausted = errno.ENODEV if is_dummy else errno.EBUSY
        device.mdev_parent = MdevParent(
            device,
            spec.mdev_types,
            spec.instances or spec.queues,
            exhausted,
            make,
            emulated=sdmdev is None,
        )
        self._kernel.mdev.register(device.mdev_parent)


_RING_MEMORY = memoryview(bytearray(_RING))
"""What all drivers have in their rings: nothing that anybody looks at."""


class VfioPciDriver(Driver):
    """`vfio-pci`: hands its devices to processes. It has no ids, only overrides."""

    uses_dma = False

    def __init__(self, kernel: Kernel) -> None:
        super().__init__("vfio-pci")
        self._kernel = kernel
        self._offered: dict[str, VfioPciDevice] = {}

    def probe(self, device: Device) -> None:
        """See `Driver.probe`: EINVAL for a bridge, or without an IOMMU."""
        if not isinstance(device, PciDevice) or device.is_bridge:
            raise refusal(errno.EINVAL, f"{device.name} is a bridge: VFIO takes none")
        if device.group is None:
            if not self._kernel.vfio.noiommu:
                raise refusal(errno.EINVAL, f"{device.name} is in no IOMMU group")
            group = self._kernel.iommu.new_group(None, name="vfio-noiommu")
            self._kernel.iommu.join(group, device)
            self._kernel.taint |= 64
            device.say("Adding kernel taint for vfio-noiommu group on device", 4)
        device.enabled += 1
        vfio = self._offered[device.name] = VfioPciDevice(device)
        vfio.register()

    def remove(self, device: Device) -> Completion:
        """See `Driver.remove`: waits for the holder."""
        vfio = self._offered[device.name]
        ending = vfio.unregister()

        def end(_: Completion) -> None:
            vfio.pci.enabled -= 1
            del self._offered[device.name]
            if device.group is not None and device.group.name is not None:
                self._kernel.iommu.leave(device)

        ending.then(end)
        return ending
