"""What this process has open."""

import os
from collections import Counter
from contextlib import suppress


def open_files() -> Counter[str]:
    """How many descriptors are open on each file, as `/proc/self/fd` names it.

    Compare with what is more than before, never with what is less: tests before leave some of
    theirs to the garbage collector, which closes them when it likes.
    """
    files: Counter[str] = Counter()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # That of the listing itself.
            files[os.readlink(f"/proc/self/fd/{fd}")] += 1
    return files
