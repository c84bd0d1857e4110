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
    """Calls the methods of a host; a read that hangs fails with ETIMEDOUT, until it returns.

    `hung` are the paths that have. Once there are `MOST_HUNG`, every call fails with `ENODATA` at
    once.
    """

    def __init__(self, host: Host, deadline: float | None = None) -> None:
        self._host = host
        self._deadline = DEADLINE if deadline is None else deadline
        self._jobs = self._start()
        self.hung: list[str] = []

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """The function's answer, or its exception; it may only read this one host."""
        if len(self.hung) >= MOST_HUNG:
            raise OSError(errno.ENODATA, "not read: too many reads before it have hung")
        job = _Job(self._host, function, arguments)
        self._jobs.put(job)
        reading = self._host.reading
        while not job.done.wait(self._deadline):
            if self._host.reading != reading:
                reading = self._host.reading  # A call can be many reads, each with its time.
                continue
            self.hung.append(reading)
            job.leave_behind(reading)
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


def patiently(host: Host, function: Callable[..., T], *arguments: Any) -> T:
    """What a function that only reads this host answers: made again without each file that hangs.

    Such a file fails with ETIMEDOUT for whoever reads it, until its read returns after all. Raises
    what the function raises, and ENODATA once too many files have hung.
    """
    patient = PatientHost(host)
    try:
        return patient.call_for("", function, *arguments)
    finally:
        patient.close()


class _Job:
    """A call, and later its outcome."""

    __slots__ = ("_arguments", "_avoided", "_function", "_host", "answer", "done", "error")

    def __init__(
        self, host: Host, function: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> None:
        self._host = host
        self._function = function
        self._avoided: str | None = None
        self._arguments = arguments
        self.answer: Any = None
        self.error: Exception | None = None
        self.done = threading.Event()

    def leave_behind(self, path: str) -> None:
        """Keep off the path that its read hangs at, until that returns."""
        with _avoiding:
            if not self.done.is_set():
                self._avoided = path
                self._host.avoid |= {path}

    def run(self) -> None:
        """Make the call."""
        try:
            self.answer = self._function(*self._arguments)
        except Exception as error:  # noqa: BLE001 - it is raised again where the call was made
            self.error = error
        with _avoiding:
            self.done.set()
            if self._avoided is not None:
                self._host.avoid -= {self._avoided}


_avoiding = threading.Lock()
"""Held to change which paths a host keeps off."""


def _work(jobs: "SimpleQueue[_Job | None]") -> None:
    while (job := jobs.get()) is not None:
        job.run()
