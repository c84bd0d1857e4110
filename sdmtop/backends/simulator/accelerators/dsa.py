"""Intel's Data Streaming Accelerator: descriptors of 64 bytes, written to a portal (region 0).

Layouts and numbers: include/uapi/linux/idxd.h. A descriptor can stand at any multiple of 64 in the
page of the portal, and is taken from there.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.accelerators.hardware import PAGE, Accelerator, Queue

if TYPE_CHECKING:
    from sdmtop.backends.simulator.accelerators.hardware import Port, Timer

DESCRIPTOR = struct.Struct("<IIQQQIHH24x")
"""PASID, flags and opcode, completion, source, target, size, interrupt handle, reserved."""
RECORD = struct.Struct("<BBBxIQ16x")
"""Completion record: status, result, fault information, bytes completed, address of a fault."""

NOOP, DRAIN, MEMMOVE, FILL, COMPARE = 0, 2, 3, 4, 5
"""Opcodes."""
RECORD_VALID, REQUEST_RECORD, REQUEST_INTERRUPT = 4, 8, 0x10
"""Flags."""
SUCCESS, PAGE_FAULT, BAD_OPCODE, BAD_SIZE = 1, 3, 0x10, 0x13
"""Status of a completion record."""

MOST_BYTES = 1 << 21
_SETUP = 2e-6
_RATE = 3e10
_EMPTY = bytes(PAGE)
_NONE = bytes(DESCRIPTOR.size)


class Dsa(Accelerator["DsaQueue"]):
    """Work queues that take descriptors; each process's are told apart by its PASID."""

    def __init__(self, port: Port, queues: int) -> None:
        super().__init__(port, queues)
        self._busy_until = 0.0

    def seconds_for(self, size: int) -> float:
        """How long from now until the engine has moved these bytes too."""
        now = self.port.clock.now
        self._busy_until = max(self._busy_until, now) + _SETUP + size / _RATE
        return self._busy_until - now

    def _make_queue(self, number: int) -> DsaQueue:
        return DsaQueue(self, number)

    def run(
        self, opcode: int, source: int, target: int, size: int, pasid: int | None
    ) -> tuple[int, int, int, int]:
        """Carry one out: status, result, bytes completed, address of a fault."""
        self.jobs += 1
        if opcode in (NOOP, DRAIN):
            return SUCCESS, 0, 0, 0
        if opcode not in (MEMMOVE, FILL, COMPARE):
            return BAD_OPCODE, 0, 0, 0
        if not 0 < size <= MOST_BYTES:
            return BAD_SIZE, 0, 0, 0
        at = source
        try:
            if opcode == FILL:
                at = target
                pattern = source.to_bytes(8, "little") * (size // 8 + 1)
                self.write_memory(target, self.spoil(pattern[:size]), pasid)
                return SUCCESS, 0, size, 0
            data = self.read_memory(source, size, pasid)
            at = target
            if opcode == COMPARE:
                other = self.read_memory(target, size, pasid)
                return SUCCESS, int(data != other), _common(data, other), 0
            self.write_memory(target, self.spoil(data), pasid)
        except OSError:
            return PAGE_FAULT, 0, 0, at
        return SUCCESS, 0, size, 0


class DsaQueue(Queue):
    """A work queue: whoever opens it has a portal of his own. It is started while one is open."""

    def __init__(self, device: Dsa, number: int) -> None:
        super().__init__(device, number)
        self.dsa = device
        self.portals: list[Portal] = []

    def open(self, pasid: int | None) -> Portal:
        """A portal for the address space of this PASID."""
        if not self.portals:
            self.start(None)
        portal = Portal(self, pasid)
        self.portals.append(portal)
        return portal

    def close(self, portal: Portal) -> None:
        """Take a portal away; what it was asked for and has not done is lost."""
        if portal not in self.portals:
            return  # The device was reset meanwhile.
        portal.forget()
        self.portals.remove(portal)
        if not self.portals:
            self.stop()

    def stop(self) -> None:
        """See `Queue.stop`."""
        super().stop()
        for portal in self.portals:
            portal.forget()
        self.portals.clear()

    @property
    def pending(self) -> int:
        """See `Queue.pending`."""
        return sum(portal.pending for portal in self.portals)

    def ring(self) -> None:
        """See `Queue.ring`."""
        for portal in self.portals:
            portal.look()

    def tell(self, *, interrupt: bool) -> None:
        """A descriptor is done."""
        self._has_news = True
        if interrupt:
            self._complete()


class Portal:
    """The page into which one process writes descriptors."""

    def __init__(self, queue: DsaQueue, pasid: int | None) -> None:
        self.page = memoryview(bytearray(PAGE))
        self._queue = queue
        self._pasid = pasid
        self._timers: list[Timer] = []
        self._held: list[bytes] = []
        """What was accepted while the queue is stalled."""

    @property
    def pending(self) -> int:
        """Descriptors that have been accepted and are not done: closing waits for them."""
        return len(self._timers) + len(self._held)

    def forget(self) -> None:
        """Do nothing more of what was asked for."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._held.clear()

    def look(self) -> None:
        """Take every descriptor that stands in the page."""
        if not self._queue.is_stalled:
            held, self._held = self._held, []
            for descriptor in held:
                self.submit(descriptor)
        if self.page == _EMPTY:
            return
        for at in range(0, PAGE, DESCRIPTOR.size):
            descriptor = bytes(self.page[at : at + DESCRIPTOR.size])
            if descriptor != _NONE:
                self.page[at : at + DESCRIPTOR.size] = _NONE
                self.submit(descriptor)

    def submit(self, descriptor: bytes) -> None:
        """Take one descriptor of 64 bytes."""
        if self._queue.is_stalled:
            self._held.append(descriptor)
            return

        def done() -> None:
            self._timers.remove(timer)
            self._finish(descriptor)

        dsa = self._queue.dsa
        timer = dsa.port.clock.after(dsa.seconds_for(DESCRIPTOR.unpack(descriptor)[5]), done)
        self._timers.append(timer)

    def _finish(self, descriptor: bytes) -> None:
        _, word, record, source, target, size, _, _ = DESCRIPTOR.unpack(descriptor)
        opcode, flags = word >> 24, word & 0xFF_FFFF
        dsa = self._queue.dsa
        status, result, done, fault = dsa.run(opcode, source, target, size, self._pasid)
        if flags & RECORD_VALID and (flags & REQUEST_RECORD or status != SUCCESS):
            try:
                dsa.write_memory(record, RECORD.pack(status, result, 0, done, fault), self._pasid)
            except OSError:
                pass  # Nobody can be told; the IOMMU has logged it.
        self._queue.tell(interrupt=bool(flags & REQUEST_INTERRUPT))


def _common(one: bytes, other: bytes) -> int:
    """How many bytes are alike at the beginning."""
    if one == other:
        return len(one)
    return next(at for at, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
