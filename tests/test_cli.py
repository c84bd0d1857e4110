import argparse

import pytest

from sdmtop.cli import COMMANDS, parser, run


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert capfd.readouterr().out.startswith(f"usage: sdmtop {name} ")


def test_a_command_that_is_not_asked_for_costs_no_import() -> None:
    assert "--replace" not in format_command("capture", parser(complete=["snapshot"]))
    assert "--replace" in format_command("capture", parser())


@pytest.mark.parametrize("line", [["--host", "x", "snapshot"], ["snapshot", "--host", "x"]])
def test_the_host_may_stand_before_or_after_the_command(line: list[str]) -> None:
    assert parser().parse_args(line).host == "x"


def format_command(name: str, grammar: argparse.ArgumentParser) -> str:
    """The help of one sub-command."""
    commands = next(
        action for action in grammar._actions if isinstance(action, argparse._SubParsersAction)
    )
    text: str = commands.choices[name].format_help()
    return text
