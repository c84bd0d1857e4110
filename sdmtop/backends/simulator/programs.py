"""Programs: processes with scripted lives, which call the kernel as programs do.

A thread is a generator: it yields what it waits for (a `Completion`, seconds, or None: for ever)
and is resumed with what came of it. When it is refused something the program gives up, says why in
the kernel log, and ends.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.completion import Completion
from sdmtop.backends.simulator.loads import Counter
from sdmtop.backends.simulator.processes import Process
from sdmtop.backends.simulator.uses import steps_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sdmtop.backends.simulator.scenario import Load, ProcessSpec
    from sdmtop.backends.simulator.syscalls import System
    from sdmtop.backends.simulator.uses import Steps

FIRST_PID = 2000
"""Where the pids begin that no scenario has chosen."""

_USER_NOTICE = 13
"""Facility and priority of what programs write to the kernel log."""
_FIRST_IOVA = 0x1000_0000
_NEXT_IOVA = 0x0400_0000
"""More than a use can map."""


class Programs:
    """All programs of a scenario."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.loads: dict[str, Load] = {load.name: load for load in system.kernel.scenario.loads}
        self._next_pid = FIRST_PID
        self.lives: dict[int, Life] = {}
        """Those that run, by pid."""

    def start(self) -> None:
        """Begin, or have each begin at its time."""
        for spec in self.system.kernel.scenario.processes:
            self._begin_at(spec, spec.begin, first=True)

    def _begin_at(self, spec: ProcessSpec, seconds: float, *, first: bool) -> None:
        def begin() -> None:
            Life(self, spec, self._pid(spec.pid if first else None))
            if spec.again is not None:
                self._begin_at(spec, seconds + spec.again, first=False)

        self.system.kernel.clock.at(seconds, begin)

    def _pid(self, wanted: int | None) -> int:
        processes = self.system.kernel.processes
        if wanted is not None and processes.get(wanted) is None:
            return wanted
        while processes.get(self._next_pid) is not None:
            self._next_pid += 1
        self._next_pid += 1
        return self._next_pid - 1

    def kill(self, process: Process) -> None:
        """A process dies at once, and cleans nothing up."""
        life = self.lives.get(process.pid)
        if life is not None:
            life.die()
        else:
            self.system.kernel.end(process)


class Life:
    """A program that runs."""

    def __init__(self, programs: Programs, spec: ProcessSpec, pid: int) -> None:
        self._programs = programs
        self.system = programs.system
        self.kernel = programs.system.kernel
        self.process = Process(pid, spec.name, uid=spec.uid, memlock=spec.memlock)
        self.made: list[str] = []
        """Files to which 1 is written at the end: `remove` of what it has made."""
        self._threads: list[Steps] = []
        self._iova = _FIRST_IOVA - _NEXT_IOVA
        self.kernel.processes.add(self.process)
        programs.lives[pid] = self
        if spec.lives is not None:
            self.kernel.clock.after(spec.lives, self.exit)
        for use in spec.uses:
            self._run(steps_of(self, use))
        for write in spec.writes:
            self._run(self._write(write.after, write.path, write.data))

    def exit(self) -> None:
        """The program ends in order: what it has made, it removes."""
        if self._end():
            for path in self.made:
                try:
                    self.system.write(path, b"1")
                except OSError:
                    continue  # Somebody else has removed it already.

    def die(self) -> None:
        """It is killed."""
        self._end()

    def counter(self, load: str) -> Counter:
        """What tells how much there is to do."""
        return Counter(self._programs.loads[load], self.kernel.random, self.kernel.clock.now)

    def next_iova(self) -> int:
        """Where the next use can map its memory, whatever domain it is in."""
        self._iova += _NEXT_IOVA
        return self._iova

    def _end(self) -> bool:
        if self._programs.lives.pop(self.process.pid, None) is None:
            return False
        for thread in self._threads:
            thread.close()
        self._threads.clear()
        self.kernel.end(self.process)
        return True

    def _write(self, after: float, path: str, data: str) -> Steps:
        yield after
        yield self.system.write(path, data.encode())
        yield None

    # -- threads -------------------------------------------------------------------------------

    def _run(self, thread: Steps) -> None:
        if self._programs.lives.get(self.process.pid) is not self:
            return  # It has given up already.
        self._threads.append(thread)
        self._resume(thread, lambda: next(thread))

    def _resume(self, thread: Steps, step: Callable[[], Completion | float | None]) -> None:
        """One step of a thread that is not over."""
        if thread not in self._threads:
            return
        try:
            wanted = step()
        except StopIteration:
            self.exit()
            return
        except OSError as error:
            name = errno.errorcode.get(error.errno or errno.EIO, str(error.errno))
            text = f"{self.process.name}[{self.process.pid}]: {error.strerror} ({name})"
            self.kernel.log.say(text, _USER_NOTICE)
            self.exit()
            return
        if isinstance(wanted, Completion):
            self.process.waits_for = wanted
            wanted.then(lambda ended: self._go_on(thread, ended))
        elif wanted is not None:
            self.kernel.clock.after(wanted, lambda: self._resume(thread, lambda: thread.send(0)))

    def _go_on(self, thread: Steps, ended: Completion) -> None:
        if self.process.waits_for is ended:
            self.process.waits_for = None
        error = ended.error
        if error is not None:
            self._resume(thread, lambda: thread.throw(error))
        else:
            self._resume(thread, lambda: thread.send(ended.value))

    def call(self, answer: int | Completion) -> Generator[Completion, int, int]:
        """What a system call gives, after waiting for it if need be."""
        if isinstance(answer, Completion):
            return (yield answer)
        return answer

    def ioctl(
        self, number: int, request: int, argument: int | bytearray = 0
    ) -> Generator[Completion, int, int]:
        """A command on a descriptor."""
        return (yield from self.call(self.system.ioctl(self.process, number, request, argument)))

    def open(self, path: str) -> Generator[Completion, int, int]:
        """Open a node."""
        return (yield from self.call(self.system.open(self.process, path)))
