"""Samples of a small host as time passes: what recordings and replays are made of."""

from collections.abc import Sequence

from msgspec.structs import replace

from sdmtop.backends.tree import TreeHost
from sdmtop.collector import SLOW, Sample
from tests.hosts import box, plug, stat, unplug
from tests.tui.still import StillSampler

CARD = "0000:00:03.0"
BEGIN = 1_800_000_000.0
"""When the first sample of a life was made, in seconds since the epoch."""


def life(*happens: str, host: TreeHost | None = None) -> list[Sample]:
    """The samples of a box, a second apart, at whose ticks these things happen.

    `irq` interrupts come; `plug`, `unplug` a card comes and goes; anything else is a quiet tick.
    The first sample is from before the first of them.
    """
    host = host or box()
    sampler = StillSampler(host)
    sampler.tick()  # Of interrupts nothing is told before the second reading.
    samples: list[Sample] = []
    sampler.subscribe(samples.append)
    sampler.start()
    count = 10
    for what in happens:
        if what == "plug":
            plug(host, CARD, group=3)
        elif what == "unplug":
            unplug(host, CARD, group=3)
        count += what == "irq"
        host.put("/proc/stat", stat(0, count, 20, 30))
        sampler.tick(1.0 if what in ("irq", "quiet") else SLOW)
    return at_seconds(samples)


def at_seconds(samples: Sequence[Sample]) -> list[Sample]:
    """The samples as if a second had passed between any two."""
    return [replace(sample, at=BEGIN + index) for index, sample in enumerate(samples)]
