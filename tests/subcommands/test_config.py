"""`sdmtop config` and `sdmtop locate`, as a shell sees them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def sdmtop(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "XDG_CONFIG_HOME": str(home)}
    environment.pop("SSH_TTY", None)
    return subprocess.run(
        [sys.executable, "-m", "sdmtop", *arguments],
        capture_output=True, text=True, errors="surrogateescape", timeout=60, check=False,
        env=environment,
    )  # fmt: skip


def put(home: Path, text: str) -> Path:
    file = home / "sdmtop" / "config.toml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def test_without_a_file_the_defaults_are_shown(tmp_path: Path) -> None:
    done = sdmtop(tmp_path, "config")
    assert (done.returncode, done.stderr) == (0, "")
    assert "interval = 1\n" in done.stdout


def test_what_the_file_sets_is_shown(tmp_path: Path) -> None:
    put(tmp_path, 'theme = "light"\n')
    assert 'theme = "light"\n' in sdmtop(tmp_path, "config").stdout


@pytest.mark.parametrize("what", ["check", "show"])
def test_a_file_that_is_wrong_is_one_line_and_exits_with_2(tmp_path: Path, what: str) -> None:
    file = put(tmp_path, "\nintervall = 1\n")
    done = sdmtop(tmp_path, "config", what)
    assert done.returncode == 2
    sentence = "line 2: there is no setting intervall; do you mean interval?"
    assert done.stderr == f"sdmtop: {file}: {sentence}\n"


def test_another_file_can_be_checked(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text("mouse = false\n")
    done = sdmtop(tmp_path, "config", "check", str(file))
    assert (done.returncode, done.stdout) == (0, f"{file}: it is right\n")


def test_a_file_to_begin_with_is_written_once(tmp_path: Path) -> None:
    file = tmp_path / "sdmtop" / "config.toml"
    done = sdmtop(tmp_path, "config", "init")
    assert (done.returncode, done.stdout) == (0, f"{file}\n")
    assert sdmtop(tmp_path, "config", "check").returncode == 0
    file.write_text("mouse = false\n")
    done = sdmtop(tmp_path, "config", "init")
    assert done.returncode == 1
    assert "File exists (EEXIST)" in done.stderr
    assert file.read_text() == "mouse = false\n"


def test_a_file_that_could_not_be_written_whole_is_not_left_behind(tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
    code = f"{limit}; from sdmtop.cli import run; raise SystemExit(run(['config', 'init', 'c']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "sdmtop: c: File too large (EFBIG)\n")
    assert list(tmp_path.iterdir()) == []


def test_a_file_whose_name_is_not_utf_8_is_written_and_checked(tmp_path: Path) -> None:
    file = os.fsdecode(os.fsencode(tmp_path) + b"/c\xff.toml")
    done = sdmtop(tmp_path, "config", "init", file)
    assert (done.returncode, done.stdout) == (0, f"{file}\n")
    done = sdmtop(tmp_path, "config", "check", file)
    assert done.stdout.endswith("c\\udcff.toml: it is right\n")


def test_a_file_without_an_end_is_no_configuration(tmp_path: Path) -> None:
    done = sdmtop(tmp_path, "config", "check", "/dev/zero")
    assert (done.returncode, done.stdout) == (2, "")
    assert "/dev/zero: it has more than 1024 KiB" in done.stderr


def test_locate_tells_every_place_and_one_for_scripts(tmp_path: Path) -> None:
    file = str(tmp_path / "sdmtop" / "config.toml")
    assert f"config   {file} (not there)" in sdmtop(tmp_path, "locate").stdout
    assert sdmtop(tmp_path, "locate", "config").stdout == f"{file}\n"
