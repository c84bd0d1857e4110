"""Saved screens: a picture and a text of the same moment, for a ticket or a colleague."""

import os
import re
import time
from pathlib import Path

_FONTS = re.compile(r"@font-face \{.*?\}\n?", re.DOTALL)


def save_screen(directory: str, svg: str, lines: list[str], at: float) -> str:
    """Write `NAME.svg` and `NAME.txt`; their path without the ending.

    `at` is seconds since the epoch. Nothing is overwritten. Both are for their owner only, since a
    screen names devices and processes. Raises `OSError` where they cannot be written.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    stamp = time.strftime("sdmtop-%Y%m%d-%H%M%S", time.localtime(at))
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    number = 1
    while True:
        name = stamp if number == 1 else f"{stamp}-{number}"
        try:
            _write(Path(directory, f"{name}.svg"), portable(svg))
        except FileExistsError:
            number += 1
            continue
        _write(Path(directory, f"{name}.txt"), text)
        return str(Path(directory, name))


def portable(svg: str) -> str:
    """A picture that fetches nothing when it is opened, and has its columns in every viewer."""
    # Without the attribute some (librsvg) drop the blanks with which a text begins or ends.
    return _FONTS.sub("", svg).replace("<svg ", '<svg xml:space="preserve" ', 1)


def _write(file: Path, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(file, flags, 0o600), "w", encoding="utf-8") as target:
        target.write(text)
