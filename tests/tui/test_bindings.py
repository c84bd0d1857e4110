"""Bindings of Textual, made from the registry."""

import pytest
from textual.binding import Binding

from sdmtop.commands import COMMANDS, Command
from sdmtop.tui.app import Console
from sdmtop.tui.bindings import bindings
from sdmtop.tui.lines import LinesPane
from sdmtop.tui.tree import TreePane

_WIDGETS = {"console": Console, "field": Console, "pane": LinesPane, "tree": TreePane}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.id)
def test_every_command_has_its_action(command: Command) -> None:
    assert hasattr(_WIDGETS[command.scope], f"action_{command.action.partition('(')[0]}")


def test_every_command_but_the_fields_own_is_bound_under_its_id() -> None:
    bound = [binding for scope in _WIDGETS if scope != "field" for binding in bindings(scope)]  # type: ignore[arg-type]
    ids = [binding.id for binding in bound if isinstance(binding, Binding)]
    assert sorted(map(str, ids)) == sorted(c.id for c in COMMANDS if c.scope != "field")
