"""Signals while an operation is under way."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from sdmtop.operations.stopping import stopping

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _hang_up() -> Iterator[None]:
    # Whoever runs the tests may have it ignored, as nohup has.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_to_end(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stopping() as stopped:
        assert not stopped.is_set()
        signal.raise_signal(number)
        assert stopped.is_set()
        assert stopped.signal == number
    assert signal.getsignal(number) is before


def test_a_hang_up_that_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stopping() as stopped:
        signal.raise_signal(signal.SIGHUP)
    assert not stopped.is_set()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
