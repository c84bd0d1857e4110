"""`sdmtop simulate`, as a shell sees it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sdmtop.backends.simulator.control import controlled, runtime_directory
from sdmtop.backends.simulator.host import SimulatorHost, scenario_names
from sdmtop.cli import run
from tests.backends.simulator.machines import NIC, guest

Output = Callable[[], tuple[str, str]]


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def output(capfd: pytest.CaptureFixture[str]) -> Output:
    def read() -> tuple[str, str]:
        found = capfd.readouterr()
        return found.out, found.err

    return read


def test_list_names_every_scenario_and_what_it_shows(output: Output) -> None:
    assert run(["simulate", "list"]) == 0
    lines = output()[0].splitlines()
    assert [line.split()[0] for line in lines] == scenario_names()
    assert any("D06" in line for line in lines)


def test_export_writes_a_scenario_to_disk(tmp_path: Path, output: Output) -> None:
    tree = tmp_path / "tree"
    assert run(["simulate", "export", str(tree), "--host", "sim:edu"]) == 0
    assert output()[0].startswith(f"{tree}: ")
    assert (tree / "sys/kernel/iommu_groups/2/type").read_text() == "DMA\n"
    assert run(["simulate", "export", str(tree), "--host", "sim:edu"]) == 1
    assert "(EEXIST)" in output()[1]


def test_only_a_simulated_host_is_exported(tmp_path: Path, output: Output) -> None:
    assert run(["simulate", "export", str(tmp_path / "x"), "--host", f"linux:{tmp_path}"]) == 1
    assert run(["simulate", "export", str(tmp_path / "x"), "--host", "linux:"]) == 2
    assert "only a simulated host can be exported" in output()[1]


@pytest.mark.parametrize(
    "action", [["status"], ["pause"], ["step"], ["inject", "kill", "x"], ["pause", "--to", "1"]]
)
def test_without_one_that_runs_there_is_nothing_to_do(action: list[str], output: Output) -> None:
    assert run(["simulate", *action]) == 4
    assert output()[1].startswith("sdmtop: simulator: none is running")


def test_a_running_one_is_told_what_to_do(output: Output) -> None:
    host = guest()
    with controlled(host):
        assert run(["simulate", "step", "30"]) == 0
        assert run(["simulate", "run", "5"]) == 0
        assert host.rate == 5
        assert run(["simulate", "pause"]) == 0
        assert run(["simulate", "status"]) == 0
        inject = ["simulate", "inject", "errno", NIC, "--operation", "unbind", "--errno", "EIO"]
        assert run([*inject, "--times", "2"]) == 0
    out, err = output()
    assert "sim: at 30.0 s, standing still" in out
    assert f"injected errno on {NIC}" in out
    assert err == ""
    assert traps(host) == [("unbind", NIC, 2)]


def traps(host: SimulatorHost) -> list[tuple[str, str, int | None]]:
    return [(trap.operation, trap.target, trap.times) for trap in host.system.traps]


def test_what_it_refuses_is_a_failure(output: Output) -> None:
    with controlled(guest()):
        assert run(["simulate", "inject", "stall", "nothing"]) == 1
    assert output()[1] == "sdmtop: inject: there is no device nothing\n"


def test_one_that_does_not_answer_is_named_by_its_process(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setattr("sdmtop.backends.simulator.control._PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(runtime_directory() / "sim-1.sock"))
        deaf.listen()
        assert run(["simulate", "step", "3600"]) == 1
        assert run(["simulate", "status"]) == 0
    out, err = output()
    assert err == "sdmtop: simulator 1: it does not answer (ETIMEDOUT)\n"
    assert out == "1: it does not answer (ETIMEDOUT)\n"


@pytest.mark.parametrize("arguments", [["inject", "nonsense"], ["step", "-1"], ["run", "0"], []])
def test_what_makes_no_sense_is_a_mistake_of_usage(arguments: list[str], output: Output) -> None:
    assert run(["simulate", *arguments]) == 2
    assert output()[1].count("\n") == 1


def test_of_several_one_must_be_named(output: Output) -> None:
    with controlled(guest()):
        (runtime_directory() / "sim-1.sock").touch()
        assert run(["simulate", "pause"]) == 4
    assert "several are running: say --to 1 or " in output()[1]


def test_one_that_was_killed_is_not_counted(output: Output) -> None:
    import socket

    dead = runtime_directory() / "sim-1.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(dead))
    assert run(["simulate", "status"]) == 4
    assert not dead.exists()
    assert "none is running" in output()[1]
