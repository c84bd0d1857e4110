"""The commands that change a host: what they print, ask and answer with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sdmtop.cli import run
from sdmtop.errors import FAILED, RefusedError
from sdmtop.operations.stopping import Stopped

if TYPE_CHECKING:
    from sdmtop.operations.plan import Plan

BUSY = "capture:tests/trees/guest-6.12-intel-busy.tar.xz"
NIC = "0000:04:00.0"


def test_a_dry_run_shows_the_whole_plan(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["attach", "--host", BUSY, "--dry-run", "0000:06:03.0"]) == 0
    shown = capfd.readouterr().out
    for part in (
        "1. unbind 0000:06:03.0 from e1000\n"
        "     do     write '0000:06:03.0' to /sys/bus/pci/drivers/e1000/unbind\n",
        "     undo   write '0000:06:03.0' to /sys/bus/pci/drivers/e1000/bind\n",
        "0000:06:02.0: kept as it is: vfio-pci does not stand in the way",
        "driverctl --nosave set-override 0000:06:03.0 vfio-pci",
        "What it would cost",
    ):
        assert part in shown


def test_a_plan_for_an_interface_names_its_device(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["attach", "--host", BUSY, "--dry-run", "eth0"]) == 0
    assert capfd.readouterr().out.startswith("sdmtop attach 0000:06:03.0\n")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["attach", NIC, "--dry-run"], 0),
        (["attach", "0000:00:01.0", "--dry-run"], 3),  # A bridge.
        (["attach", NIC, "--yes"], 3),  # A capture.
        (["attach", "0000:ff:00.0", "--dry-run"], 4),
        (["attach", "0000:03:00.0", "--dry-run"], 4),  # It is.
        (["attach", "lo", "--dry-run"], 4),
        (["attach"], 2),
        (["attach", NIC, "--driver", "../../../../../tmp/x", "--dry-run"], 2),
        (["attach", NIC, "--driver", "..", "--dry-run"], 2),
        (["attach", NIC, "--driver", "", "--dry-run"], 2),
        (["attach", NIC, "--driver=-r", "--dry-run"], 2),
        (["attach", NIC, "--driver", "x\ny", "--dry-run"], 2),
        (["attach", NIC, "--driver", "pci-stub", "--dry-run"], 0),
        (["detach", "0000:03:00.0", "--dry-run"], 0),
        (["create", "sdmdev_virtual.0/sdmdev_virtual-fact", "--dry-run"], 0),
        (["create", "sdmdev_virtual.0/sdmdev_virtual-fact", "--uuid", "x"], 2),
        (["remove", "5d3de000-0000-4000-8000-000000000003", "--dry-run"], 0),
        (["remove", "5d3de000", "--dry-run"], 2),  # There are several.
        (["domain-type", "group/14", "identity", "--dry-run"], 3),
        (["domain-type", "group/15", "identity", "--dry-run"], 0),
        (["domain-type", "group/15", "dma"], 2),
        (["affinity", "irq/38", "0", "--dry-run"], 0),
        (["reset", "0000:02:00.0", "--dry-run"], 0),
        (["sriov", "0000:02:00.0", "0", "--dry-run"], 0),
        (["affinity", "eth2", "0", "--dry-run"], 0),
        (["sriov", "0000:02:00.0", "many"], 2),
        (["undo", "--dry-run"], 4),
        (["journal"], 0),
        (["journal", "7"], 4),
    ],
)
def test_exit_statuses(
    arguments: list[str], status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["--host", BUSY, *arguments]) == status
    complaint = capfd.readouterr().err
    if status in (2, 4):
        assert complaint.startswith("sdmtop: ")
    assert complaint.count("\n") <= 1


def test_an_argument_that_makes_no_sense_is_a_complaint_of_the_command(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["--host", BUSY, "affinity", NIC, "zero"]) == 2
    assert capfd.readouterr().err == "sdmtop: affinity: zero is no list of CPUs such as 0-3,8\n"


def test_read_only_is_stronger_than_yes(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdmtop.backends.frozen.Frozen.refusal", lambda host: host.disarmed)
    assert run(["--host", BUSY, "--read-only", "create", "--yes", *TYPE]) == 3
    assert "to change nothing" in capfd.readouterr().err


TYPE = ("sdmdev_virtual.0/sdmdev_virtual-fact",)


@pytest.fixture
def changeable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture that lets itself be asked; its writes still fail."""
    monkeypatch.setattr("sdmtop.backends.frozen.Frozen.refusal", lambda _: None)


