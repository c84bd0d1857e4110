"""Bindings of Textual, made from the registry."""

import pytest
from textual.binding import Binding

from sdmtop.commands import COMMANDS, Command, Scope
from sdmtop.tui.app import Console
from sdmtop.tui.bindings import bindings
from sdmtop.tui.choices import Choices
from sdmtop.tui.field import QueryField
from sdmtop.tui.lines import LinesPane
from sdmtop.tui.tree import TreePane

_WIDGETS: dict[Scope, type] = {
    "console": Console,
    "field": QueryField,
    "pane": LinesPane,
    "tree": TreePane,
    "columns": Choices,
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.id)
def test_every_command_has_its_action(command: Command) -> None:
    assert hasattr(_WIDGETS[command.scope], f"action_{command.action.partition('(')[0]}")


def test_every_command_is_bound_under_its_id() -> None:
    bound = [binding for scope in _WIDGETS for binding in bindings(scope)]
    ids = [binding.id for binding in bound if isinstance(binding, Binding)]
    assert sorted(map(str, ids)) == sorted(command.id for command in COMMANDS)
