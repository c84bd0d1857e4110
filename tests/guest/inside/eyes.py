"""Reads this host at each SIGUSR1, as `sdmtop snapshot` does, but stays; a line for each.

Argument: the file that gets the last snapshot, JSON.
"""

import signal
import sys
from pathlib import Path

import msgspec

from sdmtop.backends.base import open_host
from sdmtop.patience import patiently
from sdmtop.readers.snapshot import read_snapshot


def main() -> None:
    """See the module."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    host, file = open_host("linux:"), Path(sys.argv[1])
    print("open", flush=True)
    while True:
        signal.sigwait({signal.SIGUSR1})
        snapshot = patiently(host, lambda: read_snapshot(host))
        file.write_bytes(msgspec.json.encode(snapshot))
        print("seen", flush=True)


if __name__ == "__main__":
    main()
