"""A host of a few files that plans made by hand write to, as a test says."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from sdmtop.backends.tree import TreeHost
from sdmtop.operations.plan import Fact, Plan, Step, Verdict, Write

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sdmtop.backends.tree import Entry

BOOT = "11111111-2222-3333-4444-555555555555"


class Written:
    """A write that has ended, or hangs until `release` is called."""

    def __init__(self, box: Box, path: str, error: OSError | None, *, hangs: bool = False) -> None:
        self.pid: int | None = 77
        self._box = box
        self._path = path
        self._error = error
        self._hangs = hangs

    def release(self) -> None:
        self._hangs = False

    def wait(self, seconds: float) -> bool:
        if self._hangs:
            self._box.sleep(seconds)
        return not self._hangs

    def result(self) -> None:
        if self._hangs:
            raise OSError(errno.EINPROGRESS, os.strerror(errno.EINPROGRESS), self._path)
        if self._error is not None:
            raise self._error


class Box(TreeHost):
    """Files that can be written. What a write does otherwise is in `does`, by path.

    A function there is called with the data; an errno is what the write fails with; "hang" never
    returns; "nothing" returns without having done anything. A list of these is gone through, one
    a write; when it is empty the file is written.
    """

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        super().__init__(
            {"/proc/sys/kernel/random/boot_id": f"{BOOT}\n", **entries}, backend="simulator"
        )
        self.does: dict[str, list[Callable[[str], None] | int | str]] = {}
        self.written: list[tuple[str, str]] = []
        self.hanging: list[Written] = []
        self.time = 100.0

    def refusal(self) -> str | None:
        return self.disarmed

    def write(self, path: str, data: bytes) -> Written:
        text = data.decode()
        self.written.append((path, text))
        queue = self.does.get(path)
        what = queue.pop(0) if queue else None
        if isinstance(what, int):
            return Written(self, path, OSError(what, os.strerror(what), path))
        if what == "hang":
            self.hanging.append(Written(self, path, None, hangs=True))
            return self.hanging[-1]
        if callable(what):
            what(text)
        elif what is None:
            self.put(path, text)
        return Written(self, path, None)

    def load_module(self, name: str) -> Written:
        return self.write(f"/sys/bus/pci/drivers/{name}", b"")

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def step(path: str, new: str, old: str = "old", subject: str = "thing") -> Step:
    """A step that changes what is in a file."""
    return Step(
        subject=subject,
        title=f"change {path}",
        inverse_title=f"change {path} back",
        action=Write(path, new),
        before=(Fact("text", path, old),),
        after=(Fact("text", path, new),),
        inverse=Write(path, old),
    )


def plan(*steps: Step, verdicts: tuple[Verdict, ...] = (), identity: tuple[Fact, ...] = ()) -> Plan:
    return Plan(
        operation="attach",
        targets=("thing",),
        command="sdmtop attach thing",
        locks=("group/1",),
        identity=identity,
        decisions=(),
        verdicts=verdicts,
        steps=steps,
        equivalents=(),
    )
