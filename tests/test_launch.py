import subprocess
import sys
from pathlib import Path

import pytest

from sdmtop import __version__
from sdmtop.launch import console_options


def run(*arguments: str, code: str = "") -> "subprocess.CompletedProcess[str]":
    """`python -m sdmtop` with these arguments, not on a terminal."""
    program = [sys.executable, "-c", code] if code else [sys.executable, "-m", "sdmtop"]
    return subprocess.run(
        [*program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], ("auto", {})),
        (["--host", "linux:/x"], ("linux:/x", {})),
        (["--host=capture:x.tar", "--interval=2"], ("capture:x.tar", {"interval": 2.0})),
        (["--read-only", "--interval", "0.5"], ("auto", {"read_only": True, "interval": 0.5})),
        (["--ascii", "--no-mouse"], ("auto", {"glyphs": "ascii", "mouse": False})),
    ],
)
def test_a_plain_call_of_the_console_is_recognised(
    arguments: list[str], options: tuple[str, dict[str, object]]
) -> None:
    assert console_options(arguments) == options


@pytest.mark.parametrize(
    "arguments",
    [
        ["snapshot"],
        ["--host"],
        ["--interval", "soon"],
        ["--interval", "0"],
        ["--help"],
        ["-h"],
        ["--ascii=1"],
    ],
)
def test_anything_else_is_left_to_the_command_line(arguments: list[str]) -> None:
    assert console_options(arguments) is None


def test_version_is_printed() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"sdmtop {__version__}\n")


def test_help_names_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "snapshot" in done.stdout
    assert "capture" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--no-such-option"],
        ["--interval", "0"],
        ["--interval", "soon"],
        ["--interval", "nan"],
        ["snapshot", "--format", "xml"],
        ["no-such-command"],
        ["snapshot", "\x1b[31mred\x1b]0;title\x07"],
    ],
)
def test_a_usage_error_is_one_printable_line_and_exits_with_2(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sdmtop: ")
    assert done.stderr.count("\n") == 1
    assert done.stderr[:-1].isprintable()


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["snapshot"]])
def test_output_that_cannot_be_written_is_one_line_and_exits_with_1(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sdmtop", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "sdmtop: standard output: No space left on device (ENOSPC)\n"


@pytest.mark.parametrize("arguments", [["--version"], ["snapshot"]])
def test_a_closed_output_is_one_line_and_exits_with_1(arguments: list[str]) -> None:
    command = ["sh", "-c", '"$0" -m sdmtop "$@" >&-', sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == "sdmtop: standard output: it is closed (EBADF)\n"


def test_a_damaged_capture_is_no_error_of_usage(tmp_path: Path) -> None:
    (tmp_path / "broken.tar").write_bytes(b"no archive")
    done = run("snapshot", "--host", f"capture:{tmp_path}/broken.tar")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "status"),
    [("linux:/no/such/root", 1), ("capture:/no/such/file", 1), ("nonsense", 2), ("sim:nothing", 2)],
)
def test_a_host_that_cannot_be_opened_is_one_line_on_stderr(url: str, status: int) -> None:
    done = run("snapshot", "--host", url)
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith(f"sdmtop: {url.removesuffix(':')}: ")
    assert done.stderr.count("\n") == 1


def test_without_a_terminal_the_console_prints_the_tree_and_ends() -> None:
    done = run()
    assert done.returncode == 0
    assert "GROUP / DEVICE / QUEUE" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["snapshot"], []])
def test_headless_calls_never_import_textual(arguments: list[str]) -> None:
    code = (
        "import sys; from sdmtop.launch import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(' '.join(m for m in sys.modules if m.split('.')[0] == 'textual'))"
    )
    assert run(*arguments, code=code).stderr == ""


def test_the_first_paint_imports_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules)\n"
        "import sdmtop.launch, sdmtop.terminal, sdmtop.glance, sdmtop.backends.linux\n"
        "heavy = {'msgspec', 'typing', 're', 'enum', 'argparse', 'rich', 'textual', 'pyudev',"
        " 'psutil', 'signal', 'collections', 'contextlib', 'dataclasses', 'unicodedata',"
        " '__future__', 'tomllib'}\n"
        "print(sorted((set(sys.modules) - before) & heavy))"
    )
    assert run(code=code).stdout == "[]\n"
