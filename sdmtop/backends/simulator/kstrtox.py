"""Numbers and flags as the kernel takes them from what is written to a file (lib/kstrtox.c)."""

from __future__ import annotations

import errno
import re

from sdmtop.backends.simulator.refusal import refusal

_UNSIGNED = re.compile(rb"\+?(?:0x([0-9a-f]+)|(0[0-7]*)|([1-9][0-9]*))\n?", re.IGNORECASE)
_MOST = (1 << 64) - 1


def unsigned(data: bytes) -> int:
    """A number of base 0: `10`, `0xa`, `012`, `+10`, and a line break behind it, no more.

    Raises EINVAL, as the files do that take one, also for one of more than 64 bits.
    """
    text = data.partition(b"\0")[0]
    found = _UNSIGNED.fullmatch(text)
    if found is not None:
        hexadecimal, octal, decimal = found.groups()
        value = int(hexadecimal or octal or decimal, 16 if hexadecimal else 8 if octal else 10)
        if value <= _MOST:
            return value
    raise refusal(errno.EINVAL, f"{text.decode('ascii', 'replace')!r} is no number")


def boolean(data: bytes) -> bool:
    """A flag, by its first letters: `1`, `y`, `t`, `on`; `0`, `n`, `f`, `off`. Raises EINVAL."""
    text = data.lower()
    if text[:1] in (b"1", b"y", b"t") or text[:2] == b"on":
        return True
    if text[:1] in (b"0", b"n", b"f") or text[:2] == b"of":
        return False
    raise refusal(errno.EINVAL, f"{data.decode('ascii', 'replace')!r} is neither on nor off")
