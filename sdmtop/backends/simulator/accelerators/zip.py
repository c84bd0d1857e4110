"""Compression: deflate and inflate, of HiSilicon's ZIP and its like."""

from __future__ import annotations

import zlib

from sdmtop.backends.simulator.accelerators.rings import MOST_BYTES, BadDataError, RingAccelerator

DEFLATE, INFLATE = 1, 2
"""Operations."""
RAW, ZLIB, GZIP = 0, 1, 2
"""The format around the data, in the low byte of the parameter; the next one is the level."""

_WINDOW = {RAW: -15, ZLIB: 15, GZIP: 31}


class Zip(RingAccelerator):
    """Level 0 asks for the device's own (1)."""

    rate = 4e9

    def compute(self, operation: int, parameter: int, data: bytes, extra: bytes) -> bytes | None:
        """See `RingAccelerator.compute`."""
        window = _WINDOW.get(parameter & 0xFF)
        level = parameter >> 8 or 1
        if window is None or level > 9 or extra:
            return None
        if operation == DEFLATE:
            return zlib.compress(data, level, window)
        if operation != INFLATE:
            return None
        stream = zlib.decompressobj(window)
        try:
            result = stream.decompress(data, MOST_BYTES)
        except zlib.error as error:
            raise BadDataError(str(error)) from error
        if not stream.eof:
            raise BadDataError("it is cut short, or too large")
        return result
