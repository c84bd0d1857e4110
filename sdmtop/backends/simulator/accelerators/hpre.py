"""Modular exponentiation, on which RSA and Diffie-Hellman rest, as HiSilicon's HPRE does it."""

from __future__ import annotations

from sdmtop.backends.simulator.accelerators.rings import BadDataError, RingAccelerator

POWER = 1
"""Operation: source to the power of the exponent, modulo the modulus.

All are big-endian numbers of `parameter` bytes; extra is exponent, then modulus.
"""
MOST = 512
"""4,096 bits."""


class Hpre(RingAccelerator):
    """One operation."""

    rate = 2e6

    def compute(self, operation: int, parameter: int, data: bytes, extra: bytes) -> bytes | None:
        """See `RingAccelerator.compute`."""
        size = parameter
        if operation != POWER or not 0 < size <= MOST:
            return None
        if len(data) != size or len(extra) != 2 * size:
            return None
        modulus = int.from_bytes(extra[size:], "big")
        if not modulus:
            raise BadDataError("the modulus is zero")
        exponent = int.from_bytes(extra[:size], "big")
        return pow(int.from_bytes(data, "big"), exponent, modulus).to_bytes(size, "big")
