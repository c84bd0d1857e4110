"""What the panes show and what the keys do, through Textual's pilot."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot

from sdmtop.backends.tree import TreeHost
from sdmtop.collector import POLL
from sdmtop.sampler import Stall
from sdmtop.tui.app import Console
from sdmtop.tui.bars import Bar
from sdmtop.tui.commands import COMMANDS, bindings, footer, help_lines
from sdmtop.tui.lines import Content, LinesPane
from sdmtop.tui.panes import Inspector, count_text, rate_text, sparkline
from tests.hosts import NIC, PARENT, UUID, box, plug, stat, unplug
from tests.tui.still import StillSampler, console

Play = Callable[[Pilot[None]], Awaitable[None]]


def play(scene: Play, host: TreeHost | None = None, size: tuple[int, int] = (120, 40)) -> Console:
    """Run a scene on a console of this host."""

    async def run() -> Console:
        app = console(host or box())
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await scene(pilot)
        return app

    return asyncio.run(run())


def app_of(pilot: Pilot[None]) -> Console:
    assert isinstance(pilot.app, Console)
    return pilot.app


def sampler_of(pilot: Pilot[None]) -> StillSampler:
    sampler = app_of(pilot).sampler
    assert isinstance(sampler, StillSampler)
    return sampler


def text_of(pilot: Pilot[None], id_: str) -> str:
    """The lines of a pane as they stand on the screen."""
    pane = pilot.app.screen_stack[0].query_one(f"#{id_}")
    return "\n".join(pane.render_line(y).text for y in range(pane.size.height))


async def go_to(pilot: Pilot[None], key: str) -> None:
    pane = pilot.app.query_one("#tree", LinesPane)
    assert pane.select(key)
    await pilot.pause()


def test_the_header_says_which_host_this_is_and_that_it_is_safe() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        header = text_of(pilot, "header")
        assert "box" in header
        assert "Linux 6.12.0-test" in header
        assert "IOMMU intel" in header
        assert "[CAPTURE] [READ-ONLY]" in header

    play(scene)


def test_the_tree_hangs_sdmdevs_below_their_parent_and_hides_their_groups() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        keys = list(pilot.app.query_one("#tree", LinesPane).keys)
        assert keys == ["group/1", PARENT, UUID, "group/2", NIC]
        assert "edu-fact" in text_of(pilot, "tree")

    play(scene)


def test_the_inspector_follows_the_selection() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert "domain type" in text_of(pilot, "inspector")
        await pilot.press("down")
        await pilot.pause()
        assert f"Inspector  {PARENT}" in text_of(pilot, "inspector")
        assert "MULTI_PROC_MAP" in text_of(pilot, "inspector")

    play(scene)


def test_o_shows_the_origin_of_every_value() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert "/sys/kernel" not in text_of(pilot, "inspector")
        await pilot.press("o")
        await pilot.pause()
        assert "/sys/kernel/iommu_group" in text_of(pilot, "inspector")

    play(scene, size=(200, 40))


def test_the_interrupts_of_the_selected_device_come_first() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, NIC)
        lines = text_of(pilot, "interrupts").splitlines()
        assert lines[1].startswith("▸2")
        assert lines[2].startswith("▸3")
        assert "eth0-rx" in lines[1]

    play(scene, size=(160, 40))


def test_rates_are_shown_for_the_interrupt_its_device_and_its_group() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        host = sampler_of(pilot).host
        assert isinstance(host, TreeHost)
        sampler_of(pilot).tick()
        host.put("/proc/stat", stat(0, 10, 520, 30))
        sampler_of(pilot).tick()
        await pilot.pause()
        for pane, start in (("tree", "▾ group 2"), ("tree", "    0000:00:02.0")):
            (line,) = [row for row in text_of(pilot, pane).splitlines() if row.startswith(start)]
            assert " 250 " in line or " 500 " in line

    play(scene)


def test_the_selection_follows_its_device_when_lines_move() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, NIC)
        host = sampler_of(pilot).host
        assert isinstance(host, TreeHost)
        plug(host, "0000:00:00.0", group=0)
        sampler_of(pilot).tick(POLL)
        await pilot.pause()
        tree = pilot.app.query_one("#tree", LinesPane)
        assert tree.cursor == NIC
        assert tree.keys.index(NIC) == 6

    play(scene)


def test_when_the_selected_device_is_pulled_its_neighbour_is_selected_and_said() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, NIC)
        host = sampler_of(pilot).host
        assert isinstance(host, TreeHost)
        unplug(host, NIC, group=2)
        sampler_of(pilot).tick(POLL)
        await pilot.pause()
        assert pilot.app.query_one("#tree", LinesPane).cursor == UUID
        assert UUID[:30] in text_of(pilot, "inspector")
        assert f"{NIC} is gone" in text_of(pilot, "events")

    play(scene)


def test_the_filter_keeps_what_a_match_hangs_below() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"orphan".replace("orphan", "edu-fact"), "enter")
        await pilot.pause()
        assert list(pilot.app.query_one("#tree", LinesPane).keys) == ["group/1", PARENT, UUID]
        await pilot.press("escape")
        await pilot.pause()
        assert len(pilot.app.query_one("#tree", LinesPane).keys) == 5

    play(scene)


def test_a_slash_can_be_typed_into_the_filter() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("slash", "a", "slash", "b", "enter")
        await pilot.pause()
        assert "filter a/b" in text_of(pilot, "tree")

    play(scene)


def test_enter_folds_and_unfolds() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        tree = pilot.app.query_one("#tree", LinesPane)
        await pilot.press("enter")
        await pilot.pause()
        assert list(tree.keys) == ["group/1", "group/2", NIC]
        assert "▸ group 1" in text_of(pilot, "tree")
        await pilot.press("enter")
        await pilot.pause()
        assert len(tree.keys) == 5

    play(scene)


def test_s_sorts_groups_by_rate_and_keeps_them_whole() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        host = sampler_of(pilot).host
        assert isinstance(host, TreeHost)
        sampler_of(pilot).tick()
        host.put("/proc/stat", stat(0, 10, 520, 30))
        sampler_of(pilot).tick()
        await pilot.press("s")
        await pilot.pause()
        keys = list(pilot.app.query_one("#tree", LinesPane).keys)
        assert keys == ["group/2", NIC, "group/1", PARENT, UUID]
        assert "[sort irq/s]" in text_of(pilot, "tree")

    play(scene)


def test_p_freezes_the_view_while_reading_goes_on() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("p")
        host = sampler_of(pilot).host
        assert isinstance(host, TreeHost)
        plug(host, "0000:00:03.0", group=3)
        sampler_of(pilot).tick(POLL)
        await pilot.pause()
        assert "PAUSED, behind" in text_of(pilot, "header")
        assert "0000:00:03.0" not in text_of(pilot, "tree")
        await pilot.press("p")
        await pilot.pause()
        assert "0000:00:03.0" in text_of(pilot, "tree")

    play(scene)


def test_a_stalled_read_is_named_in_the_header() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        sampler_of(pilot).stall = Stall(paths=("/sys/bus/x",), seconds=7.4)
        app_of(pilot)._watch()
        await pilot.pause()
        assert "STALE 7s: /sys/bus/x" in text_of(pilot, "header")

    play(scene)


def test_help_names_every_key_and_closes() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 2
        await pilot.press("escape")
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 1

    play(scene)


def test_the_screen_behind_the_help_page_stays_fresh() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        host = sampler_of(pilot).host
        assert isinstance(host, TreeHost)
        plug(host, "0000:00:03.0", group=3)
        sampler_of(pilot).tick(POLL)
        await pilot.pause()
        await pilot.press("escape")
        await pilot.pause()
        assert "0000:00:03.0" in text_of(pilot, "tree")

    play(scene)


def test_q_lets_the_sampler_go() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("q")

    app = play(scene)
    assert isinstance(app.sampler, StillSampler)
    assert app.sampler.stopped
    assert app.return_code == 0


def test_a_host_without_an_iommu_says_so_and_offers_the_simulator() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert "IOMMU none" in text_of(pilot, "header")
        assert "No IOMMU is active" in text_of(pilot, "help-0")
        assert "sdmtop --host sim:" in text_of(pilot, "help-2")
        assert pilot.app.query_one("#help-0", Bar).display

    play(scene, TreeHost({"/sys/bus/pci/devices": "", "/proc/version": "Linux version 6 x\n"}))


@pytest.mark.parametrize(
    "name", ["\x1b[31mred", "[/foo]", "[bold]x", "a\u202eb", "z\u200bz", "A" * 9999]
)
def test_hostile_names_are_shown_as_text_and_harm_nothing(name: str) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        host = sampler_of(pilot).host
        assert isinstance(host, TreeHost)
        plug(host, NIC, group=2, driver=name.replace("/", "_"))
        host.put(f"/sys/devices/pci0000:00/{NIC}/driver_override", name)
        sampler_of(pilot).tick(POLL)
        await go_to(pilot, NIC)
        for pane in ("header", "tree", "inspector", "interrupts", "events"):
            assert all(line.isprintable() for line in text_of(pilot, pane).split("\n"))

    play(scene)


@pytest.mark.parametrize("size", [(30, 8), (40, 10), (60, 15), (80, 24), (100, 30), (300, 100)])
def test_any_size_of_terminal_is_drawn(size: tuple[int, int]) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("2", "3", "4", "5", "1", "down")
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert "group 1" in text_of(pilot, "tree")

    play(scene, size=size)


def test_only_the_visible_lines_are_asked_for() -> None:
    host = box()
    for number in range(200):
        plug(host, f"0000:01:{number // 8:02x}.{number % 8}", group=100 + number)
    asked: list[str] = []

    async def scene(pilot: Pilot[None]) -> None:
        tree = pilot.app.query_one("#tree", LinesPane)
        content = tree.content

        def watched(key: str) -> Content:
            asked.append(key)
            return content(key)

        tree.content = watched  # type: ignore[method-assign]
        tree.redraw()
        await pilot.press("end")
        await pilot.pause()

    play(scene, host)
    assert 0 < len(set(asked)) < 100


def test_a_refresh_without_a_change_draws_nothing() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        drawn: list[object] = []
        for pane in pilot.app.query(LinesPane):
            pane.refresh = lambda *regions, **_: drawn.append(regions)  # type: ignore[method-assign,assignment]
        app_of(pilot)._show()
        assert drawn == []

    play(scene)


def test_every_command_has_a_key_a_title_and_a_line_of_help() -> None:
    for command in COMMANDS:
        assert command.keys
        assert command.title
        assert command.help
        assert hasattr(Console, f"action_{command.action.partition('(')[0]}")


def test_no_key_is_bound_twice() -> None:
    keys = [key for command in COMMANDS for key in command.keys.split(",")]
    assert len(keys) == len(set(keys))
    assert len(bindings()) == len(COMMANDS)


def test_the_footer_and_the_help_page_come_from_the_registry() -> None:
    assert footer(200).strip().startswith("? Help")
    assert len(footer(30)) <= 30
    assert ("q ctrl+c", "leave the console") in help_lines()


def test_numbers_fit_into_their_columns() -> None:
    assert [rate_text(rate) for rate in (None, 0.0, 3.14, 250.0, 123456.0, 9.9e9)] == [
        "", "0", "3.1", "250", "123k", "9900M"
    ]  # fmt: skip
    assert [count_text(count) for count in (0, 99_999_999, 4_294_967_295)] == [
        "0", "99999999", "4294967k"
    ]  # fmt: skip


def test_a_sparkline_is_scaled_to_its_highest_value() -> None:
    assert sparkline([0.0, 5.0, 10.0], 5) == "  ▁▄█"
    assert sparkline([0.0, 0.0], 4) == "  ▁▁"
    assert sparkline([], 4) == "    "


def test_unknown_facts_of_the_selection_are_in_the_inspector() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, UUID)
        inspector = pilot.app.query_one(Inspector)
        assert any(key.endswith("kind") for key in inspector.keys)

    play(scene)