@pytest.mark.usefixtures("changeable")
def test_without_a_terminal_and_a_yes_nothing_is_done(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--host", BUSY, "create", *TYPE]) == 3
    assert "not confirmed" in capfd.readouterr().err


@pytest.mark.usefixtures("changeable")
def test_a_yes_is_not_enough_for_what_is_in_use(capfd: pytest.CaptureFixture[str]) -> None:
    edu = "0000:01:00.0"  # It has queues.
    assert run(["--host", BUSY, "attach", edu, "--yes"]) == 3
    assert f"--confirm '{edu}'" in capfd.readouterr().err
    assert run(["--host", BUSY, "attach", edu, "--confirm", "something"]) == 3
    assert "has to be typed in full" in capfd.readouterr().err


@pytest.mark.usefixtures("changeable")
@pytest.mark.parametrize("typed", ["something", "", f"{TYPE[0]} {TYPE[0]}"])
def test_what_is_not_in_use_is_not_confirmed_by_other_targets(
    typed: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["--host", BUSY, "create", *TYPE, "--yes", "--confirm", typed]) == 3
    said = f"not confirmed: '{TYPE[0]}' has to be typed in full, not '{typed}'"
    out, err = capfd.readouterr()
    assert err == f"sdmtop: create: {said}\n"
    assert "1/1 make" not in out
    assert run(["--host", BUSY, "create", *TYPE, "--confirm", TYPE[0]]) == 1  # It is a capture.
    assert "1/1 make" in capfd.readouterr().out


@pytest.mark.usefixtures("changeable")
def test_what_fails_is_told_step_by_step(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--host", BUSY, "create", "--yes", *TYPE]) == 1
    shown = capfd.readouterr().out
    assert "1/1 make " in shown
    assert "failed; all of it was undone: plan 1" in shown
    assert "a capture is only read (EROFS)" in shown


def test_a_plan_is_json_too_with_what_has_to_be_confirmed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    edu = "0000:01:00.0"  # It has queues.
    assert run(["--host", BUSY, "attach", edu, "--dry-run", "--format", "json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["schema"], told["confirm"], told["result"]) == ("sdmtop.operation/1", edu, None)
    assert f"unbind {edu} from sdmdev_edu" in [step["title"] for step in told["plan"]["steps"]]


@pytest.mark.usefixtures("changeable")
def test_what_came_of_a_plan_is_json_too(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--host", BUSY, "create", "--yes", "--format", "json", *TYPE]) == 1
    told = json.loads(capfd.readouterr().out)
    assert told["confirm"] is None
    assert (told["result"]["number"], told["result"]["ending"]) == (1, "rolled back")
    assert "a capture is only read (EROFS)" in told["result"]["trouble"]


@pytest.mark.usefixtures("changeable")
def test_in_json_nobody_is_asked(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert run(["--host", BUSY, "create", "--format", "json", *TYPE]) == 3
    out, err = capfd.readouterr()
    assert json.loads(out)["result"] is None
    assert "not confirmed" in err


def test_the_journal_is_json_too(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: str
) -> None:
    monkeypatch.setattr("sdmtop.places._OF_ROOT", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert run(["journal", "--format", "json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"damaged_lines": 0, "plans": []}


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_held_and_cannot_be_detached_is_told(
    form: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    queue = "hisi_hpre-0"

    def wait(_stopped: Stopped, _seconds: float | None = None) -> bool:
        return True

    def refuse(*_arguments: object) -> Plan:
        raise RefusedError("the kernel does not answer")

    monkeypatch.setattr(Stopped, "wait", wait)
    line = ["attach", queue, "--host", "sim:default?at=0", "--yes", "--format", form]
    assert run(line) == 0
    monkeypatch.setattr("sdmtop.operations.release.plan_release", refuse)
    capfd.readouterr()
    assert run(line) == FAILED
    out, err = capfd.readouterr()
    told = f"{queue}: not detached: the kernel does not answer"
    assert told in (out if form == "text" else err)
