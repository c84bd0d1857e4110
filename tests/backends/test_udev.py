"""Uevents: what passes, what is lost, and what closing leaves."""

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from sdmtop.backends import udev


class Monitor:
    """As much of `pyudev.Monitor` as is used; `answers` are events, or an error to raise."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def fileno(self) -> int:
        return 7

    def poll(self, timeout: float) -> Any:
        assert timeout == 0
        answer = self._answers.pop(0) if self._answers else None
        if isinstance(answer, OSError):
            raise answer
        return answer


def event(subsystem: str) -> Any:
    return SimpleNamespace(action="bind", subsystem=subsystem, sys_path="/sys/devices/x")


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., udev.UdevEvents]:
    def make(*monitors: Monitor) -> udev.UdevEvents:
        waiting = list(monitors)
        monkeypatch.setattr(udev.UdevEvents, "_open", lambda _self: waiting.pop(0))
        context: Any = None
        return udev.UdevEvents(context)

    return make


def test_only_events_that_can_change_the_screen_pass(
    listen: Callable[..., udev.UdevEvents],
) -> None:
    events = listen(Monitor(event("pci"), event("block"), event("vfio")))
    assert [one.subsystem for one in events.drain()] == ["pci", "vfio"]


def test_a_buffer_that_overflowed_is_told_as_lost_and_listening_goes_on(
    listen: Callable[..., udev.UdevEvents],
) -> None:
    # pyudev's own error for it carries no errno.
    events = listen(Monitor(event("pci"), OSError("polling failed")), Monitor(event("mdev")))
    assert [one.action for one in events.drain()] == ["bind", "lost", "bind"]


def test_after_closing_there_is_nothing_to_hear(listen: Callable[..., udev.UdevEvents]) -> None:
    events = listen(Monitor(event("pci")))
    events.close()
    assert (events.fileno(), events.drain()) == (-1, [])


@pytest.mark.skipif(not os.path.exists("/sys/class"), reason="no sysfs here")
def test_the_running_kernel_can_be_listened_to_and_let_go() -> None:
    events = udev.listen()
    assert events is None or events.fileno() >= 0
    if events is not None:
        events.drain()
        events.close()
