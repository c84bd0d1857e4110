import shutil
import subprocess

import pytest

from sdmtop.cli import COMMANDS, parser
from sdmtop.commands import COMMANDS as KEYS
from sdmtop.grammar import commands
from sdmtop.manual import page


def test_it_has_every_command_every_option_and_every_key() -> None:
    text = page(commands(parser())).replace(r"\-", "-")
    for name in COMMANDS:
        assert f".SS {name}\n" in text
    assert "--max-age" in text
    for command in KEYS:
        assert command.help in text


def test_what_can_be_repeated_has_dots_and_actions_stand_for_their_command() -> None:
    text = page(commands(parser())).replace(r"\-", "-")
    synopsis = text.partition(".SH SYNOPSIS\n")[2].partition(".SH")[0]
    assert r"\fIUUID\fR ..." in synopsis
    assert r"\fBsdmtop simulate inject\fR" in synopsis
    assert r"\fBsdmtop simulate\fR" not in synopsis
    assert ".SS simulate inject\n" in text
    assert "--errno" in text


def test_keys_that_mean_several_things_stand_below_where_they_do() -> None:
    text = page(commands(parser())).partition(".SH KEYS\n")[2].partition(".SH")[0]
    for part in text.split(".SS ")[1:]:
        keys = [line for line in part.splitlines() if line.startswith(r"\fB")]
        assert len(keys) == len(set(keys))
    assert "Where columns are chosen" in text


def test_every_option_says_what_it_is_for() -> None:
    for command in commands(parser()):
        for argument in command.arguments:
            assert argument.help, (command.name, argument)


def test_no_line_is_taken_for_a_request_that_is_none() -> None:
    known = (".TH", ".SH", ".SS", ".TP", ".br")
    for line in page(commands(parser())).splitlines():
        assert not line.startswith((".", "'")) or line.startswith(known)


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_has_nothing_to_complain_about() -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z"],
        input=page(commands(parser())),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
