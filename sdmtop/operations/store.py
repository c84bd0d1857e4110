"""Where the journal and the locks of a host are."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING
from weakref import finalize

from sdmtop.errors import RefusedError
from sdmtop.operations.journal import Journal
from sdmtop.places import state_directory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sdmtop.backends.base import Host

RUN = "/run/sdmtop"
"""The directory of root's locks."""


class Store:
    """A journal, and a directory with a lock for each group."""

    def __init__(self, journal: Journal, locks: str) -> None:
        self.journal = journal
        self._locks = locks

    def locked(self, names: Iterable[str], purpose: str) -> ExitStack:
        """Keep everybody else off these groups and devices, until what is returned is left.

        The process of a write keeps them locked as well, and so beyond our end.
        Raises `RefusedError`, with who holds it and what for, if one is locked.
        """
        with ExitStack() as stack:
            # In one order everywhere: two plans that want the same groups cannot block each other.
            for name in sorted(names):
                fd = os.open(
                    os.path.join(self._locks, name.replace("/", "-")),
                    os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW,
                    0o600,
                )
                stack.callback(os.close, fd)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    holder = os.pread(fd, 400, 0).decode("utf-8", "replace") or "another process"
                    raise RefusedError(f"{name}: {holder} is at work on it") from None
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"process {os.getpid()} ({purpose})".encode(), 0)
                os.set_inheritable(fd, True)  # noqa: FBT003 - it takes no keyword
            return stack.pop_all()


def open_store(host: Host) -> Store:
    """The store of a host: root's, the user's own, or for a model of a host one that passes.

    Raises `OSError` where its directories cannot be made.
    """
    if host.backend != "linux":
        # A model is gone with its process, and so is what was done to it.
        directory = mkdtemp(prefix="sdmtop-")
        store = Store(Journal(None), directory)
        finalize(store, rmtree, directory, ignore_errors=True)
        return store
    locks = _locks_directory()
    for directory in (state_directory(), locks):
        os.makedirs(directory, mode=0o700, exist_ok=True)
    return Store(open_journal(host), locks)


def open_journal(host: Host) -> Journal:
    """The journal of a host, to read: nothing is made. One without a file has no entries."""
    return Journal(f"{state_directory()}/journal" if host.backend == "linux" else None)


def _locks_directory() -> str:
    """Where the locks of whoever runs this are: they need not outlive a boot."""
    if os.geteuid() == 0:
        return RUN
    run = os.environ.get("XDG_RUNTIME_DIR")
    return os.path.join(run, "sdmtop") if run else state_directory()
