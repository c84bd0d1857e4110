"""What a host is: files, handles and events.

Paths are absolute and as on the host itself (`/sys/...`), in the form that `os.fsdecode` gives.
Every error is an `OSError` with the errno that the kernel would give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sdmtop.backends.limits import PAGE, READ_LIMIT
from sdmtop.errors import UsageError

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence

    from sdmtop.model import Backend


class Kept(Protocol):
    """Files kept open to be read again and again: one `pread` each instead of open, read, close."""

    def changed(self, indices: Sequence[int] | None = None) -> list[tuple[int, bytes | OSError]]:
        """Read the files (all, or those at `indices`) and return those that differ from before.

        The first call returns all. A file that fails returns its error once, until it changes.
        """

    def close(self) -> None:
        """Give the descriptors back."""


class Event(Protocol):
    """A uevent: what happened to which device."""

    @property
    def action(self) -> str:
        """`add`, `remove`, `bind`, `unbind`, `change`, `online`, `offline`, `move`.

        `lost`: so many came at once that some were dropped; anything may have happened.
        """

    @property
    def subsystem(self) -> str:
        """`pci`, `vfio`, `vfio-dev`, `mdev`, `cpu`, ..."""

    @property
    def path(self) -> str:
        """The sysfs path of the device, `/sys/devices/...`."""


class Events(Protocol):
    """The host's stream of uevents."""

    def fileno(self) -> int:
        """A descriptor that is readable while an event waits."""

    def drain(self) -> list[Event]:
        """The events that have come, without waiting."""

    def close(self) -> None:
        """Stop listening."""


class Log(Protocol):
    """A kernel log that is followed."""

    def fresh(self) -> list[bytes]:
        """The records since the call before, oldest first; at first, and after a gap, all."""

    def close(self) -> None:
        """Follow it no more."""


