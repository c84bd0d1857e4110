"""The class `sdmdev` of the 2018 RFC: queues of a parent that keeps its driver (sdmdev.md).

A queue is taken when its mdev is made. A process that opens it shares the parent's domain and the
parent's one interrupt.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sdmtop.backends.simulator import uapi
from sdmtop.backends.simulator.completion import Completion
from sdmtop.backends.simulator.processes import PAGE
from sdmtop.backends.simulator.refusal import refusal
from sdmtop.backends.simulator.vfio import VfioDevice

if TYPE_CHECKING:
    from sdmtop.backends.simulator.accelerators.hardware import Queue
    from sdmtop.backends.simulator.mdev import Mdev
    from sdmtop.backends.simulator.pci import PciDevice
    from sdmtop.backends.simulator.processes import Process

SINGLE_PROC_MAP, MULTI_PROC_MAP, SVM, SVM_NO_FAULT, PHY = 1, 2, 4, 8, 16
DOORBELL, MEMORY = 0, 1
"""Regions that can be mapped: their number is the low four bits of the page offset."""


class SdmdevParent:
    """A device of the class. Its queues are numbered; a free one has the lowest number."""

    def __init__(
        self, device: PciDevice, *, iommu_type: int, dma_flag: int, queues: int, rfc_v2: bool
    ) -> None:
        self.device = device
        self.iommu_type = iommu_type
        self.dma_flag = dma_flag
        self.rfc_v2 = rfc_v2
        self._free: list[int] = [*range(queues - 1, -1, -1)]
        self.queues: dict[int, SdmdevQueue] = {}

    @property
    def is_svm(self) -> bool:
        """Whether the device walks the page table of a process."""
        return bool(self.dma_flag & (SVM | SVM_NO_FAULT))

    def get_queue(self, queue: SdmdevQueue) -> int:
        """Take a queue, when an mdev is made."""
        number = self._free.pop()
        self.queues[number] = queue
        return number

    def put_queue(self, number: int) -> None:
        """Give it back, when the mdev is removed."""
        del self.queues[number]
        self._free.append(number)
        self._free.sort(reverse=True)

    def on_interrupt(self) -> None:
        """The parent's interrupt: wake the waiters of every queue that has news."""
        for number in sorted(self.queues):
            self.queues[number].wake()


