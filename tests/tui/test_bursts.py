"""Keys that come together: what each of them does, though the one before is not through yet."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import OptionList

from sdmtop.backends.base import Host, open_host
from sdmtop.backends.simulator.host import SimulatorHost
from sdmtop.backends.simulator.scenario import read_scenario
from sdmtop.tui.asking import AskScreen
from sdmtop.tui.field import QueryField
from sdmtop.tui.help import HelpScreen
from sdmtop.tui.lines import LinesPane
from sdmtop.tui.operations import PlanScreen, TypeScreen
from sdmtop.tui.simulation import SimulationScreen
from sdmtop.tui.tree import TreePane
from tests.operations.bench import EDU, PF, SCENARIO
from tests.tui.still import burst, console, until
from tests.tui.test_operations import go, is_over, plan, shown


def bench() -> Host:
    return SimulatorHost(read_scenario(SCENARIO, "bench.toml"))


def vgpu() -> Host:
    return open_host("sim:vgpu")


def play(host: Host, scene: Callable[[Pilot[None]], Awaitable[None]]) -> None:
    async def run() -> None:
        async with console(host).run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            await scene(pilot)

    asyncio.run(run())


def pages(pilot: Pilot[None]) -> list[str]:
    """What lies above the panes."""
    return [type(screen).__name__ for screen in pilot.app.screen_stack[1:]]


@pytest.mark.parametrize("second", ["enter", "escape"])
@pytest.mark.parametrize(
    ("host", "target", "key", "page", "keys"),
    [
        (vgpu, "0000:00:02.0", "c", TypeScreen, ("enter",)),
        (vgpu, "0000:00:02.0", "i", SimulationScreen, ("enter",)),
        (bench, PF, "V", AskScreen, ("2", "enter")),
        (bench, PF, "V", AskScreen, ("2", "enter", "tab")),
        (bench, PF, "D", AskScreen, ("enter",)),
        (bench, EDU, "a", PlanScreen, ("enter",)),
        (bench, EDU, "question_mark", HelpScreen, ("escape",)),
    ],
)
def test_a_key_that_comes_after_the_one_that_closes_a_page_closes_nothing_else(
    host: Callable[[], Host], target: str, key: str, page: type, keys: tuple[str, ...], second: str
) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert pilot.app.query_one("#tree", LinesPane).select(target)
        await pilot.press(key)
        await until(pilot, lambda: isinstance(pilot.app.screen, page))
        await pilot.pause()
        if keys == ("enter",) and page is not PlanScreen:
            await pilot.press("down")
            assert isinstance(pilot.app.focused, OptionList)
        await burst(pilot, *keys, second)
        assert page.__name__ not in pages(pilot)
        assert len(pages(pilot)) <= 1

    play(host(), scene)


@pytest.mark.parametrize(("downs", "count"), [(1, 0), (2, 4), (3, 0)])
def test_an_answer_that_is_chosen_in_one_burst_is_the_one_that_is_planned(
    downs: int, count: int
) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert pilot.app.query_one("#tree", LinesPane).select(PF)
        await pilot.press("V")
        await until(pilot, lambda: isinstance(pilot.app.screen, AskScreen))
        await pilot.pause()
        await burst(pilot, *["down"] * downs, "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, PlanScreen))
        await until(pilot, lambda: f"sdmtop sriov {PF} {count}" in shown(pilot))

    play(bench(), scene)


def test_a_command_of_the_palette_is_given_once() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("ctrl+p", *"help")
        await pilot.app.workers.wait_for_complete()
        await burst(pilot, "enter", "enter", "enter")
        assert pages(pilot) == ["HelpScreen"]

    play(bench(), scene)


def test_a_page_below_another_is_not_closed_in_its_place() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await plan(pilot, "a", EDU)
        below = pilot.app.screen
        assert isinstance(below, PlanScreen)
        go(pilot).press()
        await until(pilot, lambda: is_over(pilot))
        await pilot.press("ctrl+p")
        below.action_cancel()
        await pilot.pause()
        assert pages(pilot) == ["PlanScreen", "Palette"]

    play(bench(), scene)


@pytest.mark.parametrize(
    ("keys", "found", "row"),
    [
        (("z", "i", "p", "enter", "g", "j"), "zip", 1),
        (("z", "i", "p", "enter", "slash", "x", "backspace", "enter", "g"), "zip", 0),
        (("s", "t", "a", "t", "e", "colon", "o", "r", "tab", "enter", "g", "j"), "state:orphan", 1),
        (("e", "d", "u", "escape", "g", "j"), "", 1),
        (("e", "left", "d", "delete", "enter", "g", "j"), "d", 1),
    ],
)
def test_keys_that_come_with_the_enter_of_a_filter_are_for_the_tree(
    keys: tuple[str, ...], found: str, row: int
) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await burst(pilot, "slash", *keys)
        tree = pilot.app.query_one(TreePane)
        assert pilot.app.focused is tree
        assert not pilot.app.query_one(QueryField).display
        assert tree.filter == found
        assert tree.cursor == tree.keys[row]

    play(bench(), scene)


def test_a_filter_that_makes_no_sense_stays_open_for_the_keys_after_enter() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await burst(pilot, "slash", "x", "colon", "y", "enter", "j")
        field = pilot.app.query_one(QueryField)
        assert (field.display, field.value) == (True, "x:yj")

    play(bench(), scene)


def test_what_is_pasted_is_there_before_the_key_after_it() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await burst(pilot, "slash", "e")
        pilot.app.post_message(Paste("du\nand more"))
        await burst(pilot, "enter")
        assert pilot.app.query_one(TreePane).filter == "edu"

    play(bench(), scene)


def test_the_filter_is_kept_and_q_quits() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await burst(pilot, "slash", "e", "d", "u", "enter", "q")
        assert pilot.app.return_code == 0
        assert not pilot.app.is_running

    play(bench(), scene)