class Write(Protocol):
    """A write under way: the kernel may answer late, or never (kernel-abi rule 3)."""

    @property
    def pid(self) -> int | None:
        """The process that writes, whose kernel stack tells where it waits; never signal it."""

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` for the end; whether it has come."""

    def result(self) -> None:
        """Raise the `OSError` that the write ended with; EINPROGRESS before its end."""


class Memory(Protocol):
    """Pages of memory: our own, which a device may be given, or a device's, which we may touch."""

    @property
    def address(self) -> int:
        """Where they begin, as an ioctl names it (`vaddr`)."""

    @property
    def view(self) -> memoryview:
        """Their bytes, writable."""

    def close(self) -> None:
        """Give them back. Views must be gone by then."""


class Handle(Protocol):
    """An open node of /dev, or a descriptor that an ioctl of one has returned."""

    @property
    def number(self) -> int:
        """The descriptor, as an ioctl names it."""

    def ioctl(self, request: int, argument: int | bytearray = 0) -> int:
        """What `ioctl(2)` returns. A `bytearray` is passed by address, and changed in place."""

    def adopt(self, number: int) -> Handle:
        """The descriptor that an ioctl of this handle has returned, as a handle."""

    def read_at(self, offset: int, size: int) -> bytes:
        """`pread`: bytes of a region of a device."""

    def write_at(self, offset: int, data: bytes) -> int:
        """`pwrite`; how many bytes were taken."""

    def map(self, offset: int, size: int) -> Memory:
        """`mmap`, shared, to read and write."""

    def close(self) -> None:
        """Close the descriptor. What it held is free once its mappings are closed, too."""


class Signal(Protocol):
    """An eventfd: a counter that the kernel raises, when an interrupt comes for example."""

    @property
    def number(self) -> int:
        """The descriptor, as an ioctl names it."""

    def wait(self, seconds: float) -> int:
        """Wait up to `seconds` for the counter to be raised; take it (0: it was not)."""

    def close(self) -> None:
        """Close the descriptor."""


class Algorithm(Protocol):
    """A digest or a cipher of the kernel's crypto API, which may be done by a device."""

    def digest(self, data: bytes) -> bytes:
        """Of a `hash`: the digest of the data."""

    def cipher(self, data: bytes, vector: bytes, *, encrypt: bool) -> bytes:
        """Of a `skcipher`: the data, encrypted or decrypted; `vector` is empty if there is none."""

    def close(self) -> None:
        """Give it back."""


class Host(Protocol):
    """A host: read by readers, which never change it, and changed by the steps of a plan."""

    @property
    def url(self) -> str:
        """What `--host` was, in full."""

    @property
    def backend(self) -> Backend:
        """Which kind of host this is."""

    @property
    def reading(self) -> str:
        """The path of the read under way, or the last one: what a watchdog names as stuck."""

    avoid: frozenset[str]
    """Paths whose reading hangs: refused with ETIMEDOUT until the set is changed."""

    taken_at: str | None
    """When a saved host was saved (RFC 3339, or empty); None for one whose time goes on."""

    disarmed: str | None
    """Why the operator wants nothing changed, a sentence: then nothing can be (EROFS)."""

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        """The first `limit` bytes of a file."""

    def read_into(self, path: str, buffer: bytearray, limit: int) -> int:
        """As `read`, for what is long and read often: into a buffer, which grows where it must.

        Returns how many bytes were read.
        """

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """Bytes of a seekable file (PCI configuration space); short at its end."""

    def look(
        self, directory: str, files: Sequence[str], links: Sequence[str] = ()
    ) -> list[bytes | OSError]:
        """Several files and symbolic links of one directory, errors in their place.

        Contents of `files`, then targets of `links` as bytes. Raises only if the directory itself
        cannot be opened. This is the fast path: one path walk for all.
        """

    def list(self, path: str) -> list[str]:
        """The names in a directory, in no particular order."""

    def readlink(self, path: str) -> str:
        """The target of a symbolic link, as written."""

    def mode(self, path: str) -> int:
        """`st_mode` of what is at a path itself, links not followed."""

    def keep(self, paths: Sequence[str], limit: int = PAGE) -> Kept:
        """Keep files open, to read up to `limit` bytes of each again and again.

        A path that cannot be opened is tried anew each time.
        """

    def device_number(self, path: str) -> int:
        """`st_rdev` of a node below /dev, following links (also `/proc/PID/fd/N`)."""

    def kernel_log(self) -> builtins.list[bytes]:
        """The records of `/dev/kmsg`, oldest first, as the kernel formats them."""

    def follow_log(self) -> Log:
        """The same log, to be asked again and again for what is new in it."""

    def events(self) -> Events | None:
        """A stream of uevents, or None where the host has none (then one polls)."""

    def refusal(self) -> str | None:
        """Why nothing can be changed here (a sentence), or None if we have the right to."""

    def write(self, path: str, data: bytes) -> Write:
        """Begin to write to a file, in a process of its own."""

    def load_module(self, name: str) -> Write:
        """Begin to load a kernel module; it ends with ENOENT where there is none of that name."""

    def open(self, path: str) -> Handle:
        """Open a node of /dev to read and write."""

    def memory(self, size: int) -> Memory:
        """Anonymous pages, zeroed; `size` is a multiple of the page size."""

    def signal(self) -> Signal:
        """A new eventfd, at zero."""

    def algorithm(self, kind: str, driver: str, key: bytes = b"") -> Algorithm:
        """A `hash` or `skcipher` by its driver's name, with a key where it takes one.

        ENOENT: there is none of that name; EAFNOSUPPORT: the kernel lets no process use its own.
        """

    def now(self) -> float:
        """Seconds on the host's monotonic clock, which a simulator may run at its own pace."""

    def sleep(self, seconds: float) -> None:
        """Let time pass on the host."""

    def close(self) -> None:
        """Give everything back."""


def open_host(url: str) -> Host:
    """The host that a `--host` URL names.

    Raises `UsageError` (a sentence) for a URL that names no kind of host, `OSError` for one that
    cannot be opened.
    """
    kind, _, rest = url.partition(":")
    if kind == "linux" or url == "auto":
        from sdmtop.backends.linux import open_linux

        return open_linux(rest)
    if kind == "capture" and rest:
        from sdmtop.backends.capture import CaptureHost

        return CaptureHost(rest)
    if kind == "sim":
        from sdmtop.backends.simulator.host import open_simulator

        return open_simulator(rest)
    if kind == "replay":
        raise UsageError("a recording is for the console, replay, snapshot and diff only")
    raise UsageError(
        "no such kind of host; use auto, linux:, linux:/other/root, sim:SCENARIO, "
        "capture:PATH or replay:FILE"
    )
