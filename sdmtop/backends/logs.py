"""Kernel logs that are followed: what has been logged since one looked last."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_RECORD = 8192
"""Bytes of the longest record; the kernel refuses to read one into less room than it needs."""

_RECORDS = 100_000
"""Records that are read at once: a log that is written as fast as it is read has no end."""


class OpenLog:
    """`/dev/kmsg` (Documentation/ABI/testing/dev-kmsg): a descriptor gets each record once."""

    def __init__(self, path: str, flags: int) -> None:
        self._fd = os.open(path, flags)

    def fresh(self) -> list[bytes]:
        """See `base.Log.fresh`. A descriptor just opened starts at the oldest record."""
        records: list[bytes] = []
        while len(records) < _RECORDS:
            try:
                record = os.read(self._fd, _RECORD)
            except BlockingIOError:
                break
            except BrokenPipeError:
                continue  # Overwritten while we read: the next read finds the oldest left.
            if not record:
                break
            records.append(record)
        return records

    def close(self) -> None:
        """See `base.Log.close`."""
        os.close(self._fd)


class ListedLog:
    """A log that is in memory as a whole."""

    def __init__(self, records: Callable[[], list[bytes]]) -> None:
        self._records = records
        self._had: list[bytes] = []

    def fresh(self) -> list[bytes]:
        """See `base.Log.fresh`."""
        had, self._had = self._had, self._records()
        # One that has begun to forget is told anew as a whole.
        return self._had[len(had) :] if self._had[: len(had)] == had else self._had

    def close(self) -> None:
        """See `base.Log.close`."""
