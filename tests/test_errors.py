"""What is said where nobody is left to hear it."""

import errno
import os

import pytest

from sdmtop.errors import FAILED, REFUSED, RefusedError, complain, put_out


class Gone:
    """A terminal that was closed."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def write(self, _text: str) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def flush(self) -> None:
        self.write("")


def test_a_terminal_that_is_gone_is_an_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        monkeypatch.setattr("sys.stdout", Gone(fd))
        monkeypatch.setattr("sys.stderr", Gone(fd))
        assert put_out(b"told") == FAILED
        assert complain("attach", RefusedError("it is in use")) == REFUSED
    finally:
        os.close(fd)
