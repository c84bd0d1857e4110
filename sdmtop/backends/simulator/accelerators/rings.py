"""Accelerators that take descriptors from a ring and put completions into another.

The memory of a queue (region 1) describes itself: a header of one page, then the submission ring,
then the completion ring. The process fills descriptors, then writes the number of all that it has
ever submitted to the doorbell (region 0). docs/simulator.md has the layout for those who write
programs for it.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from sdmtop.backends.simulator.accelerators.hardware import PAGE, Accelerator, Queue

if TYPE_CHECKING:
    from sdmtop.backends.simulator.accelerators.hardware import Port, Timer

DEPTH = 1024
"""Descriptors in a ring, as in HiSilicon's QM."""
MAGIC = b"SDMQ"

HEADER = struct.Struct("<4sHHIIIIII")
"""Magic, version, queue, depth, offsets of submissions, completions and doorbell, sizes of both."""
SUBMISSION = struct.Struct("<IIQQIIQIIQQ")
COMPLETION = struct.Struct("<IHBBQ")
DOORBELL = struct.Struct("<I")
SUBMISSIONS = PAGE
COMPLETIONS = SUBMISSIONS + DEPTH * SUBMISSION.size
SIZE = COMPLETIONS + DEPTH * COMPLETION.size

OK, BAD_DESCRIPTOR, TOO_SMALL, READ_FAULT, WRITE_FAULT, BAD_DATA = range(6)
"""Status of a completion."""

STATUS = ("ok", "bad descriptor", "output too small", "fault while reading",
          "fault while writing", "bad data")  # fmt: skip

MOST_BYTES = 1 << 24
"""Of the input or the output of one job."""
_SETUP = 4e-6
_REMEMBERED = 256


class Job(NamedTuple):
    """A descriptor. What `operation` and `parameter` mean is for each kind to say.

    Addresses are IOVAs, sizes bytes; `extra` is a second input (a key), `tag` comes back in the
    completion.
    """

    operation: int
    parameter: int
    source: int
    target: int
    source_size: int
    target_size: int
    extra: int = 0
    extra_size: int = 0
    flags: int = 0
    tag: int = 0

    def packed(self) -> bytes:
        """As it stands in the ring."""
        return SUBMISSION.pack(*self, 0)


class Completion(NamedTuple):
    """`produced` bytes are at the target; `slot` is its own place in the ring.

    `lap` is 1 on the first way through the ring, then 0, and so on: so a new one can be told.
    """

    produced: int
    slot: int
    status: int
    lap: int
    tag: int


class BadDataError(Exception):
    """The input is not what the operation is for."""


class RingAccelerator(Accelerator["RingQueue"]):
    """What is behind the rings; a kind adds `compute`.

    With `common_doorbell`, all queues have one doorbell page, as in the driver of the 2018 series:
    nothing keeps a process from the doorbells of others.
    """

    rate: ClassVar[float] = 2e9
    """Bytes a second."""

    def __init__(self, port: Port, queues: int, *, common_doorbell: bool = False) -> None:
        super().__init__(port, queues)
        self.common_page = memoryview(bytearray(PAGE)) if common_doorbell else None
        self._busy_until = 0.0
        # Programs send the same few messages over and over, a demonstration's above all.
        self._result = lru_cache(_REMEMBERED)(self.compute)

    def compute(self, operation: int, parameter: int, data: bytes, extra: bytes) -> bytes | None:
        """The result of a job; None for an operation that there is not.

        Raises `BadDataError` for input that makes no sense.
        """
        raise NotImplementedError

    def run(self, job: Job, pasid: int | None) -> tuple[int, int]:
        """Do a job, from memory to memory: (bytes produced, status)."""
        if max(job.source_size, job.target_size, job.extra_size) > MOST_BYTES:
            return 0, BAD_DESCRIPTOR
        try:
            data = self.read_memory(job.source, job.source_size, pasid)
            extra = self.read_memory(job.extra, job.extra_size, pasid)
        except OSError:
            return 0, READ_FAULT
        try:
            result = self._result(job.operation, job.parameter, data, extra)
        except BadDataError:
            return 0, BAD_DATA
        if result is None:
            return 0, BAD_DESCRIPTOR
        if len(result) > job.target_size:
            return 0, TOO_SMALL
        try:
            self.write_memory(job.target, self.spoil(result), pasid)
        except OSError:
            return 0, WRITE_FAULT
        self.jobs += 1
        return len(result), OK

    def seconds_for(self, jobs: list[Job]) -> float:
        """How long from now until the one engine, which all queues share, has done these too."""
        now = self.port.clock.now
        cost = sum(_SETUP + job.source_size / self.rate for job in jobs)
        self._busy_until = max(self._busy_until, now) + cost
        return self._busy_until - now

    def _make_queue(self, number: int) -> RingQueue:
        return RingQueue(self, number)


