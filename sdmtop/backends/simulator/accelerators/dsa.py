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
    """A work queue and its portal."""

    def __init__(self, device: Dsa, number: int) -> None:
        super().__init__(device, number)
        self._dsa = device
        self._timers: list[Timer] = []
        self._held: list[bytes] = []
        """What it has accepted while it is stalled."""

    @property
    def is_draining(self) -> bool:
        """Whether descriptors are still running: closing waits for them."""
        return bool(self._timers or self._held)

    def stop(self) -> None:
        """See `Queue.stop`."""
        super().stop()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._held.clear()

    def ring(self) -> None:
        """See `Queue.ring`: take every descriptor that stands in the portal."""
        if not self.is_started:
            return
        if not self.is_stalled:
            held, self._held = self._held, []
            for descriptor in held:
                self.submit(descriptor)
        portal = self.doorbell
        if portal == _EMPTY:
            return
        for at in range(0, PAGE, DESCRIPTOR.size):
            descriptor = bytes(portal[at : at + DESCRIPTOR.size])
            if descriptor != _NONE:
                portal[at : at + DESCRIPTOR.size] = _NONE
                self.submit(descriptor)

    def submit(self, descriptor: bytes) -> None:
        """Take one descriptor of 64 bytes."""
        if self.is_stalled:
            self._held.append(descriptor)
            return

        def done() -> None:
            self._timers.remove(timer)
            self._finish(descriptor)

        seconds = self._dsa.seconds_for(DESCRIPTOR.unpack(descriptor)[5])
        timer = self._dsa.port.clock.after(seconds, done)
        self._timers.append(timer)

    def _finish(self, descriptor: bytes) -> None:
        _, word, record, source, target, size, _, _ = DESCRIPTOR.unpack(descriptor)
        opcode, flags = word >> 24, word & 0xFF_FFFF
        status, result, done, fault = self._dsa.run(opcode, source, target, size, self.pasid)
        if flags & RECORD_VALID and (flags & REQUEST_RECORD or status != SUCCESS):
            try:
                packed = RECORD.pack(status, result, 0, done, fault)
                self._dsa.write_memory(record, packed, self.pasid)
            except OSError:
                pass  # Nobody can be told; the IOMMU has logged it.
        self._has_news = True
        if flags & REQUEST_INTERRUPT:
            self._complete()


def _common(one: bytes, other: bytes) -> int:
    """How many bytes are alike at the beginning."""
    if one == other:
        return len(one)
    return next(at for at, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
