"""Bindings of Textual, made from the registry, and what keys do by them."""

import asyncio

import pytest
from textual.binding import Binding
from textual.dom import DOMNode
from textual.pilot import Pilot

from sdmtop.commands import COMMANDS, Command, Scope
from sdmtop.tui.app import Console
from sdmtop.tui.bindings import actions_of, bindings
from sdmtop.tui.choices import Choices
from sdmtop.tui.field import QueryField
from sdmtop.tui.lines import LinesPane
from sdmtop.tui.tree import TreePane
from tests.hosts import box
from tests.tui.still import console

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


@pytest.mark.parametrize("page", ["", "t", "C"])
def test_a_key_does_what_textual_has_it_do(page: str) -> None:
    async def run() -> None:
        app = console(box())
        async with app.run_test() as pilot:
            await pilot.pause()
            app.set_keymap({"sort": "X,ctrl+s"})
            for key in page:
                await pilot.press(key)
            await pilot.pause()
            pane = app.focused
            assert isinstance(pane, LinesPane)
            actions = actions_of(pane)
            assert bool(actions["ctrl+s"]) == (page != "C")  # A dialog covers what is below.
            keys = {*actions, *tried_by_textual(pilot)}
            assert {key: actions.get(key, []) for key in keys} == tried_by_textual(pilot, *keys)

    asyncio.run(run())


def tried_by_textual(pilot: Pilot[None], *keys: str) -> dict[str, list[tuple[str, DOMNode]]]:
    """As `App._check_bindings` does if nothing that it tries can be done; of all keys by default.

    The bindings themselves are Textual's: the chain of the screen, its modal part, the priority.
    """
    screen = pilot.app.screen
    parts = [(True, [*reversed(screen._binding_chain)]), (False, screen._modal_binding_chain)]
    every = keys or {key for _, part in parts for _, one in part for key in one.key_to_bindings}
    return {
        key: [
            (bound.action, node)
            for priority, part in parts
            for node, one in part
            for bound in one.key_to_bindings.get(key, ())
            if bound.priority == priority
        ]
        for key in every
    }
