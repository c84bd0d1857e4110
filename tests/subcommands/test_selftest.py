import json
from xml.etree import ElementTree as Xml

import pytest

from sdmtop.cli import run

BUSY = "capture:tests/trees/guest-6.12-intel-busy.tar.xz"
EMPTY = "capture:tests/trees/no-iommu.tar.xz"


def test_where_there_is_nothing_to_test_it_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["selftest", "--host", EMPTY]) == 4
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.startswith("sdmtop: ")
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("target", ["0000:99:00.0", "group/99", "no such thing"])
def test_a_target_that_is_not_there(target: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["selftest", target, "--host", BUSY]) == 4
    assert capfd.readouterr().err == f"sdmtop: {target}: no such device, group or queue\n"


@pytest.mark.parametrize(
    "line",
    [
        ["selftest", "--test", "nothing"],
        ["selftest", "--bench", "--format", "junit"],
        ["selftest", "--list", "--format", "junit"],
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
