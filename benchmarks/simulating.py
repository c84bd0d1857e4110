"""What a simulated host costs: each in a process of its own, which prints its figures.

`python -m benchmarks.simulating SCENARIO SECONDS` opens the scenario, lets that many virtual
seconds pass, and prints JSON: `start` (seconds until it is open), `second` (CPU milliseconds that a
virtual second costs), `rss` (MiB at most).
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import NamedTuple


class Costs(NamedTuple):
    """See the module."""

    start: float
    second: float
    rss: float


def costs(scenario: str, seconds: int) -> Costs:
    """The figures of one run."""
    command = [sys.executable, "-m", "benchmarks.simulating", scenario, str(seconds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return Costs(**json.loads(done.stdout))


def main(scenario: str, seconds: int) -> None:
    """One run."""
    begin = time.perf_counter()
    from sdmtop.backends.base import open_host
    from sdmtop.backends.simulator.host import SimulatorHost

    host = open_host(f"sim:{scenario}?at=0")
    assert isinstance(host, SimulatorHost)
    start = time.perf_counter() - begin
    host.step(5)  # The first seconds are those in which programs begin.
    before = time.process_time()
    for _ in range(seconds):
        host.step(1)
    second = (time.process_time() - before) / seconds * 1000
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"start": start, "second": second, "rss": rss}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