class RingQueue(Queue):
    """A queue with its two rings. Its memory is there once somebody looks at it."""

    def __init__(self, device: RingAccelerator, number: int) -> None:
        super().__init__(device, number)
        self.rings = device
        common = device.common_page is not None
        self._offset = number * DOORBELL.size % PAGE if common else 0
        self._memory: memoryview | None = None
        self._taken = 0
        self._done = 0
        self._timer: Timer | None = None

    @property
    def doorbell(self) -> memoryview:
        """See `Queue.doorbell`."""
        common = self.rings.common_page
        return super().doorbell if common is None else common

    @property
    def memory(self) -> memoryview:
        """See `Queue.memory`."""
        if self._memory is None:
            self._memory = memoryview(bytearray(SIZE))
            HEADER.pack_into(
                self._memory, 0, MAGIC, 1, self.number, DEPTH, SUBMISSIONS, COMPLETIONS,
                self._offset, SUBMISSION.size, COMPLETION.size,
            )  # fmt: skip
        return self._memory

    @property
    def pending(self) -> int:
        """See `Queue.pending`."""
        return (self._rung - self._done) & 0xFFFF_FFFF

    @property
    def _rung(self) -> int:
        """What the doorbell says: a free-running number of 32 bits."""
        (rung,) = DOORBELL.unpack_from(self.doorbell, self._offset)
        return int(rung)

    def start(self, pasid: int | None) -> None:
        """See `Queue.start`."""
        super().start(pasid)
        self._taken = self._done = 0
        DOORBELL.pack_into(self.doorbell, self._offset, 0)

    def stop(self) -> None:
        """See `Queue.stop`."""
        super().stop()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._memory = None

    def ring(self) -> None:
        """See `Queue.ring`: take what has been submitted, unless still at work on a batch."""
        if not self.is_started or self.is_stalled or self._timer is not None:
            return
        # More than a ring full is a program's mistake.
        count = min((self._rung - self._taken) & 0xFFFF_FFFF, DEPTH)
        if not count:
            return
        jobs = [self._job(self._taken + index) for index in range(count)]
        self._taken = (self._taken + count) & 0xFFFF_FFFF
        seconds = self.rings.seconds_for(jobs)
        self._timer = self.rings.port.clock.after(seconds, lambda: self._finish(jobs))

    def _job(self, number: int) -> Job:
        offset = SUBMISSIONS + number % DEPTH * SUBMISSION.size
        return Job(*SUBMISSION.unpack_from(self.memory, offset)[:-1])

    def _finish(self, jobs: list[Job]) -> None:
        """A batch is done: all its completions, then one interrupt."""
        self._timer = None
        for job in jobs:
            produced, status = self.rings.run(job, self.pasid)
            slot, lap = self._done % DEPTH, ~(self._done // DEPTH) & 1
            offset = COMPLETIONS + slot * COMPLETION.size
            COMPLETION.pack_into(self.memory, offset, produced, slot, status, lap, job.tag)
            self._done += 1
        self._complete()
        self.ring()


class Client:
    """The process's side of the rings: what a user library does with the two regions."""

    def __init__(self, doorbell: memoryview, memory: memoryview) -> None:
        self._doorbell = doorbell
        self._memory = memory
        self._offset = HEADER.unpack_from(memory)[6]
        self.submitted = 0
        self.completed = 0

    @property
    def room(self) -> int:
        """How many descriptors fit into the ring."""
        return DEPTH - (self.submitted - self.completed)

    def submit(self, job: Job) -> None:
        """Put a descriptor into the ring; nothing happens before `ring`."""
        offset = SUBMISSIONS + self.submitted % DEPTH * SUBMISSION.size
        self._memory[offset : offset + SUBMISSION.size] = job.packed()
        self.submitted += 1

    def ring(self) -> None:
        """Say that there is work."""
        DOORBELL.pack_into(self._doorbell, self._offset, self.submitted & 0xFFFF_FFFF)

    def completions(self) -> list[Completion]:
        """Those that have come."""
        found = []
        while self.completed < self.submitted:
            offset = COMPLETIONS + self.completed % DEPTH * COMPLETION.size
            completion = Completion(*COMPLETION.unpack_from(self._memory, offset))
            if completion.lap == self.completed // DEPTH & 1:
                break
            found.append(completion)
            self.completed += 1
        return found
