"""What an accelerator is given, and what all of them offer."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = 4096


class Timer(Protocol):
    """Something that is to happen."""

    def cancel(self) -> None:
        """Let it not happen."""


class Clock(Protocol):
    """Virtual time, in seconds."""

    @property
    def now(self) -> float:
        """Since boot."""

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        """Have something happen that many seconds from now."""


class Port(Protocol):
    """The bus, the IOMMU and the interrupt controller, as a device sees them."""

    @property
    def clock(self) -> Clock:
        """Time."""

    def translate(
        self, iova: int, size: int, *, write: bool, pasid: int | None = None
    ) -> list[memoryview]:
        """The pieces of memory behind consecutive addresses. Raises `OSError`: a fault."""

    def raise_interrupt(self) -> None:
        """The device's one interrupt."""


class Queue:
    """A queue. While it is started, `pasid` says whose address space it works in.

    That is None for the one of requests without a PASID. A queue that `is_stalled` does no work.
    """

    def __init__(self, device: Accelerator[Queue], number: int) -> None:
        self.device = device
        self.number = number
        self.pasid: int | None = None
        self.is_started = False
        self.is_stalled = False
        self._page: memoryview | None = None
        self._has_news = False

    @property
    def doorbell(self) -> memoryview:
        """Region 0: the page in which a process says that there is work."""
        if self._page is None:
            self._page = memoryview(bytearray(PAGE))
        return self._page

    @property
    def memory(self) -> memoryview:
        """Region 1: rings. Raises EINVAL where a queue has none."""
        raise OSError(errno.EINVAL, "queues of this device have no memory of their own")

    @property
    def pending(self) -> int:
        """Jobs that have been submitted and are not done."""
        return 0

    def start(self, pasid: int | None) -> None:
        """Begin to work. Raises EINVAL if it does already."""
        if self.is_started:
            raise OSError(errno.EINVAL, f"queue {self.number} has been started")
        self.is_started = True
        self.pasid = pasid
        self.device.started[self.number] = self

    def stop(self) -> None:
        """Stop; what has not been done is lost. Nothing happens if it does not work."""
        if not self.is_started:
            return
        self.is_started = self._has_news = False
        self._page = None
        del self.device.started[self.number]

    def ring(self) -> None:
        """Something was written to the doorbell: look."""

    def is_updated(self) -> bool:
        """Whether anything was completed since this was asked last."""
        news, self._has_news = self._has_news, False
        return news

    def _complete(self) -> None:
        """Work is done: say so."""
        self._has_news = True
        self.device.interrupt()


Q_co = TypeVar("Q_co", bound=Queue, covariant=True)


class Accelerator(Generic[Q_co]):
    """A device with registers in BAR 0, and queues.

    Faults that can be switched on: the next `wrong` results have one bit flipped, the next `lost`
    interrupts are not raised; see also `Queue.is_stalled`.
    """

    def __init__(self, port: Port, queues: int) -> None:
        self.port = port
        self.size = queues
        self.started: dict[int, Queue] = {}
        self.wrong = 0
        self.lost = 0
        self.jobs = 0
        """Done since power-on."""
        self._queues: dict[int, Q_co] = {}

    def read_register(self, offset: int, size: int) -> bytes:
        """Bytes of BAR 0; where there is no register, all ones."""
        del offset
        return b"\xff" * size

    def write_register(self, offset: int, data: bytes) -> None:
        """Write to BAR 0; where there is no register, to nowhere."""

    def queue(self, number: int) -> Q_co:
        """A queue of it. Raises EINVAL where there is none of that number."""
        if number not in self._queues:
            if not 0 <= number < self.size:
                raise OSError(errno.EINVAL, f"there is no queue {number}: there are {self.size}")
            self._queues[number] = self._make_queue(number)
        return self._queues[number]

    def _make_queue(self, number: int) -> Q_co:
        raise NotImplementedError

    def advance(self, now: float) -> None:
        """Look at what was written to the pages. What is due by `now`, the clock has done."""
        del now
        for queue in [*self.started.values()]:
            queue.ring()

    def reset(self) -> None:
        """As after power-on: every queue is stopped, and no fault is on."""
        for queue in [*self.started.values()]:
            queue.stop()
        self._queues.clear()
        self.wrong = self.lost = 0

    # -- for those that compute ----------------------------------------------------------------

    def interrupt(self) -> None:
        """Raise the interrupt, unless it is to be lost."""
        if self.lost:
            self.lost -= 1
        else:
            self.port.raise_interrupt()

    def spoil(self, result: bytes) -> bytes:
        """A result as it leaves the device: wrong in one bit, if that fault is on."""
        if not self.wrong or not result:
            return result
        self.wrong -= 1
        return bytes([result[0] ^ 1]) + result[1:]

    def read_memory(self, address: int, size: int, pasid: int | None) -> bytes:
        """Read memory by DMA. Raises `OSError`: a fault."""
        if not size:
            return b""
        return b"".join(self.port.translate(address, size, write=False, pasid=pasid))

    def write_memory(self, address: int, data: bytes, pasid: int | None) -> None:
        """Write memory by DMA. Raises `OSError`: a fault; then nothing is written."""
        if not data:
            return
        done = 0
        for part in self.port.translate(address, len(data), write=True, pasid=pasid):
            part[:] = data[done : done + len(part)]
            done += len(part)
