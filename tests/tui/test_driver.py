"""The driver of the terminal, where that is not what it was."""

import asyncio
import os
import pty

import pytest

from sdmtop.tui.driver import ConsoleDriver
from tests.hosts import box
from tests.tui.still import console


def test_a_terminal_that_went_while_the_program_was_stopped_takes_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hang-up continues a program: Textual takes over a terminal that is no more."""
    written: list[str] = []
    monkeypatch.setattr("textual.drivers.linux_driver.LinuxDriver.write",
                        lambda _self, data: written.append(data))  # fmt: skip
    monkeypatch.setattr("textual.drivers.linux_driver.LinuxDriver.start_application_mode",
                        lambda _self: None)  # fmt: skip

    async def run() -> None:
        ends = pty.openpty()
        driver = ConsoleDriver(console(box()))
        driver.fileno = ends[1]
        driver.start_application_mode()
        driver.write("drawn")
        assert os.read(ends[0], 100) == b"drawn"
        monkeypatch.setattr("os.ttyname", _gone)
        driver.start_application_mode()
        driver.write("to nobody")
        for end in ends:
            os.close(end)

    asyncio.run(run())
    assert written == []


def _gone(_terminal: int) -> str:
    raise FileNotFoundError
