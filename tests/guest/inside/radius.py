"""The verdicts of a blast radius, as JSON: `python -m tests.guest.inside.radius ADDRESS...`.

Without an address: of every PCI device, each alone. The time that each takes goes to stderr.
"""

from __future__ import annotations

import sys
import time
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from sdmtop.backends.base import open_host
from sdmtop.operations.blast import blast_radius
from sdmtop.readers.snapshot import read_snapshot

if TYPE_CHECKING:
    from sdmtop.backends.base import Host
    from sdmtop.model import Snapshot
    from sdmtop.operations.plan import Verdict


def main() -> None:
    """Print a list of verdicts."""
    host = open_host("linux:")
    snapshot = read_snapshot(host)
    asked = sys.argv[1:] or [device.address for device in snapshot.devices]
    parts = [asked] if sys.argv[1:] else [[address] for address in asked]
    radii = [_timed(host, snapshot, addresses) for addresses in parts]
    sys.stdout.buffer.write(msgspec.json.encode(list(chain.from_iterable(radii))))


def _timed(host: Host, snapshot: Snapshot, addresses: list[str]) -> tuple[Verdict, ...]:
    began = time.monotonic()
    found = blast_radius(host, snapshot, addresses, own=(sys.executable,))
    print(f"{addresses}: {1000 * (time.monotonic() - began):.0f} ms", file=sys.stderr)
    return found


if __name__ == "__main__":
    main()
