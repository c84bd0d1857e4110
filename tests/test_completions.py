"""Completions, asked of the shells themselves where they are installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sdmtop.cli import COMMANDS, parser
from sdmtop.completions import SHELLS
from sdmtop.grammar import commands

ASKED = [
    ("sdmtop sn", ["snapshot"]),
    ("sdmtop snapshot --format ", ["json", "tree"]),
    ("sdmtop snapshot --format j", ["json"]),
    ("sdmtop --host s", ["sim:"]),
    ("sdmtop completion f", ["fish"]),
    ("sdmtop record --max-a", ["--max-age"]),
    ("sdmtop replay box", ["box.recording"]),
    ("sdmtop record --interval ", []),
    ("sdmtop simulate in", ["inject"]),
    ("sdmtop simulate inject st", ["stall"]),
    ("sdmtop simulate inject --am", ["--amount"]),
    ("sdmtop simulate export --host s", ["sim:"]),
    ("sdmtop config de", ["defaults"]),
    ("sdmtop config check box", ["box.recording"]),
    ("sdmtop diff box box", ["box.recording"]),
]
"""What was typed, and what it can become in a directory with one recording."""


@pytest.fixture
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The completions of a shell, beside a recording."""
    shell: str = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "box.recording").touch()
    file = tmp_path / f"completion.{shell}"
    file.write_text(SHELLS[shell](commands(parser())))
    return file


def answer(script: Path, *command: str) -> list[str]:
    """What a shell prints in the directory of the script, sorted."""
    done = subprocess.run(
        command, cwd=script.parent, capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stderr == ""
    return sorted(line for line in done.stdout.splitlines() if line)


@pytest.mark.parametrize("script", ["bash"], indirect=True)
@pytest.mark.parametrize(("typed", "completed"), ASKED)
def test_bash_completes(script: Path, typed: str, completed: list[str]) -> None:
    *before, last = typed.split(" ")
    words = " ".join(f"'{word}'" for word in (*before, last))
    code = (
        f"source {script}; COMP_WORDS=({words}); COMP_CWORD={len(before)}; _sdmtop; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    assert answer(script, "bash", "--norc", "-c", code) == completed


@pytest.mark.parametrize("script", ["bash"], indirect=True)
def test_bash_completes_behind_its_own_word_breaks(script: Path) -> None:
    for words in (
        "sdmtop snapshot --format = t",
        "sdmtop --host capture : box",
        "sdmtop --host capture : box snapshot --format t",
        "sdmtop --host = replay : record snapshot --format t",
    ):
        count = len(words.split()) - 1
        code = (
            f"source {script}; COMP_WORDS=({words}); COMP_CWORD={count}; _sdmtop; "
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        assert answer(script, "bash", "--norc", "-c", code) in (["tree"], ["box.recording"])


@pytest.mark.parametrize("script", ["fish"], indirect=True)
@pytest.mark.parametrize(("typed", "completed"), ASKED)
def test_fish_completes(script: Path, typed: str, completed: list[str]) -> None:
    code = f"source {script}; complete -C '{typed}'"
    found = answer(script, "fish", "--no-config", "-c", code)
    assert [line.partition("\t")[0] for line in found] == completed


@pytest.mark.tty
@pytest.mark.parametrize("script", ["zsh"], indirect=True)
@pytest.mark.parametrize(("typed", "completed"), ASKED)
def test_zsh_completes(script: Path, typed: str, completed: list[str]) -> None:
    # The completion system only works at a prompt: there is one in a terminal of its own. All keys
    # are typed ahead; \a drops the line, and unlike ctrl+u means nothing to the terminal itself.
    code = f"""
        zmodload zsh/zpty
        zpty z zsh -f -i
        zpty -w z 'PS1=; autoload -Uz compinit; compinit -u -d {script.parent}/dump'
        zpty -w z 'source {script}'
        zpty -w z 'compadd () {{ local -a found; builtin compadd -O found "$@"; (( $#found )) && print -rl -- "<"$^found">"; builtin compadd "$@" }}'
        zpty -w z 'print begin'
        zpty -n -w z $'{typed}\\t\\aprint end; exit\\n'
        while zpty -r z line; do print -rn -- $line; done
    """  # noqa: E501
    text = "".join(answer_text(script, "zsh", "-f", "-c", code).partition("\nbegin")[2:])
    found = {part.partition(">")[0] for part in text.split("<")[1:]}
    assert sorted(found) == completed


def answer_text(script: Path, *command: str) -> str:
    """What a shell prints, as it is."""
    done = subprocess.run(
        command, cwd=script.parent, capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout


@pytest.mark.parametrize("script", list(SHELLS), indirect=True)
def test_every_command_is_in_every_script(script: Path) -> None:
    text = script.read_text()
    for name in COMMANDS:
        assert name in text
