import argparse
import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from sdmtop.cli import COMMANDS, parser, run
from sdmtop.errors import FAILED, NOTHING_TO_DO, REFUSED, USAGE, NothingToDoError

BOX = "tests/trees/guest-6.12-virtio.tar.xz"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert capfd.readouterr().out.startswith(f"usage: sdmtop {name} ")


def test_a_command_that_is_not_asked_for_costs_no_import() -> None:
    assert "--replace" not in format_command("capture", parser(complete=["snapshot"]))
    assert "--replace" in format_command("capture", parser())


@pytest.mark.parametrize(
    ("path", "said"),
    [("/sys/x/config", f"capture:{BOX}: /sys/x/config: "), (BOX, f"capture:{BOX}: ")],
)
def test_what_could_not_be_read_is_named_beside_the_host(
    path: str, said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(_host: object) -> None:
        raise OSError(errno.ENODATA, os.strerror(errno.ENODATA), path)

    monkeypatch.setattr("sdmtop.readers.snapshot.read_snapshot", fails)
    assert run(["--host", f"capture:{BOX}", "reset", "0000:00:02.0", "--dry-run"]) == FAILED
    assert capfd.readouterr().err == f"sdmtop: {said}No data available (ENODATA)\n"


@pytest.mark.parametrize("line", [["--host", "x", "snapshot"], ["snapshot", "--host", "x"]])
def test_the_host_may_stand_before_or_after_the_command(line: list[str]) -> None:
    assert parser().parse_args(line).host == "x"


@pytest.mark.parametrize(
    ("line", "opened"), [(["tour"], "sim:default"), (["replay", "box.rec"], "replay:box.rec")]
)
def test_the_tour_and_a_recording_have_the_options_of_the_console(
    line: list[str], opened: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def opens(url: str, given: Mapping[str, object], **_more: object) -> int:
        seen.append((url, given))
        return 0

    monkeypatch.setattr("sdmtop.console.on_a_terminal", lambda: True)
    monkeypatch.setattr("sdmtop.console.console", opens)
    assert run(["--ascii", "--read-only", *line]) == 0
    assert seen == [(opened, {"glyphs": "ascii", "read_only": True})]


def test_what_a_conversation_cannot_do_is_a_complaint_about_its_host(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuses(_url: str, _given: Mapping[str, object]) -> int:
        raise NothingToDoError("it is gone")

    monkeypatch.setattr("sdmtop.cli.conversation", refuses)
    assert run(["--plain", "--host", "sim:default"]) == NOTHING_TO_DO
    assert capfd.readouterr().err == "sdmtop: sim:default: it is gone\n"


def test_a_recording_can_be_talked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def talks(url: str, _given: Mapping[str, object]) -> int:
        seen.append(url)
        return 0

    monkeypatch.setattr("sdmtop.console.on_a_terminal", lambda: True)
    monkeypatch.setattr("sdmtop.console.conversation", talks)
    assert run(["--plain", "replay", "box.rec", "--at", "+1"]) == 0
    assert seen == ["replay:box.rec?at=+1"]


def test_the_tour_needs_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--plain", "tour"]) == USAGE
    assert "it goes over the screen" in capfd.readouterr().err


@pytest.mark.parametrize("line", [["--read-only", "reset", "x"], ["reset", "x", "--read-only"]])
def test_that_nothing_may_be_changed_may_be_said_before_or_after_the_command(
    line: list[str],
) -> None:
    assert parser().parse_args(line).read_only
    assert not parser().parse_args(["reset", "x"]).read_only


def format_command(name: str, grammar: argparse.ArgumentParser) -> str:
    """The help of one sub-command."""
    commands = next(
        action for action in grammar._actions if isinstance(action, argparse._SubParsersAction)
    )
    text: str = commands.choices[name].format_help()
    return text


def test_a_recording_can_be_made_replayed_and_compared(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "box.recording")
    assert run(["record", file, "--for", "0.5", "--host", f"capture:{BOX}"]) == 0
    assert capfd.readouterr().out.endswith(f"moments recorded in {file}\n")
    assert run(["replay", file]) == 0
    assert "GROUP / DEVICE" in capfd.readouterr().out
    assert run(["snapshot", "--host", f"replay:{file}?at=+0", "--format", "json"]) == 0
    assert '"sdmtop.snapshot/1"' in capfd.readouterr().out
    assert run(["diff", file, BOX]) == NOTHING_TO_DO


def test_a_difference_is_printed_and_none_is_nothing_to_do(
    capfd: pytest.CaptureFixture[str],
) -> None:
    other = "tests/trees/guest-6.1-intel.tar.xz"
    assert run(["diff", BOX, other]) == 0
    assert "\n+ unit dmar0" in capfd.readouterr().out
    assert run(["diff", BOX, other, "--format", "json"]) == 0
    assert '"schema": "sdmtop.diff/1"' in capfd.readouterr().out
    assert run(["diff", BOX, BOX]) == NOTHING_TO_DO


@pytest.mark.parametrize(
    ("line", "status", "complaint"),
    [
        (
            ["replay", "nothing"],
            FAILED,
            "sdmtop: replay:nothing: No such file or directory (ENOENT)",
        ),
        (["replay", "README.md"], FAILED, "sdmtop: replay:README.md: no recording: it was not"),
        (["record", "README.md"], FAILED, "sdmtop: README.md: no recording: it was not made by"),
        (["record", "/no/x"], FAILED, "sdmtop: /no/x: No such file or directory (ENOENT)"),
        (["record", "x", "--for", "soon"], USAGE, "sdmtop: command line: argument --for: soon"),
        (["diff", BOX, "nothing"], USAGE, "sdmtop: nothing: no such kind of host"),
        (["doctor", "--host", "replay:x"], USAGE, "sdmtop: replay:x: a recording is for the cons"),
        (["diff", BOX], USAGE, "sdmtop: command line: the following arguments are required: B"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    line: list[str], status: int, complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(line) == status
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(complaint)


@pytest.fixture(params=["option", "configuration"])
def disarming(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """That nothing may be changed, by an option or in the configuration; the arguments."""
    if request.param == "option":
        return ["--read-only"]
    file = tmp_path / "sdmtop/config.toml"
    file.parent.mkdir()
    file.write_text("read_only = true\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return []


def test_a_snapshot_says_that_nothing_may_be_changed(
    disarming: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([*disarming, "--host", "sim:edu", "snapshot", "--format", "json"]) == 0
    assert json.loads(capfd.readouterr().out)["host"]["read_only"] is True
    assert run([*disarming, "--host", "sim:edu"]) == 0
    assert "[READ-ONLY]" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("command", "status"),
    [(["selftest", "--test", "edu.identity"], NOTHING_TO_DO), (["attach"], REFUSED)],
)
def test_what_may_not_be_changed_is_neither_attached_nor_tested(
    disarming: list[str], command: list[str], status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    line = [*command, "0000:01:00.0", "--yes", "--host", "sim:edu"]
    assert run([*disarming, *line]) == status
    assert "to change nothing" in capfd.readouterr().err


@pytest.mark.parametrize("command", [["snapshot"], ["attach", "0000:01:00.0"], ["selftest"]])
def test_a_configuration_that_is_wrong_is_told_with_its_file(
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "sdmtop").mkdir()
    file = tmp_path / "sdmtop/config.toml"
    file.write_text("read_onl = true\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert run([*command, "--host", "sim:edu"]) == USAGE
    assert f"{file}: line 1: there is no setting read_onl" in capfd.readouterr().err
