"""Attaches and detaches over and over in one process, and prints what that has left, as JSON.

Arguments: how often, then the TARGETs.
"""

import json
import os
import sys

from sdmtop.backends.base import open_host
from sdmtop.operations.attach import plan_attach
from sdmtop.operations.execute import Consent, execute
from sdmtop.operations.kept import Kept
from sdmtop.operations.store import open_store
from sdmtop.operations.undo import plan_detach
from sdmtop.readers.snapshot import read_snapshot


def main() -> None:
    """See the module."""
    times, *targets = sys.argv[1:]
    host = open_host("linux:")
    store, kept = open_store(host), Kept(host)
    before = left()
    endings: list[str] = []
    for _ in range(int(times)):
        plan = plan_attach(host, read_snapshot(host), targets)
        consent = Consent(confirmed=True, typed=plan.phrase)
        endings.append(execute(host, plan, store=store, kept=kept, consent=consent).ending)
        entries = store.journal.entries()[-1:]
        plan = plan_detach(host, read_snapshot(host), targets, entries=entries, kept=kept)
        consent = Consent(confirmed=True, typed=plan.phrase)
        endings.append(execute(host, plan, store=store, kept=kept, consent=consent).ending)
    print(json.dumps({"endings": sorted(set(endings)), "before": before, "after": left()}))


def left() -> dict[str, int]:
    """What this process has: descriptors, mappings of devices, children."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        mapped = sum("vfio" in line for line in maps)
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as children:
        born = len(children.read().split())
    return {"fds": len(os.listdir("/proc/self/fd")), "mappings": mapped, "children": born}


if __name__ == "__main__":
    main()
