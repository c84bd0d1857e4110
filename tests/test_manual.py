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
