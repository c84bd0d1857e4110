"""The edge where an error becomes a sentence for a person (contract 1)."""

import errno
import os
import sys

from sdmtop.text import printable

FAILED, USAGE, REFUSED, NOTHING_TO_DO = 1, 2, 3, 4
"""Exit statuses; 0 is done."""


class UsageError(ValueError):
    """What was asked for makes no sense, whatever the state of the host."""


class RefusedError(Exception):
    """What was asked for is not done, for a reason that a sentence says."""


class NothingToDoError(Exception):
    """There is nothing that could be done: no such thing, or it is so already."""


_STATUSES = {UsageError: USAGE, RefusedError: REFUSED, NothingToDoError: NOTHING_TO_DO}


def because(error: Exception) -> str:
    """`why (errno name)`, on one line, fit for a terminal."""
    if isinstance(error, OSError) and error.errno is not None:
        why = error.strerror or os.strerror(error.errno)
        name = errno.errorcode.get(error.errno, str(error.errno))
        return printable(f"{why} ({name})")
    return printable(str(error))


def sentence(what: str, error: Exception) -> str:
    """`what: why (errno name)`, on one line, fit for a terminal."""
    return f"{printable(what)}: {because(error)}"


def complain(what: str, error: Exception) -> int:
    """Print the sentence to standard error, if somebody is there; the exit status of that error."""
    if sys.stderr is not None:
        try:
            print(f"sdmtop: {sentence(what.removesuffix(':'), error)}", file=sys.stderr)  # noqa: T201
        except OSError:
            pass  # Its terminal is gone, too: the status is all that is left to tell.
    for kind, status in _STATUSES.items():
        if isinstance(error, kind):
            return status
    return FAILED


def put_out(data: bytes) -> int:
    """Write to standard output; the exit status.

    A reader that has gone (`| head`) is no error worth a word, a full disk is.
    """
    if sys.stdout is None:
        return complain("standard output", OSError(errno.EBADF, "it is closed"))
    try:
        while data:
            # Unbuffered: nothing is left that could fail when the interpreter ends.
            data = data[os.write(sys.stdout.fileno(), data) :]
    except BrokenPipeError:
        return FAILED
    except OSError as error:
        return complain("standard output", error)
    return 0
