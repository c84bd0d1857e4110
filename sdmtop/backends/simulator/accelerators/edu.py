"""QEMU's `edu` device: factorials, interrupts to order, and a DMA engine (docs/specs/edu.rst).

Its sdmdev queues are those of the sample driver of our guests: n is written at offset 0 of region
0, and after the interrupt n! stands at offset 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.backends.simulator.accelerators.hardware import Accelerator, Queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.backends.simulator.accelerators.hardware import Port, Timer

IDENTITY = 0x0100_00ED
ID, LIVENESS, FACTORIAL, STATUS, IRQ_STATUS, IRQ_RAISE, IRQ_ACK = 0, 4, 8, 0x20, 0x24, 0x60, 0x64
DMA_SOURCE, DMA_TARGET, DMA_COUNT, DMA_COMMAND = 0x80, 0x88, 0x90, 0x98
"""Registers. Those of the DMA engine have 64 bits, the others 32."""
COMPUTING, INTERRUPT_WHEN_DONE = 1, 0x80
"""Bits of STATUS."""
START, TO_MEMORY, DMA_INTERRUPT = 1, 2, 4
"""Bits of DMA_COMMAND."""
FACTORIAL_DONE, DMA_DONE = 1, 0x100
"""What IRQ_STATUS says."""
BUFFER, BUFFER_SIZE = 0x40000, 4096
"""Where the DMA engine has its memory."""

_DMA_MASK = (1 << 28) - 1
_DMA_SECONDS = 0.1
_FACTORIAL_SECONDS = 50e-6
_WORD = 0xFFFF_FFFF


class Edu(Accelerator["EduQueue"]):
    """Registers are read and written in 4 bytes, those of the DMA engine in 8 as well.

    A transfer that leaves the buffer aborts QEMU; here nothing is transferred.
    """

    def __init__(self, port: Port, queues: int) -> None:
        super().__init__(port, queues)
        self._factorial_timer: Timer | None = None
        self._dma_timer: Timer | None = None
        self._buffer = bytearray(BUFFER_SIZE)
        self._clear()

    def _clear(self) -> None:
        self._liveness = self._factorial = self._status = self._irq_status = 0
        self._dma = {DMA_SOURCE: 0, DMA_TARGET: 0, DMA_COUNT: 0, DMA_COMMAND: 0}

    def reset(self) -> None:
        """See `Accelerator.reset`."""
        super().reset()
        for timer in (self._factorial_timer, self._dma_timer):
            if timer is not None:
                timer.cancel()
        self._factorial_timer = self._dma_timer = None
        self._clear()

    def read_register(self, offset: int, size: int) -> bytes:
        """See `Accelerator.read_register`."""
        registers = {
            ID: IDENTITY,
            LIVENESS: self._liveness,
            FACTORIAL: self._factorial,
            STATUS: self._status,
            IRQ_STATUS: self._irq_status,
            **self._dma,
        }
        value = registers.get(offset)
        if value is None or not _is_access(offset, size):
            return super().read_register(offset, size)
        return (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")

    def write_register(self, offset: int, data: bytes) -> None:
        """See `Accelerator.write_register`."""
        if not _is_access(offset, len(data)):
            return
        value = int.from_bytes(data, "little")
        if offset == LIVENESS:
            self._liveness = ~value & _WORD
        elif offset == FACTORIAL:
            self._start_factorial(value)
        elif offset == STATUS:
            # Whether it computes cannot be written.
            self._status = self._status & COMPUTING | value & INTERRUPT_WHEN_DONE
        elif offset == IRQ_RAISE:
            self._raise(value)
        elif offset == IRQ_ACK:
            self._irq_status &= ~value
        elif offset in self._dma and self._dma_timer is None:
            self._dma[offset] = value
            if offset == DMA_COMMAND and value & START:
                self._dma_timer = self.port.clock.after(_DMA_SECONDS, self._transfer)

    def after_factorial(self, number: int, then: Callable[[bytes], None]) -> Timer:
        """Compute n!, and give it (4 bytes) when that is done."""

        def done() -> None:
            self.jobs += 1
            then(self.spoil(factorial(number)))

        return self.port.clock.after(_FACTORIAL_SECONDS, done)

    def _raise(self, why: int) -> None:
        self._irq_status |= why & _WORD
        if self._irq_status:
            self.interrupt()

    def _start_factorial(self, number: int) -> None:
        if self._status & COMPUTING:
            return
        self._factorial = number
        self._status |= COMPUTING

        def done(result: bytes) -> None:
            self._factorial_timer = None
            self._factorial = int.from_bytes(result, "little")
            self._status &= ~COMPUTING
            if self._status & INTERRUPT_WHEN_DONE:
                self._raise(FACTORIAL_DONE)

        self._factorial_timer = self.after_factorial(number, done)

    def _transfer(self) -> None:
        self._dma_timer = None
        command = self._dma[DMA_COMMAND]
        source, target, count = (
            self._dma[register] for register in (DMA_SOURCE, DMA_TARGET, DMA_COUNT)
        )
        start = (source if command & TO_MEMORY else target) - BUFFER
        if 0 <= start <= start + count <= BUFFER_SIZE:
            try:
                if command & TO_MEMORY:
                    data = self.spoil(bytes(self._buffer[start : start + count]))
                    self.write_memory(target & _DMA_MASK, data, None)
                else:
                    data = self.read_memory(source & _DMA_MASK, count, None)
                    self._buffer[start : start + count] = data
            except OSError:
                pass  # The device is not told; the IOMMU has logged it.
        self._dma[DMA_COMMAND] &= ~START
        self.jobs += 1
        if command & DMA_INTERRUPT:
            self._raise(DMA_DONE)

    def advance(self, now: float) -> None:
        """See `Accelerator.advance`: what is only stored in a page tells the device nothing."""

    def _make_queue(self, number: int) -> EduQueue:
        return EduQueue(self, number)


class EduQueue(Queue):
    """A page, and a factorial at a time."""

    def __init__(self, device: Edu, number: int) -> None:
        super().__init__(device, number)
        self._edu = device
        self._timer: Timer | None = None

    @property
    def pending(self) -> int:
        """See `Queue.pending`."""
        return int(self._timer is not None)

    def stop(self) -> None:
        """See `Queue.stop`."""
        super().stop()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def ring(self) -> None:
        """See `Queue.ring`: compute the factorial of what stands in the page."""
        if not self.is_started or self.is_stalled or self._timer is not None:
            return
        page = self.doorbell
        number = int.from_bytes(page[:4], "little")

        def done(result: bytes) -> None:
            self._timer = None
            page[4:8] = result
            self._complete()

        self._timer = self._edu.after_factorial(number, done)


def factorial(number: int) -> bytes:
    """N! modulo 2^32, as the device's loop gives it."""
    product = 1
    # From 34! on it is 0.
    for factor in range(2, min(number, 34) + 1):
        product = product * factor & _WORD
    return product.to_bytes(4, "little")


def _is_access(offset: int, size: int) -> bool:
    return size == 4 or (size == 8 and offset >= DMA_SOURCE)
