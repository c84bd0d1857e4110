"""UACCE: queues that are taken when the node is opened. As `drivers/misc/uacce/uacce.c`."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from sdmtop.backends.simulator import uapi
from sdmtop.backends.simulator.processes import PAGE, OpenFile
from sdmtop.backends.simulator.refusal import refusal

if TYPE_CHECKING:
    from sdmtop.backends.simulator.pci import PciDevice
    from sdmtop.backends.simulator.processes import Process
    from sdmtop.backends.simulator.scenario import Uacce as Spec

UACCE_MAJOR = 236
SVA = 1


class UacceDevice:
    """A device of the class, with its pool of queues."""

    def __init__(self, device: PciDevice, spec: Spec) -> None:
        self.device = device
        self.spec = spec
        taken = {other.minor for other in device.kernel.uacce.values()}
        self.minor: int = next(minor for minor in range(len(taken) + 1) if minor not in taken)
        self.is_gone = False
        self.isolate_strategy = 0
        self._free: list[int] = [*range(device.spec.queues - 1, -1, -1)]
        self._files: dict[int, UacceFile] = {}
        """Those that are open, by their queue."""

    @property
    def available(self) -> int:
        """Queues that are left."""
        return len(self._free)

    @property
    def has_sva(self) -> bool:
        """Whether its queues work in the address space of their process."""
        group = self.device.group
        return self.spec.sva and group is not None and group.has_pasids

    def open(self, process: Process) -> OpenFile:
        """Take a queue: see kernel-abi 6 for what is refused."""
        if self.is_gone:
            raise refusal(errno.ENXIO, f"{self.spec.name} is gone")
        if not self._free:
            raise refusal(errno.EBUSY, f"{self.spec.name} has no queue left")
        kernel, group = self.device.kernel, self.device.group
        pasid: int | None = None
        if group is not None and self.has_sva:
            pasid = kernel.pasids.allocate(process, group.pasid_bits)
        queue = self._free.pop()
        file = self._files[queue] = UacceFile(self, queue, pasid)
        if pasid is not None and group is not None:
            kernel.iommu.bind_pasid(group, pasid, process, file).fallback = process.memory
        return file

    def withdraw(self) -> None:
        """The driver is going: all queues stop, and of open files nothing can be had any more."""
        for file in self._files.values():
            file.stop()
        self.is_gone = True

    def give_back(self, queue: int) -> None:
        """A queue is free again."""
        del self._files[queue]
        self._free.append(queue)
        self._free.sort(reverse=True)


class UacceFile(OpenFile):
    """An open node: one queue."""

    def __init__(self, uacce: UacceDevice, queue: int, pasid: int | None) -> None:
        super().__init__(f"/dev/{uacce.spec.name}", os.makedev(UACCE_MAJOR, uacce.minor))
        self._uacce = uacce
        self._queue = queue
        self._pasid = pasid
        self.is_started = False

    def ioctl(self, process: Process, request: int, argument: int | bytearray) -> int:
        """START_Q, PUT_Q, and HiSilicon's own."""
        del process
        if self._uacce.is_gone:
            raise refusal(errno.ENXIO, f"{self._uacce.spec.name} is gone")
        hardware = self._uacce.device.accelerator().queue(self._queue)
        if request == uapi.UACCE_START:
            if self.is_started:
                raise refusal(errno.EINVAL, f"queue {self._queue} has been started")
            hardware.start(self._pasid)
            self.is_started = True
            return 0
        if request == uapi.UACCE_PUT:
            if self.is_started:
                hardware.stop()
            self.is_started = False
            return 0
        if request == uapi.HISI_SET_QP_CTX:
            uapi.pack(argument, "HH", self._queue, 0)
            return 0
        if request == uapi.HISI_SET_QP_INFO:
            uapi.pack(argument, "IHHHH", 128, 1024, 1024, 0, 0)
            return 0
        raise refusal(errno.EINVAL, f"{self._uacce.spec.name} has no such command")

    def memory_at(self, offset: int, size: int) -> memoryview:
        """Region 0 is the doorbell, region 1 the rings; the offset is the region in pages."""
        if self._uacce.is_gone:
            raise refusal(errno.ENXIO, f"{self._uacce.spec.name} is gone")
        if offset not in (0, PAGE):
            raise refusal(errno.EINVAL, f"there is no region at {offset:#x}")
        hardware = self._uacce.device.accelerator().queue(self._queue)
        region = hardware.memory if offset else hardware.doorbell
        if size > len(region):
            raise refusal(errno.EINVAL, f"the region has {len(region)} bytes")
        return region[:size]

    def look(self) -> None:
        """See `OpenFile.look`."""
        if not self._uacce.is_gone:
            self._uacce.device.advance()

    def stop(self) -> None:
        """The queue does nothing any more, and its PASID is unbound."""
        device = self._uacce.device
        if self.is_started:
            device.accelerator().queue(self._queue).stop()
            self.is_started = False
        if self._pasid is not None and device.group is not None:
            device.kernel.iommu.unbind_pasid(device.group, self._pasid, self)

    def release(self) -> None:
        """See `OpenFile.release`: the queue is given back, if the device is not gone."""
        if not self._uacce.is_gone:
            self.stop()
            self._uacce.give_back(self._queue)
