"""The running kernel, or another root that looks like one (`linux:/other/root`).

This module is on the path of the first paint: what is not needed for that is imported late.
"""

import errno
import os
import sys
import time

from sdmtop.backends.limits import PAGE, READ_LIMIT, SIDE_EFFECTS, refuse_side_effects

TYPE_CHECKING = False
if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence
    from typing import Literal

    from sdmtop.backends.base import Algorithm, Events, Handle, Log, Memory, Signal, Write

# O_NONBLOCK: a FIFO in a foreign root must not hang us, and it means nothing to sysfs.
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_DIRECTORY = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY
_NAMES, _ESCAPED = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
_MORE = 16
"""So many times more is asked of a file that has given all it was asked for."""
_FEW = 256
"""Bytes that most attributes do not have: room for a page costs a tenth of reading one."""
_CAP_SYS_ADMIN = 21  # include/uapi/linux/capability.h
_ANOTHER_ROOT = "another root is only read"


def open_linux(root: str) -> "LinuxHost":
    """The running kernel (`root` empty) or a root that looks like one.

    Raises `OSError` for a root in which there is no `sys` directory.
    """
    if root:
        os.listdir(f"{root}/sys")
    return LinuxHost(root)


class LinuxHost:
    """Files of a kernel, read with as few system calls as they can be."""

    backend: "Literal['linux']" = "linux"
    taken_at: str | None = None

    def __init__(self, root: str = "") -> None:
        self._root = root.rstrip("/")
        self.url = f"linux:{self._root}"
        self.avoid: frozenset[str] = frozenset()
        self.disarmed: str | None = None
        self._at = ("", "")

    @property
    def reading(self) -> str:
        """See `Host.reading`."""
        directory, name = self._at
        return f"{directory}/{name}" if name else directory

    @property
    def is_this_machine(self) -> bool:
        """Whether this is the running kernel, whose events and processes we can see."""
        return not self._root

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        """See `Host.read`."""
        refuse_side_effects(path)
        self.enter(path)
        fd = os.open(self._root + path, _FILE)
        try:
            return _read_all(fd, limit)
        finally:
            os.close(fd)

    def read_into(self, path: str, buffer: bytearray, limit: int) -> int:
        """See `Host.read_into`."""
        refuse_side_effects(path)
        self.enter(path)
        fd = os.open(self._root + path, _FILE)
        try:
            return _read_into(fd, buffer, limit)
        finally:
            os.close(fd)

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """See `Host.read_at`."""
        refuse_side_effects(path)
        self.enter(path)
        fd = os.open(self._root + path, _FILE)
        try:
            return os.pread(fd, size, offset)
        finally:
            os.close(fd)

    def look(
        self, directory: str, files: "Sequence[str]", links: "Sequence[str]" = ()
    ) -> list[bytes | OSError]:
        """See `Host.look`."""
        if not SIDE_EFFECTS.isdisjoint(files):
            for name in files:
                refuse_side_effects(f"{directory}/{name}")
        self.enter(directory)
        avoid = self.avoid
        open_, read, close, readlink = os.open, os.read, os.close, os.readlink
        found: list[bytes | OSError] = []
        directory_fd = open_(self._root + directory, _DIRECTORY)
        try:
            for name in files:
                self._at = (directory, name)
                if avoid and f"{directory}/{name}" in avoid:
                    found.append(_hung(f"{directory}/{name}"))
                    continue
                try:
                    fd = open_(name, _FILE, dir_fd=directory_fd)
                except OSError as error:
                    found.append(_bare(error))
                    continue
                try:
                    found.append(read(fd, PAGE))
                except OSError as error:
                    found.append(_bare(error))
                finally:
                    close(fd)
            for name in links:
                try:
                    # A name in bytes has a target in bytes.
                    found.append(readlink(name.encode(_NAMES, _ESCAPED), dir_fd=directory_fd))
                except OSError as error:
                    found.append(_bare(error))
        finally:
            close(directory_fd)
        return found

    def list(self, path: str) -> list[str]:
        """See `Host.list`."""
        self.enter(path)
        return os.listdir(self._root + path)

    def readlink(self, path: str) -> str:
        """See `Host.readlink`."""
        self.enter(path)
        return os.readlink(self._root + path)

    def mode(self, path: str) -> int:
        """See `Host.mode`."""
        self.enter(path)
        return os.lstat(self._root + path).st_mode

    def keep(self, paths: "Sequence[str]", limit: int = PAGE) -> "KeptFiles":
        """See `Host.keep`."""
        for path in paths:
            refuse_side_effects(path)
        return KeptFiles(self, self._root, paths, limit)

    def device_number(self, path: str) -> int:
        """See `Host.device_number`."""
        self.enter(path)
        return os.stat(self._root + path).st_rdev

    def kernel_log(self) -> "builtins.list[bytes]":
        """See `Host.kernel_log`."""
        log = self.follow_log()
        try:
            return log.fresh()
        finally:
            log.close()

    def follow_log(self) -> "Log":
        """See `Host.follow_log`."""
        from sdmtop.backends.logs import OpenLog

        self.enter("/dev/kmsg")
        return OpenLog(f"{self._root}/dev/kmsg", _FILE)

    def events(self) -> "Events | None":
        """See `Host.events`: udev's own, or the kernel's where udev is not running."""
        if not self.is_this_machine:
            return None
        from sdmtop.backends.udev import listen

        return listen()

    def refusal(self) -> str | None:
        """See `Host.refusal`."""
        if self.disarmed is not None:
            return self.disarmed
        if not self.is_this_machine:
            return _ANOTHER_ROOT
        # The capability, not the user id, is what the kernel asks for.
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                name, _, value = line.partition(":")
                if name == "CapEff" and int(value, 16) >> _CAP_SYS_ADMIN & 1:
                    return None
        return "changing devices needs root (CAP_SYS_ADMIN)"

    def write(self, path: str, data: bytes) -> "Write":
        """See `Host.write`."""
        self._refuse_if_disarmed(path)
        from sdmtop.backends.doing import begin_write

        return begin_write(path, data)

    def load_module(self, name: str) -> "Write":
        """See `Host.load_module`."""
        self._refuse_if_disarmed(name)
        from sdmtop.backends.doing import load_module

        return load_module(name)

    def open(self, path: str) -> "Handle":
        """See `Host.open`."""
        self._refuse_if_disarmed(path)
        from sdmtop.backends.doing import open_node

        return open_node(path)

    def memory(self, size: int) -> "Memory":
        """See `Host.memory`."""
        from sdmtop.backends.doing import memory

        return memory(size)

    def algorithm(self, kind: str, driver: str, key: bytes = b"") -> "Algorithm":
        """See `base.Host.algorithm`."""
        from sdmtop.backends.doing import KernelAlgorithm

        return KernelAlgorithm(kind, driver, key)

    def signal(self) -> "Signal":
        """See `Host.signal`."""
        from sdmtop.backends.doing import EventFd

        return EventFd()

    def now(self) -> float:
        """See `Host.now`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `Host.sleep`."""
        time.sleep(seconds)

    def _refuse_if_disarmed(self, what: str) -> None:
        why = self.disarmed or (None if self.is_this_machine else _ANOTHER_ROOT)
        if why is not None:
            raise OSError(errno.EROFS, why, what)

    def close(self) -> None:
        """Nothing is held open."""

    def enter(self, path: str) -> None:
        """Say what is being read, for the watchdog; keep off what is known to hang."""
        self._at = (path, "")
        if path in self.avoid:
            raise _hung(path)


