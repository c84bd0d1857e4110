import json
import os
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from sdmtop.cli import run
from sdmtop.selftests.lease import Lender

BUSY = "capture:tests/trees/guest-6.12-intel-busy.tar.xz"
EDU = "0000:01:00.0"
EMPTY = "capture:tests/trees/no-iommu.tar.xz"


def test_where_there_is_nothing_to_test_it_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["selftest", "--host", EMPTY]) == 4
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.startswith("sdmtop: ")
    assert told.err.count("\n") == 1


def test_where_there_is_nothing_to_measure_it_tells_of_benchmarks(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["selftest", "--bench", "--host", EMPTY]) == 4
    assert "no benchmark applies; 'sdmtop selftest --bench --list'" in capfd.readouterr().err


@pytest.mark.parametrize("target", ["0000:99:00.0", "group/99", "no such thing"])
def test_a_target_that_is_not_there(target: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["selftest", target, "--host", BUSY]) == 4
    assert (
        capfd.readouterr().err == f"sdmtop: {target}: no such device, group, queue or interface\n"
    )


def test_an_sdmdev_is_tested_by_its_parent_and_that_is_said(
    capfd: pytest.CaptureFixture[str],
) -> None:
    uuid = "7a6c6962-0000-4000-8000-00000000dead"
    line = ["selftest", uuid, "--host", "sim:default", "--test", "sdmdev.job", "--yes"]
    assert run(line) == 0
    seen = capfd.readouterr()
    assert seen.err.startswith(f"{uuid} is left alone: its parent 0000:75:00.0 is tested")
    assert seen.out.splitlines()[0].startswith("pass  sdmdev.job                 0000:75:00.0 ")


def test_another_mediated_device_is_refused_with_what_to_test_instead(
    capfd: pytest.CaptureFixture[str],
) -> None:
    uuid = "b3f51c52-f4c2-11e6-90f6-000000000001"
    assert run(["selftest", uuid, "--host", "sim:vgpu"]) == 4
    words = "no test applies to a mediated device itself: test its parent, 0000:00:02.0"
    assert capfd.readouterr().err == f"sdmtop: {uuid}: {words}\n"


@pytest.mark.parametrize(
    "line",
    [
        ["selftest", "--test", "nothing"],
        ["selftest", "--bench", "--format", "junit"],
        ["selftest", "--list", "--format", "junit"],
        ["selftest", "--history", "--format", "junit"],
        ["selftest", "--history", "--bench"],
        ["selftest", "--history", "--test", "nothing"],
    ],
)
def test_what_makes_no_sense_anywhere(line: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(line) == 2
    assert capfd.readouterr().err.count("\n") == 1


def test_the_box_itself_is_a_target(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["selftest", "host", "--host", BUSY, "--test", "host.orphans"]) == 1
    out = capfd.readouterr().out.splitlines()
    assert out[0].startswith("FAIL  host.orphans")
    assert out[-1] == "0 passed, 1 failed, 0 skipped"


def test_a_pass_is_done(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["selftest", "host", "--host", BUSY, "--test", "host.iommu"]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "1 passed, 0 failed, 0 skipped"


def test_where_every_test_was_skipped_nothing_was_tested(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["selftest", "host", "--host", BUSY, "--test", "host.memlock"]) == 4
    assert "every test was skipped" in capfd.readouterr().err


def test_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["selftest", "host", "--host", BUSY, "--format", "json"]) == 1
    told = capfd.readouterr()
    assert told.err == ""
    verdicts = {one["test"]: one["result"] for one in json.loads(told.out)["results"]}
    assert verdicts["host.orphans"] == "fail"
    assert verdicts["host.iommu"] == "pass"


def test_junit(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["selftest", "host", "--host", BUSY, "--format", "junit"]) == 1
    top = Xml.fromstring(capfd.readouterr().out)
    assert [suite.get("name") for suite in top] == ["host"]


def test_the_list_needs_no_host(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["selftest", "--list", "--host", "capture:nowhere"]) == 0
    assert "host.orphans" in capfd.readouterr().out


def test_the_list_as_json(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["selftest", "--list", "--format", "json", "--test", "host.orphans"]) == 0
    (test,) = json.loads(capfd.readouterr().out)["tests"]
    assert test["name"] == "host.orphans"


# -- what came of earlier runs --


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine with nothing in it, looked at by a user whose state is his own."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("sys", "proc", "dev"):
        (tmp_path / "root" / name).mkdir(parents=True)
    return f"linux:{tmp_path / 'root'}"


def test_results_are_kept_and_told_later(empty: str, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert run(["selftest", "host", "--host", empty, "--test", "host.iommu"]) == 1
    assert run(["selftest", "host", "--host", empty, "--test", "host.orphans"]) == 0
    capfd.readouterr()
    assert run(["selftest", "--history", "--host", empty]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[2:4] for line in lines] == [
        ["FAIL", "host.iommu"], ["FAIL", "host.iommu"], ["pass", "host.orphans"],
    ]  # fmt: skip


def test_the_history_of_a_test_as_json(empty: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["selftest", "host", "--host", empty, "--format", "json"]) == 1
    results = json.loads(capfd.readouterr().out)["results"]
    line = ["selftest", "host", "--host", empty, "--history", "--format", "json"]
    assert run(line) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["damaged_lines"] == 0
    told = [(one["test"], one["target"], one["result"]) for one in found["history"]]
    assert told == [(one["test"], one["target"], one["result"]) for one in results]
    assert run([*line, "--test", "host.iommu"]) == 0
    (one,) = json.loads(capfd.readouterr().out)["history"]
    assert one["test"] == "host.iommu"


def test_where_there_is_no_history_it_says_so(
    empty: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["selftest", "--history", "0000:01:00.0", "--host", empty]) == 4
    assert capfd.readouterr().err == ("sdmtop: 0000:01:00.0: the journal has no results of tests\n")
    assert run(["selftest", "--history", "--host", "sim:edu"]) == 4
    assert "ends with its process" in capfd.readouterr().err


def test_what_a_run_has_left_behind_fails_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Lender, "give_back", lambda _lender, _loan: None)
    line = ["selftest", EDU, "--host", "sim:edu", "--test", "edu.identity", "--yes"]
    assert run([*line, "--format", "junit"]) == 1
    failures = Xml.fromstring(capfd.readouterr().out).findall(".//failure")
    (words,) = [failure.get("message", "") for failure in failures]
    assert words.startswith(f"left behind: driver of {EDU}: sdmdev_edu -> vfio-pci; ")
    assert run([*line, "--format", "json"]) == 1
    *_, last = json.loads(capfd.readouterr().out)["results"]
    assert (last["test"], last["result"]) == ("selftest.restored", "fail")
