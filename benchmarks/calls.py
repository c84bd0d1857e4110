"""Writes down which calls a reading makes, for `floor replay` to make them again in C.

A line a call: `D` directory opened, `f` file and `l` link in it, `d` closed; `r` file read, `p`
part of a file, `k` link, `s` stat, `L` directory listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdmtop.backends.limits import READ_LIMIT
from sdmtop.backends.linux import LinuxHost

if TYPE_CHECKING:
    import builtins
    from collections.abc import Sequence


class Recorder(LinuxHost):
    """A host that remembers what was asked of it."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._full = root
        self.calls: builtins.list[str] = []

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        self.calls.append(f"r{self._full}{path}")
        return super().read(path, limit)

    def read_into(self, path: str, buffer: bytearray, limit: int) -> int:
        self.calls.append(f"r{self._full}{path}")
        return super().read_into(path, buffer, limit)

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        self.calls.append(f"p{size},{offset} {self._full}{path}")
        return super().read_at(path, offset, size)

    def look(
        self, directory: str, files: Sequence[str], links: Sequence[str] = ()
    ) -> builtins.list[bytes | OSError]:
        self.calls += [f"D{self._full}{directory}", *(f"f{name}" for name in files),
                       *(f"l{name}" for name in links), "d"]  # fmt: skip
        return super().look(directory, files, links)

    def list(self, path: str) -> builtins.list[str]:
        self.calls.append(f"L{self._full}{path}")
        return super().list(path)

    def readlink(self, path: str) -> str:
        self.calls.append(f"k{self._full}{path}")
        return super().readlink(path)

    def mode(self, path: str) -> int:
        self.calls.append(f"s{self._full}{path}")
        return super().mode(path)

    def device_number(self, path: str) -> int:
        self.calls.append(f"s{self._full}{path}")
        return super().device_number(path)
