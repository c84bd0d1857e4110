"""Guests as a person uses them: `python -m tests.guest`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.guest.conftest import EVERY_KERNEL
from tests.tui.session import Session

if TYPE_CHECKING:
    from tests.guest.guest import Guest

# After a test with a guest has fetched what is needed, or has told why that cannot be.
pytestmark = [
    pytest.mark.guest,
    pytest.mark.parametrize("guest", EVERY_KERNEL[:1], indirect=True, ids="-".join),
]
PROGRAM = (sys.executable, "-m", "tests.guest")


def test_a_shell_is_on_the_console_and_the_guest_ends_with_it(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.tui.session.PATIENCE", 180.0)
    place = ("--kernel", guest.kernel.series, "--topology", "none")
    with Session("shell", *place, program=PROGRAM) as session:
        session.wait_for(f"[{guest.kernel.series} none] ")
        session.type("echo I am on $(uname -r)\r")
        session.wait_for(f"I am on {guest.kernel.release}")
        session.type("exit 3\r")
        assert session.wait_for_exit() == 3
        assert "terminal attributes" not in session.leftovers()


def test_one_command_gives_its_output_and_its_status(guest: Guest) -> None:
    place = ("--kernel", guest.kernel.series, "--topology", "none")
    command = ("sh", "-c", "uname -r; exit 4")
    done = subprocess.run(
        [*PROGRAM, "run", *place, "--", *command], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == (f"{guest.kernel.release}\n", 4)


def test_the_list_names_kernels_and_topologies(guest: Guest) -> None:
    done = subprocess.run([*PROGRAM, "list"], capture_output=True, text=True, check=True)
    assert guest.kernel.series in done.stdout
    assert guest.topology.name in done.stdout
