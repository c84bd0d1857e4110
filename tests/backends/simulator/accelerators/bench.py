"""A bench for one accelerator: memory, an interrupt line that counts, and a clock."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.accelerators import make
from sdmtop.backends.simulator.accelerators.rings import Client, Completion, Job
from sdmtop.backends.simulator.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.backends.simulator.scenario import AcceleratorKind

SOURCE, TARGET, EXTRA = 0x1_0000, 0x8_0000, 0xF_0000
MEMORY = 0x10_0000


class Bench:
    """The port of an accelerator. Memory is mapped from `SOURCE` on, in pieces of a page each."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.memory = memoryview(bytearray(MEMORY))
        self.interrupts = 0
        self.pasids: set[int | None] = set()
        self.on_interrupt: Callable[[], None] = lambda: None

    def translate(
        self, iova: int, size: int, *, write: bool, pasid: int | None = None
    ) -> list[memoryview]:
        del write
        self.pasids.add(pasid)
        if iova < SOURCE or iova + size > MEMORY:
            raise OSError(errno.EFAULT, "not mapped")
        pieces = []
        while size:
            piece = self.memory[iova : iova + min(size, 4096 - iova % 4096)]
            pieces.append(piece)
            iova, size = iova + len(piece), size - len(piece)
        return pieces

    def raise_interrupt(self) -> None:
        self.interrupts += 1
        self.on_interrupt()


class Rings:
    """A queue of a kind of accelerator with rings, started, and its process."""

    def __init__(self, kind: AcceleratorKind, *, queue: int = 0, pasid: int | None = 7) -> None:
        self.bench = Bench()
        self.device = make(kind, self.bench, 4)
        self.queue = self.device.queue(queue)
        self.queue.start(pasid)
        self.client = Client(self.queue.doorbell, self.queue.memory)

    def go(self, seconds: float = 1.0) -> list[Completion]:
        """Ring, let time pass, and collect."""
        self.client.ring()
        self.device.advance(self.bench.clock.now)
        self.bench.clock.advance(self.bench.clock.now + seconds)
        return self.client.completions()

    def put(self, data: bytes, extra: bytes = b"") -> None:
        """Place the inputs."""
        self.bench.memory[SOURCE : SOURCE + len(data)] = data
        self.bench.memory[EXTRA : EXTRA + len(extra)] = extra

    def job(
        self, operation: int, parameter: int, data: bytes, extra: bytes = b"", room: int = 0x1_0000
    ) -> tuple[Completion, bytes]:
        """One job from memory to memory: its completion, and what has been produced."""
        self.put(data, extra)
        self.client.submit(
            Job(operation, parameter, SOURCE, TARGET, len(data), room, EXTRA, len(extra))
        )
        (completion,) = self.go()
        return completion, bytes(self.bench.memory[TARGET : TARGET + completion.produced])
