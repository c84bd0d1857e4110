"""The edge where an error becomes a sentence for a person (contract 1)."""

import errno
import os
import sys

from sdmtop.text import printable

FAILED, USAGE, REFUSED, NOTHING_TO_DO = 1, 2, 3, 4
"""Exit statuses; 0 is done."""


def sentence(what: str, error: Exception) -> str:
    """`what: why (errno name)`, on one line, fit for a terminal."""
    if isinstance(error, OSError) and error.errno is not None:
        why = error.strerror or os.strerror(error.errno)
        name = errno.errorcode.get(error.errno, str(error.errno))
        return printable(f"{what}: {why} ({name})")
    return printable(f"{what}: {error}")


def complain(what: str, error: Exception) -> int:
    """Print the sentence to standard error; the exit status of a thing that failed."""
    print(f"sdmtop: {sentence(what, error)}", file=sys.stderr)  # noqa: T201
    return USAGE if isinstance(error, ValueError) and not isinstance(error, OSError) else FAILED
