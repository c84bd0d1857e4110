"""Copying memory: what the smallest accelerator does (`dummy_wd` of the 2018 series)."""

from __future__ import annotations

from sdmtop.backends.simulator.accelerators.rings import RingAccelerator

COPY = 1


class Memcpy(RingAccelerator):
    """One operation."""

    rate = 1e10

    def compute(self, operation: int, parameter: int, data: bytes, extra: bytes) -> bytes | None:
        """See `RingAccelerator.compute`."""
        return data if operation == COPY and not parameter and not extra else None