class SdmdevQueue(VfioDevice):
    """One queue, as the process sees it that has its mdev open."""

    waits_for_group = True

    def __init__(self, mdev: Mdev, parent: SdmdevParent) -> None:
        super().__init__(mdev)
        self.parent = parent
        self.number = parent.get_queue(self)
        self.pid = 0
        self.pasid = 0
        self.is_started = False
        self._waiters: list[Completion] = []

    @property
    def hardware(self) -> Queue:
        """The queue of the parent's hardware."""
        return self.parent.device.accelerator().queue(self.number)

    @property
    def walks_page_table(self) -> bool:
        """See `VfioDevice.walks_page_table`."""
        return self.parent.is_svm

    @property
    def pending(self) -> int:
        """Jobs that have been submitted and are not done."""
        return self.hardware.pending if self.is_started else 0

    def free(self) -> None:
        """See `VfioDevice.free`."""
        self.parent.put_queue(self.number)

    # -- open and close ------------------------------------------------------------------------

    def on_open(self, process: Process) -> None:
        """Without PASIDs the queue starts at once, else it waits for BIND_PASID."""
        self.pid = process.pid
        if not self._needs_pasid:
            self._start(None)

    def on_close(self) -> None:
        """Stop the queue, and send the waiters home."""
        if self.is_started:
            self.hardware.stop()
        self.is_started = False
        self.pid = self.pasid = 0
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.fail(OSError(errno.EINTR, "the queue was closed"))

    @property
    def _needs_pasid(self) -> bool:
        group = self.parent.device.group
        return group is not None and group.has_pasids

    def _start(self, pasid: int | None) -> None:
        try:
            self.hardware.start(pasid)
        except OSError:
            # The posted driver swallowed this error at open.
            if not self.parent.rfc_v2:
                raise
        self.is_started = True

    # -- commands ------------------------------------------------------------------------------

    def ioctl(self, process: Process, request: int, argument: int | bytearray) -> int | Completion:
        """See `VfioDevice.ioctl`."""
        if request == uapi.SDMDEV_WAIT:
            return self._wait(uapi.number_in(argument))
        if request == uapi.SDMDEV_BIND_PASID:
            self._bind_pasid(process, uapi.number_in(argument))
            return 0
        if request == uapi.DEVICE_GET_INFO:
            argsz, *_ = uapi.unpack(argument, "IIII")
            uapi.pack(argument, "IIII", argsz, 0, 2, 0)
            return 0
        if request == uapi.DEVICE_GET_REGION_INFO:
            argsz, _, index, _, _, _ = uapi.unpack(argument, "IIIIQQ")
            size = len(self._region(index))
            flags = uapi.REGION_READ | uapi.REGION_WRITE | uapi.REGION_MMAP
            uapi.pack(argument, "IIIIQQ", argsz, flags, index, 0, size, index * PAGE)
            return 0
        raise refusal(errno.EINVAL, f"{self.device.name} has no such command")

    def _bind_pasid(self, process: Process, pasid: int) -> None:
        """BIND_PASID. Raises EINVAL for the PASID of another process."""
        pasids = self.device.kernel.pasids
        owner = pasids.by_number.get(pasid)
        if owner is not process:
            whose = f"is {owner}'s" if owner is not None else "belongs to nobody"
            raise refusal(errno.EINVAL, f"PASID {pasid} {whose}")
        if self.is_started:
            raise refusal(errno.EBUSY, f"queue {self.number} has been started")
        self._start(pasid)
        self.pasid = pasid

    def _wait(self, milliseconds: int) -> int | Completion:
        """WAIT: 1 when the queue was updated, 0 when the time is over (0: there is no limit)."""
        if self.parent.rfc_v2:
            raise refusal(errno.ENODEV, "the driver has no mask_notify")
        if self.is_started:
            self.look()
            if self.hardware.is_updated():
                return 1
        waiting = Completion(f"queue {self.number} is not updated", "vfio_sdmdev_wait")
        self._waiters.append(waiting)
        if milliseconds:

            def give_up() -> None:
                if waiting in self._waiters:
                    self._waiters.remove(waiting)
                    waiting.finish(0)

            self.device.kernel.clock.after(milliseconds / 1000, give_up)
        return waiting

    def wake(self) -> None:
        """The parent's interrupt has come."""
        if not self._waiters or not self.hardware.is_updated():
            return
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.finish(1)

    # -- memory --------------------------------------------------------------------------------

    def _region(self, number: int) -> memoryview:
        if number == DOORBELL:
            return self.hardware.doorbell
        if number == MEMORY:
            return self.hardware.memory
        raise refusal(errno.EINVAL, f"there is no region {number}")

    def memory_at(self, offset: int, size: int) -> memoryview:
        """See `VfioDevice.memory_at`."""
        region = self._region(offset // PAGE & 0xF)
        if offset % PAGE or size > len(region):
            raise refusal(errno.EINVAL, f"region {offset // PAGE & 0xF} has {len(region)} bytes")
        return region[:size]

    def look(self) -> None:
        """See `VfioDevice.look`."""
        self.parent.device.advance()

    def read_at(self, offset: int, size: int) -> bytes:
        """See `VfioDevice.read_at`: bytes of the doorbell page."""
        return bytes(self._region(DOORBELL)[offset : offset + size])

    def write_at(self, offset: int, data: bytes) -> int:
        """See `VfioDevice.write_at`: bytes into the doorbell page."""
        page = self._region(DOORBELL)
        if offset + len(data) > len(page):
            raise refusal(errno.EINVAL, "that is beyond the doorbell page")
        page[offset : offset + len(data)] = data
        self.hardware.ring()
        return len(data)
