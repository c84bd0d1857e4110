"""How the running kernel is changed: writes in processes of their own, handles, memory.

Only operations and self-tests come here; nothing that reads imports it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import select
import socket
import subprocess
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_DIGEST = 128

_WRITE = """
import os, sys
try:
    fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
    os.write(fd, bytes.fromhex(sys.argv[2]))
    os.close(fd)
except OSError as error:
    os._exit(error.errno)
os._exit(0)
"""
"""The program of the child; its exit status is the errno."""


class ChildWrite:
    """A write in a child process, which nobody signals and which may be abandoned.

    A signal would turn a waiting unbind into one that nothing can end (kernel-abi rule 3): the
    child has a session of its own, so that a terminal's signals do not reach it either.
    """

    def __init__(self, path: str, command: Sequence[str]) -> None:
        self._path = path
        self._child = subprocess.Popen(  # noqa: S603 - a list, and no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            close_fds=False,  # It keeps the locks of the plan (`operations/store.py`), if it hangs.
        )
        self.pid: int | None = self._child.pid
        self._ended = os.pidfd_open(self._child.pid)

    def wait(self, seconds: float) -> bool:
        """See `Write.wait`."""
        if self._child.returncode is None:
            poll = select.poll()
            poll.register(self._ended, select.POLLIN)
            if not poll.poll(max(0.0, seconds) * 1000):
                return False
            self._child.wait()
            os.close(self._ended)
        return True

    def result(self) -> None:
        """See `Write.result`."""
        status = self._child.returncode
        if status is None:
            raise OSError(errno.EINPROGRESS, os.strerror(errno.EINPROGRESS), self._path)
        if status:
            number = status if status > 0 else errno.EINTR  # Killed: by somebody else.
            raise OSError(number, os.strerror(number), self._path)


def begin_write(path: str, data: bytes) -> ChildWrite:
    """See `Host.write`."""
    return ChildWrite(path, [sys.executable, "-I", "-S", "-c", _WRITE, path, data.hex()])


class Modprobe(ChildWrite):
    """`modprobe`, whose exit status tells no errno."""

    def result(self) -> None:
        """See `Write.result`."""
        try:
            super().result()
        except OSError as error:
            if error.errno == errno.EINPROGRESS:
                raise
            raise OSError(errno.ENOENT, "modprobe cannot load it", self._path) from error


def load_module(name: str) -> Modprobe:
    """See `Host.load_module`. The name is not an option, whatever it begins with."""
    return Modprobe(name, ["modprobe", "--", name])


class Pages:
    """Memory that `mmap` gave us."""

    def __init__(self, pages: mmap.mmap) -> None:
        self._pages = pages
        self.view = memoryview(pages)
        anchor = ctypes.c_char.from_buffer(pages)
        self.address = ctypes.addressof(anchor)

    def close(self) -> None:
        """See `Memory.close`."""
        self.view.release()
        self._pages.close()


def memory(size: int) -> Pages:
    """See `Host.memory`."""
    return Pages(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


class Descriptor:
    """A descriptor of the running kernel."""

    def __init__(self, number: int) -> None:
        self.number = number

    def ioctl(self, request: int, argument: int | bytearray = 0) -> int:
        """See `Handle.ioctl`."""
        return fcntl.ioctl(self.number, request, argument)

    def adopt(self, number: int) -> Descriptor:
        """See `Handle.adopt`."""
        os.set_inheritable(number, False)  # noqa: FBT003 - it takes no keyword
        return Descriptor(number)

    def read_at(self, offset: int, size: int) -> bytes:
        """See `Handle.read_at`."""
        return os.pread(self.number, size, offset)

    def write_at(self, offset: int, data: bytes) -> int:
        """See `Handle.write_at`."""
        return os.pwrite(self.number, data, offset)

    def map(self, offset: int, size: int) -> Pages:
        """See `Handle.map`."""
        return Pages(mmap.mmap(self.number, size, offset=offset))

    def close(self) -> None:
        """See `Handle.close`."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)


def open_node(path: str) -> Descriptor:
    """See `Host.open`."""
    return Descriptor(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY))


class KernelAlgorithm:
    """A digest or a cipher through AF_ALG (Documentation/crypto/userspace-if.rst)."""

    def __init__(self, kind: str, driver: str, key: bytes) -> None:
        self._socket = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
        try:
            self._socket.bind((kind, driver))
            if key:
                self._socket.setsockopt(socket.SOL_ALG, socket.ALG_SET_KEY, key)
        except OSError as error:
            self._socket.close()
            raise OSError(error.errno, error.strerror, driver) from error

    def digest(self, data: bytes) -> bytes:
        """See `Algorithm.digest`."""
        operation, _ = self._socket.accept()
        with operation:
            operation.sendall(data)
            return operation.recv(_LONGEST_DIGEST)

    def cipher(self, data: bytes, vector: bytes, *, encrypt: bool) -> bytes:
        """See `Algorithm.cipher`."""
        operation, _ = self._socket.accept()
        with operation:
            direction = socket.ALG_OP_ENCRYPT if encrypt else socket.ALG_OP_DECRYPT
            operation.sendmsg_afalg([data], op=direction, iv=vector or None)
            return operation.recv(len(data))

    def close(self) -> None:
        """See `Algorithm.close`."""
        self._socket.close()


class EventFd:
    """An eventfd of the running kernel."""

    def __init__(self) -> None:
        self.number = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def wait(self, seconds: float) -> int:
        """See `Signal.wait`."""
        poll = select.poll()
        poll.register(self.number, select.POLLIN)
        return os.eventfd_read(self.number) if poll.poll(max(0.0, seconds) * 1000) else 0

    def close(self) -> None:
        """See `Signal.close`."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)
