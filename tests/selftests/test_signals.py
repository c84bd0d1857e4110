"""Signals that cancel a run."""

import os
import signal
from collections.abc import Iterator

import pytest

from sdmtop.selftests.signals import cancelling


@pytest.fixture(autouse=True)
def hangups_end_programs() -> Iterator[None]:
    # Whoever runs the tests may have them ignored, as nohup has.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def test_a_signal_cancels_the_run_and_is_told() -> None:
    cancelled: list[bool] = []
    with cancelling(lambda: cancelled.append(True)) as came:
        os.kill(os.getpid(), signal.SIGHUP)
    assert (cancelled, came) == ([True], [signal.SIGHUP])
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_a_hangup_that_nohup_ignores_cancels_nothing() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    cancelled: list[bool] = []
    with cancelling(lambda: cancelled.append(True)) as came:
        os.kill(os.getpid(), signal.SIGHUP)
    assert (cancelled, came) == ([], [])
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
