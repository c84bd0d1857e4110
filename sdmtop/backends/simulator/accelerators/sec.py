"""Ciphers and digests: AES, SHA and HMAC, as HiSilicon's SEC does them."""

from __future__ import annotations

import hashlib
import hmac

from sdmtop.backends.simulator.accelerators.aes import BLOCK, Aes
from sdmtop.backends.simulator.accelerators.rings import BadDataError, RingAccelerator

ENCRYPT, DECRYPT, DIGEST, MAC = 1, 2, 3, 4
"""Operations."""
ECB, CBC, CTR = 0, 1, 2
"""The mode of a cipher: its parameter. Extra is the vector or first counter block, then the key.

ECB takes a key only. ECB and CBC ask for whole blocks.
"""
SHA1, SHA224, SHA256, SHA384, SHA512 = range(5)
"""The parameter of a digest and of a MAC (HMAC), whose key is extra."""

_NAMES = ("sha1", "sha224", "sha256", "sha384", "sha512")


class Sec(RingAccelerator):
    """Keys have 16, 24 or 32 bytes."""

    rate = 1e9

    def compute(self, operation: int, parameter: int, data: bytes, extra: bytes) -> bytes | None:
        """See `RingAccelerator.compute`."""
        if operation in (ENCRYPT, DECRYPT):
            return _cipher(parameter, data, extra, encrypt=operation == ENCRYPT)
        if parameter >= len(_NAMES):
            return None
        if operation == DIGEST and not extra:
            return hashlib.new(_NAMES[parameter], data, usedforsecurity=False).digest()
        if operation == MAC:
            return hmac.digest(extra, data, _NAMES[parameter])
        return None


def _cipher(mode: int, data: bytes, extra: bytes, *, encrypt: bool) -> bytes | None:
    start = BLOCK if mode in (CBC, CTR) else 0
    vector, key = extra[:start], extra[start:]
    if mode not in (ECB, CBC, CTR) or len(key) not in (16, 24, 32):
        return None
    cipher = Aes(key)
    if mode == CTR:
        return cipher.ctr(data, vector)
    if len(data) % BLOCK:
        raise BadDataError("no whole blocks")
    if mode == ECB:
        return cipher.ecb(data, encrypt=encrypt)
    return cipher.cbc(data, vector, encrypt=encrypt)
