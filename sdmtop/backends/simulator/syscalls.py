"""What processes ask of the kernel, and where injected faults step in between."""

from __future__ import annotations

import errno
from stat import S_ISCHR
from typing import TYPE_CHECKING

from sdmtop.backends.simulator import uapi
from sdmtop.backends.simulator.completion import Completion, completed
from sdmtop.backends.simulator.refusal import refusal
from sdmtop.backends.simulator.vfs import Device, Directory, File, Link, error, walk

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdmtop.backends.simulator.kernel import Kernel
    from sdmtop.backends.simulator.processes import Area, Process

IOCTLS = {
    "SET_IOMMU": uapi.SET_IOMMU,
    "SET_CONTAINER": uapi.GROUP_SET_CONTAINER,
    "GET_DEVICE_FD": uapi.GROUP_GET_DEVICE_FD,
    "SET_IRQS": uapi.DEVICE_SET_IRQS,
    "RESET": uapi.DEVICE_RESET,
    "MAP_DMA": uapi.IOMMU_MAP_DMA,
    "UNMAP_DMA": uapi.IOMMU_UNMAP_DMA,
    "WAIT": uapi.SDMDEV_WAIT,
    "BIND_PASID": uapi.SDMDEV_BIND_PASID,
    "START_Q": uapi.UACCE_START,
}
"""Commands that can be made to fail, by the names in the kernel's headers without their prefix."""


class Trap:
    """An injected fault of an operation: it fails with `number`, or hangs where that is None.

    `target` is what it must be about (empty: anything): part of a path, what is written, or the
    process that calls.
    """

    def __init__(self, operation: str, target: str, number: int | None, times: int | None) -> None:
        self.operation = operation
        self.target = target
        self.number = number
        self.times = times
        self.released: list[Callable[[], None]] = []
        """What goes on when a hang is over."""

    def catches(self, operation: str, about: tuple[str, ...]) -> bool:
        """Whether it is for this call; one of its `times` is used up then."""
        if operation != self.operation or self.times == 0:
            return False
        if self.target and not any(self.target in part.split("/") for part in about):
            return False
        if self.times is not None:
            self.times -= 1
        return True


class System:
    """The kernel, as processes call it."""

    def __init__(self, kernel: Kernel, root: Directory) -> None:
        self.kernel = kernel
        self.root = root
        self.traps: list[Trap] = []

    # -- faults --------------------------------------------------------------------------------

    def set(self, trap: Trap) -> None:
        """Let an operation fail or hang from now on."""
        self.traps.append(trap)

    def release(self, trap: Trap) -> None:
        """It works again; what hangs goes on."""
        self.traps.remove(trap)
        waiting, trap.released = trap.released, []
        for go_on in waiting:
            go_on()

    def _guarded(
        self,
        operation: str,
        about: tuple[str, ...],
        action: Callable[[], int | Completion],
        caller: Process | None = None,
    ) -> int | Completion:
        trap = next((one for one in self.traps if one.catches(operation, about)), None)
        if trap is None:
            return action()
        if trap.number is not None:
            raise refusal(trap.number, f"{operation} was made to fail")
        hanging = Completion(f"{operation} was made to hang", "schedule")

        def go_on() -> None:
            try:
                if caller is not None and self.kernel.processes.get(caller.pid) is not caller:
                    raise refusal(errno.EINTR, f"{caller} has ended meanwhile")
                answer = action()
            except OSError as failure:
                hanging.fail(failure)
                return
            ended = answer if isinstance(answer, Completion) else completed(answer)
            ended.then(
                lambda done: hanging.fail(done.error) if done.error else hanging.finish(done.value)
            )

        trap.released.append(go_on)
        return hanging

    # -- files ---------------------------------------------------------------------------------

    def read(self, path: str) -> bytes:
        """The text of a file."""
        node = walk(self.root, path)
        if not isinstance(node, File) or node.show is None:
            raise error(errno.EACCES, path)
        text = node.show()
        return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")

    def readlink(self, path: str) -> str:
        """The text of a symbolic link."""
        node = walk(self.root, path, follow=False)
        if not isinstance(node, Link):
            raise error(errno.EINVAL, path)
        return node.text

    def exists(self, path: str) -> bool:
        """Whether there is something at a path."""
        try:
            walk(self.root, path, follow=False)
        except OSError:
            return False
        return True

    def write(self, path: str, data: bytes) -> Completion:
        """Write to a file; it may have to wait. An error that comes at once is raised."""
        node = walk(self.root, path)
        if isinstance(node, Directory):
            raise error(errno.EISDIR, path)
        if not isinstance(node, File) or node.store is None:
            raise error(errno.EACCES, path)
        if not data:
            return completed()  # The kernel does not ask the file at all.
        store = node.store
        what = data.decode("utf-8", "surrogateescape").strip()
        answer = self._guarded(
            path[path.rfind("/") + 1 :], (path, what), lambda: store(data) or completed()
        )
        return answer if isinstance(answer, Completion) else completed(answer)

    # -- nodes ---------------------------------------------------------------------------------

    def open(self, process: Process, path: str) -> int | Completion:
        """Open a node of /dev: its descriptor."""
        node = walk(self.root, path)
        if not isinstance(node, Device) or not S_ISCHR(node.mode):
            raise error(errno.EISDIR if isinstance(node, Directory) else errno.ENXIO, path)
        open_ = node.open
        about = (path, *_names(process))

        def answer() -> int:
            process.check_room()
            return process.install(open_(process))

        return self._guarded("open", about, answer, process)

    def ioctl(
        self, process: Process, number: int, request: int, argument: int | bytearray = 0
    ) -> int | Completion:
        """A command on a descriptor."""
        file = process.file(number)
        name = next((name for name, value in IOCTLS.items() if value == request), "")
        about = (file.name, *_names(process))

        def command() -> int | Completion:
            if process.files.get(number) is not file:
                raise refusal(errno.EBADF, f"{process} has closed {file.name} meanwhile")
            return file.ioctl(process, request, argument)

        return self._guarded(name, about, command, process)

    def map(self, process: Process, number: int, offset: int, size: int) -> Area:
        """`mmap`."""
        file = process.file(number)
        return process.memory.map(file.memory_at(offset, size), file, offset)


def _names(process: Process) -> tuple[str, str]:
    return process.name, str(process.pid)