class KeptFiles:
    """Files kept open, each read again with one `pread` at offset 0 (see `base.Kept`)."""

    def __init__(self, host: LinuxHost, root: str, paths: "Sequence[str]", limit: int) -> None:
        self._host = host
        self._root = root
        self._paths = list(paths)
        self._limit = limit
        self._asked = min(limit, _FEW)
        self._fds = [-1] * len(paths)
        self._last: list[bytes | int | None] = [None] * len(paths)
        _allow_descriptors(len(paths))

    def changed(self, indices: "Sequence[int] | None" = None) -> list[tuple[int, bytes | OSError]]:
        """See `base.Kept.changed`."""
        pread, fds, last, paths, enter = (
            os.pread, self._fds, self._last, self._paths, self._host.enter,
        )  # fmt: skip
        limit, asked = self._limit, self._asked
        known: dict[bytes, bytes] = {}
        changes: list[tuple[int, bytes | OSError]] = []
        for index in range(len(fds)) if indices is None else indices:
            try:
                enter(paths[index])
                fd = fds[index]
                if fd < 0:
                    fd = fds[index] = os.open(self._root + paths[index], _FILE)
                data = pread(fd, asked, 0)
                if len(data) == asked < limit:
                    # Files that are kept together are of a kind: the others may be as long.
                    asked = self._asked = limit
                    data = pread(fd, limit, 0)
            except OSError as error:
                self._drop(index)
                if last[index] != error.errno:
                    last[index] = error.errno
                    changes.append((index, error))
            else:
                if data != last[index]:
                    # Thousands of files say the same few things.
                    last[index] = data = known.setdefault(data, data)
                    changes.append((index, data))
        return changes

    def close(self) -> None:
        """See `base.Kept.close`."""
        for index in range(len(self._fds)):
            self._drop(index)

    def _drop(self, index: int) -> None:
        fd, self._fds[index] = self._fds[index], -1
        if fd >= 0:
            os.close(fd)


def _bare(error: OSError) -> OSError:
    """The error without its traceback, which holds the list that the error is put into."""
    # Such a cycle is only freed by the collector, and a large host makes tens of thousands.
    error.__traceback__ = None
    return error


def _hung(path: str) -> OSError:
    return OSError(errno.ETIMEDOUT, "an earlier read of it has not returned", path)


def _read_all(fd: int, limit: int) -> bytes:
    """Up to `limit` bytes: procfs hands out a page or so at a time."""
    asked = READ_LIMIT
    data = os.read(fd, min(limit, asked))
    if not data or len(data) == limit:
        return data
    parts, size = [data], len(data)
    while size < limit:
        if len(data) == asked:
            asked *= _MORE
        data = os.read(fd, min(limit - size, asked))
        if not data:
            break
        parts.append(data)
        size += len(data)
    return b"".join(parts)


def _read_into(fd: int, buffer: bytearray, limit: int) -> int:
    size = 0
    while size < limit:
        if size == len(buffer):
            buffer += bytes(max(PAGE, size // 2))
        with memoryview(buffer) as view:
            count = os.readv(fd, [view[size:limit]])
        if not count:
            break
        size += count
    return size


def _allow_descriptors(count: int) -> None:
    """Raise the soft limit of open files as far as needed and allowed."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(count + 1024, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
