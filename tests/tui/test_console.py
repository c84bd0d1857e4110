"""What the panes show and what the keys do, through Textual's pilot."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace
from textual.command import Command, CommandList
from textual.containers import VerticalScroll
from textual.events import Key
from textual.pilot import Pilot
from textual.scrollbar import ScrollBar

from sdmtop.backends.base import Host, open_host
from sdmtop.backends.tree import TreeHost
from sdmtop.collector import SLOW
from sdmtop.model import Pasid
from sdmtop.sampler import Stall
from sdmtop.settings import Settings
from sdmtop.timeline import clock
from sdmtop.tui.app import Console
from sdmtop.tui.bars import Bar
from sdmtop.tui.field import QueryField
from sdmtop.tui.lines import Content, LinesPane
from sdmtop.tui.panes import Inspector, Pasids
from sdmtop.tui.tree import TreePane
from tests.hosts import NIC, PARENT, UUID, box, plug, stat, unplug
from tests.tui.still import StillSampler, console, screen_lines

Play = Callable[[Pilot[None]], Awaitable[None]]


def play(scene: Play, host: Host | None = None, size: tuple[int, int] = (120, 40)) -> Console:
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


def tree_of(pilot: Pilot[None]) -> TreePane:
    return pilot.app.screen_stack[0].query_one(TreePane)


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
        assert "iommu_type 1" in text_of(pilot, "inspector")

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
        sampler_of(pilot).tick(SLOW)
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
        sampler_of(pilot).tick(SLOW)
        await pilot.pause()
        assert pilot.app.query_one("#tree", LinesPane).cursor == UUID
        assert UUID[-8:] in text_of(pilot, "inspector")
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


def test_a_filter_without_a_match_says_so() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"zzz")
        await pilot.pause()
        assert "no line answers to zzz" in text_of(pilot, "tree")

    play(scene)


def test_the_selection_comes_back_when_the_filter_that_hid_it_is_cleared() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, NIC)
        await pilot.press("slash", *"edu-fact", "escape")
        await pilot.pause()
        assert tree_of(pilot).cursor == NIC

    play(scene)


def test_a_selection_made_under_a_filter_is_kept_when_it_is_cleared() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, NIC)
        await pilot.press("slash", *"edu-fact", "enter", "G", "k", "escape")
        await pilot.pause()
        assert tree_of(pilot).cursor == PARENT

    play(scene)


def test_what_is_selected_when_a_filter_is_kept_stays_so_when_it_is_cleared() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("slash", *NIC, "enter")
        found = tree_of(pilot).cursor
        assert found == "group/2"
        await pilot.press("escape")
        await pilot.pause()
        assert tree_of(pilot).cursor == found

    play(scene)


def test_while_a_filter_is_typed_escape_leads_back_to_where_one_was() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, UUID)
        await pilot.press("slash", *NIC, *"zzz", *["backspace"] * 3)
        await pilot.pause()
        assert tree_of(pilot).cursor == "group/2"
        await pilot.press("escape")
        await pilot.pause()
        assert tree_of(pilot).cursor == UUID

    play(scene)


def test_what_was_chosen_in_a_folded_group_is_unfolded_when_the_filter_is_cleared() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("enter", "slash", *"edu-fact", "enter", "G", "escape")
        await pilot.pause()
        assert list(tree_of(pilot).keys) == ["group/1", PARENT, UUID, "group/2", NIC]
        assert tree_of(pilot).cursor == UUID

    play(scene)


def test_a_match_in_a_folded_group_is_shown() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("enter", "slash", *"edu-fact", "enter")
        await pilot.pause()
        assert list(tree_of(pilot).keys) == ["group/1", PARENT, UUID]
        await pilot.press("escape")
        await pilot.pause()
        assert list(tree_of(pilot).keys) == ["group/1", "group/2", NIC]

    play(scene)


def test_the_text_of_the_filter_is_shown_escaped() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        tree_of(pilot).find("a\u202eb")
        await pilot.pause()
        assert "/a\\u202eb" in text_of(pilot, "tree")

    play(scene)


def test_where_there_is_room_for_one_pane_a_filter_brings_the_tree_back() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await pilot.pause()
        assert pilot.app.query_one("#tree").size.height == 0
        await pilot.press("slash", "x")
        await pilot.pause()
        assert pilot.app.query_one("#tree").size.height > 0
        assert pilot.app.query_one("#inspector").size.height == 0
        assert "/x" in text_of(pilot, "tree")

    play(scene, size=(80, 24))


def test_fields_can_be_asked_for_and_everything_that_is_asked_must_be_true() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"driver:e1000e group:2", "enter")
        await pilot.pause()
        assert list(tree_of(pilot).keys) == ["group/2", NIC]
        await pilot.press("slash", *" state:unbound", "enter")
        await pilot.pause()
        assert list(tree_of(pilot).keys) == []

    play(scene)


def test_a_filter_on_rates_follows_them() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"irq/s>100", "enter")
        await pilot.pause()
        assert list(tree_of(pilot).keys) == []
        host = sampler_of(pilot).host
        assert isinstance(host, TreeHost)
        sampler_of(pilot).tick()
        host.put("/proc/stat", stat(0, 10, 520, 30))
        sampler_of(pilot).tick()
        await pilot.pause()
        assert list(tree_of(pilot).keys) == ["group/2", NIC]
        sampler_of(pilot).tick()
        await pilot.pause()
        assert list(tree_of(pilot).keys) == []

    play(scene)


def test_while_a_query_makes_no_sense_the_lines_stay_as_they_were() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("slash", *'driver:e1000e "')
        await pilot.pause()
        assert "^ this quote is not closed" in text_of(pilot, "footer")
        assert list(tree_of(pilot).keys) == ["group/2", NIC]

    play(scene)


@pytest.mark.parametrize("theme", ["dark", "light", "ansi-dark"])
def test_what_is_typed_stands_in_the_line_above_the_footer(theme: str) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        pilot.app.theme = theme
        await pilot.press("slash", *"driver:e1000e")
        await pilot.pause()
        assert screen_lines(pilot.app)[-2] == " driver:e1000e"

    play(scene)


def test_what_is_wrong_with_a_query_stands_below_its_column_and_is_not_kept() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"driver:e1000e drivr:x")
        await pilot.pause()
        field = pilot.app.query_one("#filter")
        text, footer = screen_lines(pilot.app)[-2:]
        assert "^ there is no field drivr; do you mean driver?" in footer
        assert footer.index("^") == text.index("drivr:x")
        await pilot.press("enter")
        await pilot.pause()
        assert field.display
        await pilot.press("escape")
        await pilot.pause()
        assert "q Quit" in text_of(pilot, "footer")
        assert len(tree_of(pilot).keys) == 5

    play(scene)


def test_tab_completes_fields_and_values_of_this_host() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        field = pilot.app.query_one(QueryField)
        await pilot.press("slash", *"d")
        await pilot.pause()
        assert text_of(pilot, "footer").strip() == "domain:  driver:"
        await pilot.press("tab", "tab")
        await pilot.pause()
        assert field.value == "driver:"
        assert text_of(pilot, "footer").strip() == "domain:  [driver:]"
        await pilot.press("e")
        await pilot.pause()
        assert text_of(pilot, "footer").strip() == "e1000e  edu"
        await pilot.press("tab", "tab", "tab", "enter")
        await pilot.pause()
        assert list(tree_of(pilot).keys) == ["group/2", NIC]

    play(scene)


def test_a_slash_can_be_typed_into_the_filter() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("slash", "a", "slash", "b", "enter")
        await pilot.pause()
        assert "/a/b" in text_of(pilot, "tree")

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


def test_left_folds_and_then_goes_to_the_parent_and_right_the_other_way() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        tree = tree_of(pilot)
        await go_to(pilot, UUID)
        seen = []
        for key in ("h", "left", "h", "h", "l", "right", "l", "l"):
            await pilot.press(key)
            seen.append((tree.cursor, len(tree.keys)))
        assert seen == [
            (PARENT, 5), (PARENT, 4), ("group/1", 4), ("group/1", 3),
            ("group/1", 4), (PARENT, 4), (PARENT, 5), (UUID, 5),
        ]  # fmt: skip

    play(scene)


def test_g_and_half_pages_move_the_selection() -> None:
    host = box()
    for number in range(60):
        plug(host, f"0000:01:{number:02x}.0", group=100 + number)

    async def scene(pilot: Pilot[None]) -> None:
        tree = tree_of(pilot)
        half = (tree.size.height - 1) // 2
        rows = []
        for key in ("G", "g", "ctrl+d", "ctrl+d", "ctrl+u"):
            await pilot.press(key)
            rows.append(tree.keys.index(tree.cursor or ""))
        assert rows == [len(tree.keys) - 1, 0, half, 2 * half, half]

    play(scene, host)


def test_enter_does_nothing_on_a_line_that_cannot_be_folded() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, NIC)
        assert "Fold" not in text_of(pilot, "footer")
        await pilot.press("enter")
        assert len(tree_of(pilot).keys) == 5

    play(scene)


def test_the_footer_follows_what_the_operator_does() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert "enter Fold" in text_of(pilot, "footer")
        await pilot.press("slash")
        assert "esc Clear" in text_of(pilot, "footer")
        assert "Quit" not in text_of(pilot, "footer")
        await pilot.press("escape", "4")
        await pilot.pause()
        assert "s Sort rate" in text_of(pilot, "footer")
        await pilot.press("question_mark")
        await pilot.pause()
        assert text_of(pilot, "footer").strip() == "esc Close"
        await pilot.press("escape")
        await pilot.pause()
        assert "q Quit" in text_of(pilot, "footer")
        await pilot.press("ctrl+p")
        await pilot.pause()
        assert text_of(pilot, "footer").strip() == "esc Close"
        await pilot.press("escape")
        await pilot.pause()
        assert "q Quit" in text_of(pilot, "footer")

    play(scene)


def test_the_help_page_is_turned_by_the_keys_of_the_panes() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        page = pilot.app.screen.query_one(VerticalScroll)
        for key, moves in (("j", 1), ("k", -1), ("ctrl+d", 1), ("ctrl+u", -1), ("G", 1), ("g", -1)):
            before = page.scroll_target_y
            await pilot.press(key)
            await pilot.pause()
            assert (page.scroll_target_y - before) * moves > 0, key

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
        assert "IRQ/▾" in text_of(pilot, "tree")

    play(scene)


def test_p_freezes_the_view_while_reading_goes_on() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("p")
        host = sampler_of(pilot).host
        assert isinstance(host, TreeHost)
        plug(host, "0000:00:03.0", group=3)
        sampler_of(pilot).tick(SLOW)
        await pilot.pause()
        assert "s behind" in text_of(pilot, "header")
        assert "0000:00:03.0" not in text_of(pilot, "tree")
        await pilot.press("p")
        await pilot.pause()
        assert "0000:00:03.0" in text_of(pilot, "tree")

    play(scene)


def test_while_paused_moving_about_shows_what_was_frozen() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("p")
        host = sampler_of(pilot).host
        assert isinstance(host, TreeHost)
        host.put(f"/sys/devices/pci0000:00/{NIC}/driver_override", "vfio-pci\n")
        sampler_of(pilot).tick(SLOW)
        await go_to(pilot, NIC)
        assert "override" not in text_of(pilot, "inspector")
        await pilot.press("p")
        await pilot.pause()
        assert "override" in text_of(pilot, "inspector")

    play(scene)


def test_a_stalled_read_is_named_in_the_header() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        sampler_of(pilot).stall = Stall(paths=("/sys/bus/x",), seconds=7.4)
        app_of(pilot)._watch()
        await pilot.pause()
        assert "STALE 7s: /sys/bus/x" in text_of(pilot, "header")

    play(scene)


def test_a_key_moves_the_selection_on_the_screen_before_anything_else_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        app, tree = app_of(pilot), tree_of(pilot)
        drawn: list[object] = []
        monkeypatch.setattr(app, "_display", lambda _screen, update: drawn.append(update))
        before = tree.cursor
        await app.on_event(Key("down", None))
        assert tree.cursor != before
        assert drawn != [None]
        assert len(drawn) == 1

    play(scene)


def test_of_keys_that_come_together_only_the_last_is_drawn_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        app, tree = app_of(pilot), tree_of(pilot)
        drawn = []
        monkeypatch.setattr(tree, "draw", lambda: drawn.append(tree.cursor))
        for key in ("down", "down", "up", "down"):
            app.post_message(Key(key, None))
        await pilot.pause()
        assert drawn == [tree.keys[2]]

    play(scene)


def test_a_key_goes_to_the_pane_that_the_key_before_it_has_chosen() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        app, tree = app_of(pilot), tree_of(pilot)
        before = tree.cursor
        for key in ("4", "down", "tab", "down"):
            app.post_message(Key(key, None))
        await pilot.pause()
        assert tree.cursor == before

    play(scene)


@pytest.mark.parametrize(("pace", "suspects"), [("_WATCHDOG", False), ("DEADLINE", True)])
def test_the_watchdog_looks_again_and_again(
    monkeypatch: pytest.MonkeyPatch, pace: str, suspects: bool
) -> None:
    for one in ("_WATCHDOG", "DEADLINE"):
        monkeypatch.setattr(f"sdmtop.tui.app.{one}", 0.01 if one == pace else 60.0)
    monkeypatch.setattr(StillSampler, "suspects", suspects)
    looked = []
    monkeypatch.setattr(StillSampler, "watch", lambda _: looked.append(1))

    async def scene(pilot: Pilot[None]) -> None:
        for _ in range(100):
            await pilot.pause(0.01)
            if len(looked) > 3:
                break

    play(scene)
    assert len(looked) > 3


def test_an_error_of_the_watchdog_ends_the_console(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_sampler: StillSampler) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("sdmtop.tui.app._WATCHDOG", 0.01)
    monkeypatch.setattr(StillSampler, "watch", fail)

    async def scene(pilot: Pilot[None]) -> None:
        await pilot.pause(0.3)

    with pytest.raises(ZeroDivisionError):
        play(scene)


def test_what_the_tree_says_after_the_last_screen_has_gone_is_not_followed() -> None:
    kept = []

    async def scene(pilot: Pilot[None]) -> None:
        kept.append(tree_of(pilot))

    app = play(scene)
    assert app.screen_stack == []
    app.on_lines_pane_selected(LinesPane.Selected(kept[0], "group/1"))


def test_help_names_every_key_and_closes() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 2
        await pilot.press("escape")
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 1

    play(scene)


def test_what_a_key_does_never_goes_on_below_the_keys() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        lines = screen_lines(pilot.app)
        row = next(row for row, line in enumerate(lines) if "the tree by its next column" in line)
        begin = lines[row].index("the tree by")
        assert lines[row + 1][1:begin].strip() == ""
        assert lines[row + 1][begin:].startswith("number or rate")

    play(scene, size=(80, 24))


def test_the_screen_behind_the_help_page_stays_fresh() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("question_mark")
        await pilot.pause()
        host = sampler_of(pilot).host
        assert isinstance(host, TreeHost)
        plug(host, "0000:00:03.0", group=3)
        sampler_of(pilot).tick(SLOW)
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
        assert "sdmtop --host sim:" in text_of(pilot, "help-3")
        assert pilot.app.query_one("#help-0", Bar).display

    play(scene, bare())


def test_on_a_low_terminal_the_offer_of_the_simulator_takes_one_line() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert "--host sim:" in text_of(pilot, "help-0")
        assert not pilot.app.query_one("#help-1", Bar).display
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert "--host sim: " in text_of(pilot, "help-3")

    play(scene, bare(), size=(40, 10))


def bare() -> TreeHost:
    """A host without an IOMMU."""
    return TreeHost({"/sys/bus/pci/devices": "", "/proc/version": "Linux version 6 x\n"})


@pytest.mark.parametrize(
    "name", ["\x1b[31mred", "[/foo]", "[bold]x", "a\u202eb", "z\u200bz", "A" * 9999]
)
def test_hostile_names_are_shown_as_text_and_harm_nothing(name: str) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        host = sampler_of(pilot).host
        assert isinstance(host, TreeHost)
        plug(host, NIC, group=2, driver=name.replace("/", "_"))
        host.put(f"/sys/devices/pci0000:00/{NIC}/driver_override", name)
        sampler_of(pilot).tick(SLOW)
        await go_to(pilot, NIC)
        for pane in ("header", "tree", "inspector", "interrupts", "events"):
            assert all(line.isprintable() for line in text_of(pilot, pane).split("\n"))

    play(scene)


@pytest.mark.long
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
        sample = app_of(pilot).sample
        assert sample is not None
        app_of(pilot)._show(sample)
        assert drawn == []

    play(scene)


async def press_blocked(pilot: Pilot[None]) -> None:
    """Have `s` blocked, and press it."""
    app = app_of(pilot)
    sort = app._commands["sort"]
    app._commands["sort"] = sort._replace(why_not=lambda _now: "nothing to \x1b sort")
    app._show_footer()
    await pilot.press("s")
    await pilot.pause()


def test_a_key_that_does_not_work_says_why_instead() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await press_blocked(pilot)
        assert "Sort: nothing to \\x1b sort" in text_of(pilot, "footer")
        assert tree_of(pilot).order == "name"
        await pilot.press("p")
        await pilot.pause()
        assert "(s Sort)" in text_of(pilot, "footer")

    play(scene)


def test_help_and_palette_say_why_a_command_cannot_be_given() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await press_blocked(pilot)
        hits = {hit.title: hit.help for hit in app_of(pilot).palette_entries()}
        assert hits["Sort"] == "not now: nothing to \\x1b sort"
        assert hits["Pause"] == "freeze what is shown; reading goes on"
        await pilot.press("question_mark")
        await pilot.pause()
        shown = [line.split("│")[1] for line in screen_lines(pilot.app)[1:-1]]
        assert "not now: nothing to \\x1b sort" in " ".join(" ".join(shown).split())

    play(scene)


def test_a_command_that_was_given_no_key_has_none() -> None:
    async def run() -> None:
        app = Console(StillSampler(box()), settings=Settings({"keys": {"zoom": "", "sort": "f6"}}))
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            await pilot.press("z")
            await pilot.pause()
            assert not app.screen.has_class("-narrow")
            assert "Zoom" not in text_of(pilot, "footer")

    asyncio.run(run())


async def found_in_palette(pilot: Pilot[None], query: str) -> list[str]:
    """The titles that the palette has for a query, which stays open."""
    await pilot.press("ctrl+p", *query)
    await pilot.app.workers.wait_for_complete()
    await pilot.pause(0.3)
    palette = pilot.app.screen.query_one(CommandList)
    return [str(option.hit.text) for option in palette.options if isinstance(option, Command)]


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("pau", "Pause"),
        ("freeze shown", "Pause"),
        ("sriov", "SR-IOV"),
        ("virtual func", "SR-IOV"),
        ("affin", "Affinity"),
        ("driver", "Attach to a driver"),
        ("reset", "Reset"),
    ],
)
def test_the_palette_finds_a_command_by_its_title_or_by_what_it_does(
    query: str, title: str
) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert title in await found_in_palette(pilot, query)

    play(scene)


def test_the_palette_finds_nothing_where_a_word_is_of_no_command() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert await found_in_palette(pilot, "freeze zebras") == []

    play(scene)


def test_unknown_facts_of_the_selection_are_in_the_inspector() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, UUID)
        inspector = pilot.app.query_one(Inspector)
        assert any(key.endswith("kind") for key in inspector.keys)

    play(scene)


def test_what_is_cut_off_the_selected_fact_stands_below_it_while_it_is_read() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        meaning = "the group's default domain, not what is attached now"
        assert "attached now" not in text_of(pilot, "inspector")
        await pilot.press("2")
        await pilot.pause()
        shown = " ".join(text_of(pilot, "inspector").split())
        assert f"domain type DMA {meaning}" in shown
        await pilot.press("j")
        await pilot.pause()
        shown = " ".join(text_of(pilot, "inspector").split())
        assert meaning not in shown
        assert "the domain in force now, and how we know" in shown
        await pilot.press("1")
        await pilot.pause()
        assert "how we know" not in text_of(pilot, "inspector")

    play(scene)


def test_the_facts_of_the_inspector_are_walked_one_by_one() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("2")
        inspector = pilot.app.query_one(Inspector)
        seen = []
        for key in ("j", "j", "j", "k", "G", "g"):
            await pilot.press(key)
            seen.append(int((inspector.cursor or "").split()[0]))
        last = seen[4]
        assert seen == [1, 2, 3, 2, last, 0]
        assert last == len({key.partition("+")[0] for key in inspector.keys}) - 1

    play(scene)


def test_with_origins_the_inspector_says_when_it_was_read() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        read_at = app_of(pilot).sample.read_at["topology"]  # type: ignore[union-attr]
        await pilot.press("o")
        await pilot.pause()
        assert f"[origin {clock(read_at)}]" in text_of(pilot, "inspector")

    play(scene)


def test_reading_the_same_again_does_not_draw_the_origins_again() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("o")
        await pilot.pause()
        app = app_of(pilot)
        sample = app.sample
        assert sample is not None
        drawn: list[object] = []
        inspector = pilot.app.query_one(Inspector)
        inspector.refresh = lambda *regions, **_: drawn.append(regions)  # type: ignore[method-assign,assignment]
        later = {part: at + 60 for part, at in sample.read_at.items()}
        app.on_console_fresh(Console.Fresh(app.sampler, replace(sample, read_at=later)))
        assert drawn == []

    play(scene)


def test_the_pasids_pane_gives_only_reasons_that_concern_live_pasids() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert app_of(pilot).sample is not None
        text = text_of(pilot, "pasids")
        assert "capability" not in text
        assert text.splitlines()[1].startswith("ENOENT: no debugfs here")

    play(scene)


def test_the_columns_of_the_pasids_stand_below_their_headings() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        sample = app_of(pilot).sample
        assert sample is not None
        row = Pasid(pasid=17, device=NIC, process=42, source="somewhere")
        snapshot = replace(sample.snapshot, pasids=(row,))
        pilot.app.query_one(Pasids).show(replace(sample, snapshot=snapshot), None)
        heading, line = text_of(pilot, "pasids").splitlines()[:2]
        assert heading.index("DEVICE") == line.index(NIC)
        assert heading.index("PROCESS") == line.index("42")
        assert heading.index("SOURCE") == line.index("somewhere")

    play(scene)


def test_at_120_columns_there_is_room_for_whose_interrupt_it_is() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        heading, line = text_of(pilot, "interrupts").splitlines()[:2]
        who = heading.index("WHO")
        assert line[who:].startswith("0000:")
        assert len(heading) - who >= 16
        assert "(by number)" in heading

    play(scene)


def test_a_pane_that_was_hidden_wraps_for_the_room_that_it_gets() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("2")
        await pilot.pause()
        assert text_of(pilot, "inspector").splitlines()[3].startswith("attached")

    play(scene, size=(80, 24))


def test_columns_are_chosen_moved_and_hidden_while_the_tree_follows() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("C")
        await pilot.pause()
        assert "space Show/hide" in text_of(pilot, "footer")
        await pilot.press("x", "j", "j", "j", "j", "j", "x")
        await pilot.pause()
        heading = text_of(pilot, "tree").splitlines()[0]
        assert "DOM/DRIVER" not in heading
        assert "ATTACHED" in heading
        await pilot.press("K", "K", "K", "K", "K", "K", "escape")
        await pilot.pause()
        assert tree_of(pilot).columns == ("attached", "state", "holder", "irq/s", "what")
        assert heading.index("STATE") < text_of(pilot, "tree").index("STATE")
        assert "DMA" in text_of(pilot, "tree").splitlines()[1]

    play(scene, size=(160, 40))


def test_the_choice_of_columns_fits_on_a_small_screen_and_leaves_its_keys() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("C")
        await pilot.pause()
        *lines, footer = screen_lines(pilot.app)
        assert "space Show/hide" in footer
        assert lines[-1].endswith("╯")
        assert any("…" in line for line in lines[2:-1])

    play(scene, size=(60, 15))


def test_a_click_on_a_key_in_the_footer_presses_it() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        footer = text_of(pilot, "footer")
        await pilot.click("#footer", offset=(footer.index("p Pause"), 0))
        await pilot.pause()
        assert "PAUSED" in text_of(pilot, "header")
        footer = text_of(pilot, "footer")
        await pilot.click("#footer", offset=(footer.index("(t Test)") + 1, 0))
        await pilot.pause()
        assert text_of(pilot, "footer").startswith(" Self-test: ")

    play(scene)


def test_r_turns_the_order_and_a_click_on_a_heading_sorts_by_its_column() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        tree = tree_of(pilot)
        await pilot.press("r")
        assert list(tree.keys) == ["group/2", NIC, "group/1", PARENT, UUID]
        await pilot.press("r")
        assert tree.keys[0] == "group/1"
        at = text_of(pilot, "tree").splitlines()[0].index("DOM/DRIVER")
        await pilot.click(TreePane, offset=(at, 0))
        assert (tree.order, tree.turned) == ("domain", False)
        await pilot.click(TreePane, offset=(at, 0))
        assert (tree.order, tree.turned) == ("domain", True)

    play(scene)


def test_the_scrollbar_is_drawn_as_textual_draws_it_and_scrolls_where_it_is_clicked() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        inspector = pilot.app.query_one(Inspector)
        bar = inspector.vertical_scrollbar
        for place in (0, 3, inspector.max_scroll_y):
            inspector.scroll_to(y=place, animate=False)
            await pilot.pause()
            for y in range(bar.size.height):
                ours, theirs = bar.render_line(y), ScrollBar.render_line(bar, y)
                assert [segment.text for segment in ours] == [segment.text for segment in theirs]
                assert [segment.style for segment in ours] == [segment.style for segment in theirs]
            bar._dirty_regions.add(bar.size.region)  # Have Textual draw it anew as well.
        inspector.scroll_to(y=0, animate=False)
        await pilot.click(bar, offset=(0, bar.size.height - 1))
        await pilot.wait_for_scheduled_animations()
        assert inspector.scroll_y > 0

    play(scene, size=(120, 24))


def test_s_goes_through_the_columns_that_are_shown() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        seen = []
        for _ in range(6):
            await pilot.press("s")
            seen.append(tree_of(pilot).order)
        assert seen == ["irq/s", "domain", "state", "holder", "what", "name"]

    play(scene)


def test_a_capture_says_when_it_was_taken_and_has_no_rates() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        for _ in range(3):
            sampler_of(pilot).tick()
            await pilot.pause()
        assert text_of(pilot, "header").rstrip().endswith("taken 2026-11-25 23:55")
        counters = sampler_of(pilot).collector.sample().counters
        assert counters.latest is not None
        assert counters.rate(1) is None

    play(scene, open_host("capture:tests/trees/guest-6.12-intel-busy.tar.xz"))
