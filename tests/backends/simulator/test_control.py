"""A running simulator, told what to do through its socket."""

from __future__ import annotations

import os
import socket
import stat
import time
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from sdmtop.backends.simulator.control import (
    Answer,
    Control,
    Request,
    ask,
    controlled,
    running,
    runtime_directory,
)
from sdmtop.backends.simulator.scenario import Fault
from tests.backends.simulator.machines import NIC, guest
from tests.hosts import box

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sdmtop.backends.simulator.host import SimulatorHost


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def host() -> Iterator[SimulatorHost]:
    found = guest()
    with controlled(found) as trouble:
        assert trouble == ""
        yield found


def tell(request: Request) -> Answer:
    (path,) = running().values()
    return ask(path, request)


def test_a_simulator_is_found_by_its_process(host: SimulatorHost) -> None:
    assert [*running()] == [os.getpid()]
    assert tell(Request("status")) == Answer(done=True, text=f"{host.url} at 0.0 s, standing still")


def test_its_time_is_stepped_and_let_run(host: SimulatorHost) -> None:
    assert tell(Request("step", value=2.5)).text == "sim: at 2.5 s, standing still"
    assert tell(Request("run", value=10)).text.endswith("running 10 times as fast as real time")
    assert host.rate == 10
    tell(Request("run"))
    assert host.rate == 0


def test_a_fault_is_injected(host: SimulatorHost) -> None:
    fault = Fault("errno", target=NIC, operation="unbind", errno="EIO")
    assert tell(Request("inject", fault=fault)).text == f"injected errno on {NIC} at 0.0 s"
    (trap,) = host.system.traps
    assert (trap.operation, trap.target) == ("unbind", NIC)


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Request("inject", fault=Fault("stall", target="nothing")), "there is no device nothing"),
        (Request("inject"), "there is no fault in the request"),
    ],
)
def test_what_cannot_be_done_is_told(request_: Request, reason: str) -> None:
    assert tell(request_) == Answer(done=False, text=reason)


def slow(host: SimulatorHost) -> None:
    """Have something happen on it every second that takes a hundredth of a real one."""

    def happen() -> None:
        time.sleep(0.01)
        host.kernel.clock.after(1.0, happen)

    happen()


def test_a_step_is_waited_for_as_long_as_it_works(
    host: SimulatorHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdmtop.backends.simulator.control._PATIENCE", 0.4)
    monkeypatch.setattr("sdmtop.backends.simulator.control._BEAT", 0.1)
    slow(host)
    assert tell(Request("step", value=80)).text == "sim: at 80.0 s, standing still"


@pytest.fixture
def stepping(host: SimulatorHost) -> Iterator[list[Answer]]:
    """What comes of a step that would take a quarter of an hour."""
    slow(host)
    answers: list[Answer] = []
    thread = Thread(target=lambda: answers.append(tell(Request("step", value=80_000))))
    thread.start()
    while not host.kernel.clock.now:
        time.sleep(0.01)
    yield answers
    tell(Request("run"))
    thread.join(5)
    assert [answer.done for answer in answers] == [False]
    assert answers[0].text.startswith("refused: the step was ended at ")


def test_during_a_step_others_are_answered(host: SimulatorHost, stepping: list[Answer]) -> None:
    assert tell(Request("status")).text.startswith("sim: at ")
    assert host.read("/sys/bus/pci/devices/0000:03:00.0/vendor")
    assert tell(Request("step")) == Answer(
        done=False, text="refused: another step is under way (EBUSY)"
    )
    assert stepping == []


def test_whoever_goes_away_ends_their_step(
    host: SimulatorHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdmtop.backends.simulator.control._BEAT", 0.0)
    slow(host)
    (path,) = running().values()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b'{"do":"step","value":80000}\n')
        assert connection.recv(1) == b" "
    for _ in range(500):
        answer = tell(Request("step", value=0.0))
        if answer.done:
            break
        time.sleep(0.01)
    assert answer.done


@pytest.mark.usefixtures("host")
def test_a_step_that_no_machine_can_do_is_refused() -> None:
    answer = tell(Request("step", value=1e9))
    assert answer == Answer(done=False, text="a step has 86400 s at most: let time run instead")


def test_one_that_does_not_answer_is_told(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdmtop.backends.simulator.control._PATIENCE", 0.05)
    path = runtime / "sim-1.sock"
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
        deaf.listen()
        with pytest.raises(TimeoutError, match="it does not answer"):
            ask(path, Request("status"))


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    "line", [b"garbage\n", b'{"do": "shout"}\n', b'{"do": "run", "value": -1}\n', b"\xff\n", b"\n"]
)
def test_garbage_is_answered_and_the_next_request_too(line: bytes) -> None:
    (path,) = running().values()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(line)
        assert b'"done":false' in connection.recv(4096)
    assert tell(Request("status")).done


@pytest.mark.usefixtures("host")
def test_whoever_asks_and_goes_away_does_no_harm() -> None:
    (path,) = running().values()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
    assert tell(Request("status")).done


def test_only_its_user_can_reach_it(host: SimulatorHost, runtime: Path) -> None:
    del host
    (path,) = running().values()
    assert path.parent == runtime / "sdmtop"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_is_left_when_it_ends(runtime: Path) -> None:
    with controlled(guest()):
        pass
    assert [*(runtime / "sdmtop").iterdir()] == []


def test_a_socket_that_was_left_behind_is_taken_over() -> None:
    first = Control(guest())
    second = Control(guest())
    assert tell(Request("status")).done
    first.close()
    second.close()


def test_a_directory_that_others_can_enter_is_refused(runtime: Path) -> None:
    (runtime / "sdmtop").mkdir(mode=0o755)
    with pytest.raises(PermissionError, match="others can enter it"):
        runtime_directory()
    with controlled(guest()) as trouble:
        assert trouble.startswith("'sdmtop simulate' cannot reach this console: others can enter")


def test_without_a_runtime_directory_it_is_among_the_temporary_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert runtime_directory() == tmp_path / f"sdmtop-{os.getuid()}"


def test_another_kind_of_host_listens_to_nobody() -> None:
    with controlled(box()):
        assert running() == {}
