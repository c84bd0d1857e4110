"""Work queues of Intel DSA and IAA. As `drivers/dma/idxd/`, as far as kernel-abi 7 tells."""

from __future__ import annotations

import errno
import itertools
import os
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.accelerators.dsa import DESCRIPTOR, DsaQueue
from sdmtop.backends.simulator.processes import PAGE, OpenFile
from sdmtop.backends.simulator.refusal import refusal
from sdmtop.backends.simulator.scenario import WorkQueue as QueueSpec

if TYPE_CHECKING:
    from sdmtop.backends.simulator.accelerators.dsa import Portal
    from sdmtop.backends.simulator.pci import PciDevice
    from sdmtop.backends.simulator.processes import Process
    from sdmtop.backends.simulator.scenario import Idxd as Spec

IDXD_MAJOR = 235
_USER_WITHOUT_PASIDS = 0x8011_0000
"""`cmd_status` after a queue for processes could not be enabled."""

_FRESH = QueueSpec(mode="shared")
"""What a queue is that nobody has configured since the driver came."""


class IdxdDevice:
    """`dsa0` or `iax0`, with its queues: all fresh, as the driver finds them after its reset."""

    def __init__(self, device: PciDevice, spec: Spec) -> None:
        self.device = device
        self.spec = spec
        self.number = int(spec.name[3:])
        self.cmd_status = 0
        self.state = "disabled"
        self.is_gone = False
        taken = {
            queue.minor for other in device.kernel.idxd.values() for queue in other.queues.values()
        }
        free = (minor for minor in itertools.count() if minor not in taken)
        self.queues: dict[str, IdxdQueue] = {
            f"wq{self.number}.{index}": IdxdQueue(self, index, next(free))
            for index in range(len(spec.queues))
        }

    def configure(self) -> None:
        """Configure and enable all as the scenario says: what accel-config does at boot."""
        self.state = "enabled"
        for queue, spec in zip(self.queues.values(), self.spec.queues, strict=True):
            queue.spec = spec
            # Without PASIDs the driver enables no queue for processes.
            queue.is_enabled = spec.enabled and (spec.type != "user" or self.has_pasids)
            if spec.enabled and not queue.is_enabled:
                self.cmd_status = _USER_WITHOUT_PASIDS

    def leave(self) -> None:
        """The driver goes: the device is disabled, and takes nothing more from who has it open."""
        self.is_gone = True
        for queue in self.queues.values():
            for file in queue.files.values():
                file.disable()

    @property
    def clients(self) -> int:
        """Open files of all its queues."""
        return sum(len(queue.files) for queue in self.queues.values())

    @property
    def has_pasids(self) -> bool:
        """`pasid_enabled`."""
        return self.device.group is not None and self.device.group.has_pasids


class IdxdQueue:
    """A work queue. `files` are those that have it open, by the number of their directory."""

    def __init__(self, idxd: IdxdDevice, index: int, minor: int) -> None:
        self.idxd = idxd
        self.index = index
        self.minor = minor
        self.spec = _FRESH
        self.name = f"wq{idxd.number}.{index}"
        self.is_enabled = False
        self.files: dict[int, IdxdFile] = {}
        self._opened = 0

    @property
    def node(self) -> str:
        """The name of its node below /dev."""
        return f"{self.idxd.spec.name[:3]}/{self.name}"

    @property
    def has_node(self) -> bool:
        """Whether a process can open it."""
        return self.is_enabled and self.spec.type == "user"

    def open(self, process: Process) -> OpenFile:
        """Open the node. Raises EBUSY for a dedicated queue that is open."""
        if self.spec.mode == "dedicated" and self.files:
            raise refusal(errno.EBUSY, f"{self.name} is dedicated, and open")
        device = self.idxd.device
        pasid: int | None = None
        if device.group is not None and self.idxd.has_pasids:
            pasid = device.kernel.pasids.allocate(process, device.group.pasid_bits)
        self._opened += 1
        file = IdxdFile(self, self._opened - 1, process.pid, pasid)
        self.files[file.index] = file
        if pasid is not None and device.group is not None:
            table = device.kernel.iommu.bind_pasid(device.group, pasid, process, file)
            table.fallback = process.memory
        return file


class IdxdFile(OpenFile):
    """An open queue: its portal is a page of the device."""

    def __init__(self, queue: IdxdQueue, index: int, pid: int, pasid: int | None) -> None:
        super().__init__(f"/dev/{queue.node}", os.makedev(IDXD_MAJOR, queue.minor))
        self.queue = queue
        self.index = index
        self.pid = pid
        self._pasid = pasid
        self._queue: DsaQueue | None = None
        self._portal: Portal | None = None

    def memory_at(self, offset: int, size: int) -> memoryview:
        """The portal."""
        if offset or size != PAGE:
            raise refusal(errno.EINVAL, "the portal is one page")
        return self._opened().page

    def write_at(self, offset: int, data: bytes) -> int:
        """Descriptors by `write`, as newer kernels take them. Raises EINVAL for half of one."""
        del offset
        if not data or len(data) % DESCRIPTOR.size:
            raise refusal(errno.EINVAL, f"a descriptor has {DESCRIPTOR.size} bytes")
        portal = self._opened()
        for at in range(0, len(data), DESCRIPTOR.size):
            portal.submit(data[at : at + DESCRIPTOR.size])
        return len(data)

    def disable(self) -> None:
        """What is written to the portal from now on goes nowhere."""
        if self._queue is not None and self._portal is not None:
            self._queue.close(self._portal)

    def _opened(self) -> Portal:
        if self.queue.idxd.is_gone:
            raise refusal(errno.ENODEV, f"{self.queue.idxd.spec.name} is gone")
        if self._portal is None:
            queue = self.queue.idxd.device.accelerator().queue(self.queue.index)
            if not isinstance(queue, DsaQueue):
                raise refusal(errno.ENODEV, f"{self.queue.name} is no queue of a DSA")
            self._queue = queue
            self._portal = queue.open(self._pasid)
        return self._portal

    def look(self) -> None:
        """See `OpenFile.look`."""
        self.queue.idxd.device.advance()

    def release(self) -> None:
        """See `OpenFile.release`: what was submitted is drained first."""
        device = self.queue.idxd.device
        self.disable()
        del self.queue.files[self.index]
        if self._pasid is not None and device.group is not None:
            device.kernel.iommu.unbind_pasid(device.group, self._pasid, self)
