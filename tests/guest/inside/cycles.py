"""Attaches and detaches over and over in one process, and prints what that has left, as JSON.

Arguments: how often, then the TARGETs, which take turns. The first writes are made by children, as
always; the others by this process, because to start a child takes an emulated machine a third of a
second.
"""

import json
import os
import sys
from typing import Any, cast

import psutil

from sdmtop.backends.base import Host, Write, open_host
from sdmtop.operations.attach import plan_attach
from sdmtop.operations.execute import Consent, execute
from sdmtop.operations.kept import Kept
from sdmtop.operations.store import open_store
from sdmtop.operations.undo import plan_detach
from sdmtop.readers.snapshot import read_snapshot
from tests.guest.inside.sequences import DirectWrite

_WITH_CHILDREN = 6
"""Cycles."""


class _Childless:
    """The running kernel, written to by this process."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    def write(self, path: str, data: bytes) -> Write:
        return DirectWrite(path, data)


def main() -> None:
    """See the module."""
    times, *targets = sys.argv[1:]
    host = open_host("linux:")
    store, kept = open_store(host), Kept(host)
    before = left()
    endings: list[str] = []
    for cycle in range(int(times)):
        if cycle == _WITH_CHILDREN:
            host = cast("Host", _Childless(host))
        target = [targets[cycle % len(targets)]]
        plan = plan_attach(host, read_snapshot(host), target)
        consent = Consent(confirmed=True, typed=plan.phrase)
        endings.append(execute(host, plan, store=store, kept=kept, consent=consent).ending)
        entries = store.journal.entries()[-1:]
        plan = plan_detach(host, read_snapshot(host), target, entries=entries, kept=kept)
        consent = Consent(confirmed=True, typed=plan.phrase)
        endings.append(execute(host, plan, store=store, kept=kept, consent=consent).ending)
    print(json.dumps({"endings": sorted(set(endings)), "before": before, "after": left()}))


def left() -> dict[str, int]:
    """What this process has: descriptors, mappings of devices, children."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        mapped = sum("vfio" in line for line in maps)
    children = psutil.Process().children()
    return {"fds": len(os.listdir("/proc/self/fd")), "mappings": mapped, "children": len(children)}


if __name__ == "__main__":
    main()
