"""Processes: what they have open, what they have mapped, how much they may pin."""

from __future__ import annotations

import bisect
import errno
from typing import TYPE_CHECKING

from sdmtop.backends.simulator.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdmtop.backends.simulator.completion import Completion

PAGE = 4096
OWN_PID = 4242
"""The process of the model that everything opened through the Host belongs to."""
FIRST_CHILD = 30_000
"""Pids of the children that write for it."""
MOST_OPEN = 1024
"""RLIMIT_NOFILE."""
_FIRST_ADDRESS = 0x7F00_0000_0000


class OpenFile:
    """An open file: descriptors and mappings refer to it, and the last of them releases it.

    `name` is what `/proc/PID/fd` shows; `number` is `st_rdev`, 0 for what is no node.
    """

    def __init__(self, name: str, number: int = 0) -> None:
        self.name = name
        self.number = number
        self.references = 0

    def ioctl(self, process: Process, request: int, argument: int | bytearray) -> int | Completion:
        """What the kernel answers; a `Completion` where it makes the caller wait."""
        del process, request, argument
        raise refusal(errno.ENOTTY, "this file has no such command")

    def read_at(self, offset: int, size: int) -> bytes:
        """`pread`."""
        del offset, size
        raise refusal(errno.EINVAL, "this file cannot be read")

    def write_at(self, offset: int, data: bytes) -> int:
        """`pwrite`."""
        del offset, data
        raise refusal(errno.EINVAL, "this file cannot be written")

    def memory_at(self, offset: int, size: int) -> memoryview:
        """The pages that `mmap` gives."""
        del offset, size
        raise refusal(errno.ENODEV, "this file cannot be mapped")

    def look(self) -> None:
        """Its pages may have been written: notice what hardware would."""

    def fdinfo(self) -> str:
        """The lines of `/proc/PID/fdinfo` that are this file's own."""
        return ""

    def take(self) -> None:
        """One reference more."""
        self.references += 1

    def drop(self) -> None:
        """One reference less; released with the last."""
        self.references -= 1
        if not self.references:
            self.release()

    def release(self) -> None:
        """Nobody has it any more."""


class Signal(OpenFile):
    """An eventfd."""

    def __init__(self) -> None:
        super().__init__("anon_inode:[eventfd]")
        self.count = 0

    def raise_(self) -> None:
        """Add to the counter."""
        self.count += 1

    def take_count(self) -> int:
        """Read it: the counter is zero afterwards."""
        count, self.count = self.count, 0
        return count


class Area:
    """Consecutive pages of a process: `view` are their bytes, `file` what they were mapped from."""

    __slots__ = ("file", "offset", "start", "view")

    def __init__(self, start: int, view: memoryview, file: OpenFile | None, offset: int) -> None:
        self.start = start
        self.view = view
        self.file = file
        self.offset = offset

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.start + len(self.view)


class AddressSpace:
    """The memory of a process. Addresses are given out upwards, with a page between two areas."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._areas: dict[int, Area] = {}
        self._next = _FIRST_ADDRESS

    def __iter__(self) -> Iterator[Area]:
        return (self._areas[start] for start in self._starts)

    def map(self, view: memoryview, file: OpenFile | None = None, offset: int = 0) -> Area:
        """Map these bytes somewhere; the file, if any, is kept open by it."""
        area = Area(self._next, view, file, offset)
        self._next += (len(view) + PAGE - 1) // PAGE * PAGE + PAGE
        self._starts.append(area.start)
        self._areas[area.start] = area
        if file is not None:
            file.take()
        return area

    def unmap(self, area: Area) -> None:
        """Unmap an area, if it still is mapped."""
        if self._areas.pop(area.start, None) is None:
            return
        self._starts.remove(area.start)
        if area.file is not None:
            area.file.drop()

    def at(self, address: int, size: int) -> memoryview:
        """The bytes at an address. Raises EFAULT where not all of them are mapped."""
        index = bisect.bisect_right(self._starts, address) - 1
        area = self._areas[self._starts[index]] if index >= 0 else None
        if area is None or address + size > area.end:
            raise refusal(errno.EFAULT, f"the process has nothing mapped at {address:#x}")
        return area.view[address - area.start : address - area.start + size]


class Process:
    """A process. `memlock` is RLIMIT_MEMLOCK in bytes, None for one that no limit binds."""

    def __init__(self, pid: int, name: str, *, uid: int = 0, memlock: int | None = None) -> None:
        self.pid = pid
        self.name = name
        self.uid = uid
        self.memlock = memlock
        self.pinned = 0
        """Bytes pinned for devices."""
        self.files: dict[int, OpenFile] = {}
        self.memory = AddressSpace()
        self.waits_for: Completion | None = None
        """What it sleeps in the kernel for."""
        self.is_unkillable = False
        """Whether it sleeps in state D: a signal has come while it waited for a device."""

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"

    def check_room(self) -> None:
        """Raise EMFILE where it has no descriptor left."""
        if len(self.files) >= MOST_OPEN:
            raise refusal(errno.EMFILE, f"{self} has {MOST_OPEN} files open, and may have no more")

    def install(self, file: OpenFile) -> int:
        """The lowest free descriptor, from now on of this file. Raises EMFILE.

        Whoever takes something to make the file asks `check_room` first.
        """
        self.check_room()
        number = next(n for n in range(3, MOST_OPEN + 4) if n not in self.files)
        self.files[number] = file
        file.take()
        return number

    def file(self, number: int) -> OpenFile:
        """The file of a descriptor. Raises EBADF."""
        file = self.files.get(number)
        if file is None:
            raise refusal(errno.EBADF, f"{self} has no descriptor {number}")
        return file

    def close(self, number: int) -> None:
        """Close a descriptor. Raises EBADF."""
        file = self.file(number)
        del self.files[number]
        file.drop()

    def pin(self, size: int) -> None:
        """Pin memory for a device. Raises ENOMEM above RLIMIT_MEMLOCK."""
        if self.memlock is not None and self.pinned + size > self.memlock:
            raise refusal(
                errno.ENOMEM,
                f"{self} has {self.pinned} bytes locked, and may not lock {size} more: "
                f"RLIMIT_MEMLOCK is {self.memlock}",
            )
        self.pinned += size

    def unpin(self, size: int) -> None:
        """Give pinned memory back."""
        self.pinned -= size


class Processes:
    """All processes, by pid."""

    def __init__(self) -> None:
        self._by_pid: dict[int, Process] = {}
        self._next_child = FIRST_CHILD
        self.add(Process(1, "init"))
        self.own = self.add(Process(OWN_PID, "sdmtop"))

    def __iter__(self) -> Iterator[Process]:
        return iter(sorted(self._by_pid.values(), key=lambda process: process.pid))

    def get(self, pid: int) -> Process | None:
        """The process of a pid, if there is one."""
        return self._by_pid.get(pid)

    def add(self, process: Process) -> Process:
        """A process begins. Raises `ValueError` for a pid that is taken."""
        if process.pid in self._by_pid:
            raise ValueError(f"there are two processes {process.pid}")
        self._by_pid[process.pid] = process
        return process

    def fork(self) -> Process:
        """A child of our own process, as one is made for each write."""
        while self._next_child in self._by_pid:
            self._next_child += 1
        child = Process(self._next_child, self.own.name)
        self._next_child += 1
        return self.add(child)

    def end(self, process: Process) -> None:
        """A process ends, in whatever way: all it has open and mapped is given back."""
        if self._by_pid.pop(process.pid, None) is None:
            return
        for area in [*process.memory]:
            process.memory.unmap(area)
        for number in sorted(process.files):
            process.close(number)
