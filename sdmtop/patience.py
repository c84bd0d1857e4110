"""Calls of a host that may never return, made in a thread that can be left behind."""

import errno
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from sdmtop.backends.base import Host

DEADLINE = 2.0
"""Seconds that one read may take before it counts as hung."""

MOST_HUNG = 8
"""After so many hung reads nothing more is tried: each has cost a thread, and its memory."""

T = TypeVar("T")


class PatientHost:
    """Calls the methods of a host; a read that hangs fails with ETIMEDOUT, then and afterwards.

    `hung` are the paths of which that is so. Once there are `MOST_HUNG`, every call fails with
    `ENODATA` at once.
    """

    def __init__(self, host: Host, deadline: float = DEADLINE) -> None:
        self._host = host
        self._deadline = deadline
        self._jobs = self._start()
        self.hung: list[str] = []

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """The function's answer, or its exception; it may only read this one host."""
        if len(self.hung) >= MOST_HUNG:
            raise OSError(errno.ENODATA, "not read: too many reads before it have hung")
        job = _Job(function, arguments)
        self._jobs.put(job)
        reading = self._host.reading
        while not job.done.wait(self._deadline):
            if self._host.reading != reading:
                reading = self._host.reading  # A call can be many reads, each with its time.
                continue
            self.hung.append(reading)
            self._host.avoid |= {reading}
            self._jobs = self._start()
            raise TimeoutError(errno.ETIMEDOUT, "no answer", reading)
        if job.error is not None:
            raise job.error
        answer: T = job.answer
        return answer

    def call_for(self, directory: str, function: Callable[..., T], *arguments: Any) -> T:
        """As `call`, and made again without a file of the directory that has hung."""
        while True:
            count = len(self.hung)
            try:
                return self.call(function, *arguments)
            except TimeoutError:
                if len(self.hung) == count or self.hung[-1] == directory:
                    raise

    def close(self) -> None:
        """End the thread, unless it hangs."""
        self._jobs.put(None)

    @staticmethod
    def _start() -> "SimpleQueue[_Job | None]":
        jobs: SimpleQueue[_Job | None] = SimpleQueue()
        threading.Thread(target=_work, args=(jobs,), name="sdmtop-reads", daemon=True).start()
        return jobs


class _Job:
    """A call, and later its outcome."""

    __slots__ = ("answer", "arguments", "done", "error", "function")

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.function = function
        self.arguments = arguments
        self.answer: Any = None
        self.error: Exception | None = None
        self.done = threading.Event()


def _work(jobs: "SimpleQueue[_Job | None]") -> None:
    while (job := jobs.get()) is not None:
        try:
            job.answer = job.function(*job.arguments)
        except Exception as error:  # noqa: BLE001 - it is raised again where the call was made
            job.error = error
        job.done.set()
