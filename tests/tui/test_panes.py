"""Interrupts as a map, the picture of domains, the timeline: through Textual's pilot."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.pilot import Pilot

from sdmtop.backends.base import open_host
from sdmtop.backends.tree import TreeHost
from sdmtop.model import Unknown
from sdmtop.text import width as cells
from sdmtop.timeline import Kind
from sdmtop.tui.app import Console
from sdmtop.tui.bars import FooterBar
from sdmtop.tui.domains import Domains
from sdmtop.tui.events import Events
from sdmtop.tui.lines import LinesPane
from sdmtop.tui.panes import Pasids
from sdmtop.tui.tree import TreePane
from tests.hosts import NIC, PARENT, UUID, box, plug, stat
from tests.tui.still import screen_lines
from tests.tui.test_console import app_of, go_to, play, sampler_of, text_of, tree_of

_CAPTURE = Path(__file__).parent.parent / "trees/debian-6.12-intel-sdmdev.tar.xz"
_NODE = "/sys/devices/system/node/node"


def two_nodes() -> TreeHost:
    """The box with a node for each CPU; the network card is near to the first."""
    host = box(
        **{
            f"{_NODE}0/cpulist": "0\n",
            f"{_NODE}0/distance": "10 21\n",
            f"{_NODE}1/cpulist": "1\n",
            f"{_NODE}1/distance": "21 10\n",
            "/sys/kernel/irq/2/per_cpu_count": "1,20\n",
            "/sys/kernel/irq/3/per_cpu_count": "30,0\n",
        }
    )
    host.put(f"/sys/devices/pci0000:00/{NIC}/numa_node", "0\n")
    return host


async def tick_with(pilot: Pilot[None], counts: str) -> None:
    """Let a second pass, in which interrupt 2 comes so often on each CPU."""
    host = sampler_of(pilot).host
    assert isinstance(host, TreeHost)
    host.put("/sys/kernel/irq/2/per_cpu_count", counts)
    host.put("/proc/stat", stat(0, 10, sum(map(int, counts.split(","))), 30))
    sampler_of(pilot).tick()
    await pilot.pause()


def line_of(pilot: Pilot[None], pane: str, start: str) -> str:
    return next(line for line in text_of(pilot, pane).splitlines() if line[1:].startswith(start))


def test_the_map_has_a_shade_for_each_cpu_and_a_border_between_nodes() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("m")
        await tick_with(pilot, "1,20\n")
        await tick_with(pilot, "1,520\n")
        assert "0│1 DIST WHO" in text_of(pilot, "interrupts").splitlines()[0]
        assert "·│▅   21 0000:00:02.0 eth0" in line_of(pilot, "interrupts", "2 ")
        await pilot.press("m")
        await pilot.pause()
        assert "HIST" in text_of(pilot, "interrupts").splitlines()[0]

    play(scene, two_nodes())


def test_what_was_read_only_once_has_no_shade_yet() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("m")
        assert " │    21 0000:00:02.0 eth0" in line_of(pilot, "interrupts", "2 ")
        await tick_with(pilot, "1,20\n")
        await tick_with(pilot, "1,20\n")
        assert "·│·   21 0000:00:02.0 eth0" in line_of(pilot, "interrupts", "2 ")

    play(scene, two_nodes())


def test_an_interrupt_that_is_taken_far_from_its_device_is_marked() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert " 1! " in line_of(pilot, "interrupts", "2 ")
        assert " 0 " in line_of(pilot, "interrupts", "3 ")
        assert "0!" not in line_of(pilot, "interrupts", "3 ")

    play(scene, two_nodes())


def test_the_inspector_says_in_words_where_an_interrupt_is_taken() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, NIC)
        await pilot.pause()
        text = text_of(pilot, "inspector")
        assert "IRQ 2           CPU 1, node 1: 21 from node 0" in text
        assert "IRQ 3           CPU 0, node 0: near" in text

    play(scene, two_nodes(), size=(160, 70))


@pytest.mark.parametrize("cpus", [64, 256, 1000])
def test_many_cpus_share_cells_so_that_the_owner_is_still_seen(cpus: int) -> None:
    counts = ",".join(["0"] * (cpus - 1) + ["{}"])
    host = two_nodes()
    host.put(f"{_NODE}0/cpulist", f"0-{cpus // 2 - 1}\n")
    host.put(f"{_NODE}1/cpulist", f"{cpus // 2}-{cpus - 1}\n")

    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("m")
        await tick_with(pilot, counts.format(0))
        await tick_with(pilot, counts.format(500))
        heading = text_of(pilot, "interrupts").splitlines()[0]
        assert "CPUs each" in heading
        line = line_of(pilot, "interrupts", "2 ")
        assert line.count("▅") == 1
        assert "0000:00:02.0" in line

    play(scene, host)


@pytest.mark.long
@pytest.mark.parametrize("width", range(110, 130))
def test_reasons_of_the_pasids_are_whole_beside_the_scrollbar_that_they_need(width: int) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        pane = pilot.app.query_one(Pasids)
        sample = pane.sample
        assert sample is not None
        why = " ".join(f"word{number:03}" for number in range(99))
        entry = Unknown(path="/sys", errno="EACCES", what=f"live PASIDs: {why}")
        pane.show(replace(sample, snapshot=replace(sample.snapshot, unknown=(entry,))), None)
        await pilot.pause()
        assert pane.show_vertical_scrollbar
        lines = [text for key in pane.keys for text, _ in pane.content(key)]
        assert max(map(cells, lines)) <= pane.line_width
        assert why in " ".join(lines)

    play(scene, size=(width, 40))


def test_the_selected_sdmdevs_interrupt_is_its_parents() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, UUID)
        first = text_of(pilot, "interrupts").splitlines()[1]
        assert first.startswith("▸1")
        assert "wakes 1" in first

    play(scene, sdmdev_host())


def sdmdev_host() -> TreeHost:
    """The box, whose mdev runs in its parent's domain."""
    host = box()
    host.put("/sys/kernel/iommu_groups/21/name", "sdmdev\n")
    return host


def test_domains_show_the_selections_first_and_who_is_in_each() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, NIC)
        await pilot.press("6")
        await pilot.pause()
        lines = text_of(pilot, "domains").splitlines()
        assert lines[1].startswith("▸ group 2  DMA")
        assert lines[2].startswith(f"  └─ ▸{NIC}")
        assert "e1000e" in lines[2]

    play(scene)


@pytest.mark.parametrize("columns", [60, 80])
def test_where_there_is_little_room_names_of_queues_are_cut_and_not_what_they_do(
    columns: int,
) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("6")
        await pilot.pause()
        line = next(line for line in text_of(pilot, "domains").splitlines() if UUID[:7] in line)
        assert UUID[-7:] in line
        assert "nobody" in line or columns < 80
        assert "orphan" in line

    play(scene, sdmdev_host(), size=(columns, 24))


@pytest.mark.parametrize("size", [(80, 24), (60, 15)])
def test_where_one_pane_has_the_screen_tab_goes_from_pane_to_pane(size: tuple[int, int]) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        panes = ["tree", "inspector", "pasids", "interrupts", "events", "domains"]
        for name in [*panes[1:], panes[0]]:
            await pilot.press("tab")
            await pilot.pause()
            assert [pane.id for pane in on_screen(pilot)] == [name]
        for name in reversed(panes):
            await pilot.press("shift+tab")
            await pilot.pause()
            assert [pane.id for pane in on_screen(pilot)] == [name]

    play(scene, size=size)


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (120, 40)])
def test_escape_leads_back_to_the_tree_from_a_pane_that_covers_it(size: tuple[int, int]) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("6", "escape")
        await pilot.pause()
        assert pilot.app.focused is pilot.app.query_one("#tree")
        assert pilot.app.query_one("#tree") in on_screen(pilot)

    play(scene, size=size)


def test_a_filter_is_cleared_before_escape_leads_back() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"e1000", "enter", "2", "escape")
        await pilot.pause()
        assert pilot.app.query_one(TreePane).filter == ""

    play(scene, size=(80, 24))


def on_screen(pilot: Pilot[None]) -> list[LinesPane]:
    """The panes that have room."""
    return [pane for pane in pilot.app.query(LinesPane) if pane.region.area and pane.is_on_screen]


def test_the_picture_is_not_made_while_nobody_sees_it() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        domains = pilot.app.query_one(Domains)
        assert list(domains.keys) == []
        await pilot.press("6")
        await pilot.pause()
        assert len(domains.keys) > 2
        await pilot.press("1", "down")
        await pilot.pause()
        assert domains.size.height == 0

    play(scene)


@pytest.mark.long
@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 15)])
def test_each_pane_has_a_key_whatever_was_shown_before(size: tuple[int, int]) -> None:
    panes = {"1": "tree", "2": "inspector", "3": "pasids", "4": "interrupts", "5": "events",
             "6": "domains"}  # fmt: skip

    async def scene(pilot: Pilot[None]) -> None:
        for before in panes:
            for key, pane in panes.items():
                await pilot.press(before, key)
                await pilot.pause()
                shown = pilot.app.query_one(f"#{pane}")
                assert shown.size.height > 1, (before, key)
                assert shown.has_focus

    play(scene, size=size)


def test_enter_goes_to_what_a_line_is_about() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("4", "G")
        interrupts = pilot.app.query_one("#interrupts", LinesPane)
        assert interrupts.select("3")
        await pilot.press("enter")
        await pilot.pause()
        assert tree_of(pilot).cursor == NIC
        assert tree_of(pilot).has_focus
        await pilot.press("6", "g", "j", "enter")
        await pilot.pause()
        assert tree_of(pilot).cursor == NIC

    play(scene)


def test_a_pane_can_have_the_whole_screen_and_give_it_back() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("2", "z")
        await pilot.pause()
        inspector = pilot.app.query_one("#inspector")
        assert inspector.size.width == 120
        assert "z Back" in text_of(pilot, "footer")
        assert "the group's default domain, not what is attached now" in text_of(pilot, "inspector")
        await pilot.press("z")
        await pilot.pause()
        assert inspector.size.width < 60
        assert tree_of(pilot).size.height > 0

    play(scene)


async def remember(pilot: Pilot[None], *happenings: tuple[float, Kind, str]) -> None:
    """Have these (seconds ago, kind, text) happened to the network card."""
    app = app_of(pilot)
    for ago, kind, text in happenings:
        app.sampler.timeline.add(kind, NIC, text, time.time() - ago)
    app.on_console_fresh(app.Fresh(app.sampler, sampler_of(pilot).collector.sample()))
    await pilot.pause()


THREE: tuple[tuple[float, Kind, str], ...] = (
    (500.0, "added", "old one"),
    (30.0, "fault", "a fault"),
    (1.0, "changed", "a change"),
)


def test_the_timeline_can_be_cut_down_to_the_last_minute() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await remember(pilot, *THREE)
        await pilot.press("e", "s")
        await pilot.pause()
        text = text_of(pilot, "events")
        assert "5 Events (2 of 3, last minute)" in text
        assert "old one" not in text
        await pilot.press("s", "s")
        await pilot.pause()
        assert "old one" in text_of(pilot, "events")

    play(scene)


def test_the_last_minute_of_a_capture_is_the_one_before_it_was_taken() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        taken = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC).timestamp()
        ago = time.time() - taken
        await remember(pilot, (ago + 500.0, "added", "old one"), (ago + 30.0, "fault", "a fault"))
        await pilot.press("e", "s")
        await pilot.pause()
        assert "5 Events (1 of 2, last minute)" in text_of(pilot, "events")
        assert "a fault" in text_of(pilot, "events")

    host = box()
    host.taken_at = "2001-02-03T04:05:06Z"
    play(scene, host)


def test_the_timeline_can_be_asked() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await remember(pilot, *THREE)
        await pilot.press("e", "slash", *"kind:fa")
        await pilot.pause()
        assert "a fault" in text_of(pilot, "events")
        assert "a change" not in text_of(pilot, "events")
        assert len(tree_of(pilot).keys) == 5
        await pilot.press("enter")
        await pilot.pause()
        assert pilot.app.query_one(Events).has_focus
        assert "/kind:fa" in text_of(pilot, "events")
        await pilot.press("escape")
        await pilot.pause()
        assert "a change" in text_of(pilot, "events")

    play(scene)


def test_enter_on_an_event_goes_to_what_it_happened_to() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await remember(pilot, *THREE)
        await pilot.press("e", "G", "enter")
        await pilot.pause()
        assert tree_of(pilot).cursor == NIC
        assert PARENT in tree_of(pilot).keys

    play(scene)


def test_what_stands_in_the_way_of_vfio_is_never_cut() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        inspector = pilot.app.query_one("#inspector", LinesPane)
        shown = text_of(pilot, "inspector")
        words = " ".join(shown.split())
        assert "because 0000:00:01.0 is bound to a_driver_with_a_long_name" in words
        assert words.count("is bound to") == 1
        await pilot.press("2")
        seen = []
        for _ in range(6):
            await pilot.press("j")
            seen.append(int((inspector.cursor or "").split()[0]))
        assert seen == [1, 2, 3, 4, 5, 6]

    host = box()
    plug(host, PARENT, group=1, driver="a_driver_with_a_long_name")
    play(scene, host)


def test_what_is_read_tells_its_whole_name_with_what_it_means() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, NIC)
        await pilot.press("2", "G")
        inspector = pilot.app.query_one("#inspector", LinesPane)
        name = "Interrupt remapping (IR)"
        while name not in (inspector.cursor or ""):
            await pilot.press("k")
        await pilot.pause()
        shown = " ".join(text_of(pilot, "inspector").split())
        assert f"Interrupt rema… yes {name}: no: a device in user space can" in shown

    play(scene)


@pytest.mark.parametrize(
    "text",
    ["圧縮伸張暗号復号" * 8, "圧a縮b" * 20, "e\u0301" * 90],
    ids=["wide", "mixed", "combining"],
)
def test_of_characters_that_take_two_cells_none_is_lost(text: str) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, NIC)
        await pilot.press("2")
        await pilot.pause()
        inspector = pilot.app.query_one("#inspector", LinesPane)
        assert inspector.select(next(key for key in inspector.keys if key.endswith(" override")))
        await pilot.pause()
        shown = "".join(text_of(pilot, "inspector").split())
        assert "".join(text.split()) in shown

    host = box()
    host.put(f"/sys/devices/pci0000:00/{NIC}/driver_override", f"{text}\n")
    play(scene, host)


def test_a_meaning_of_which_next_to_nothing_would_be_left_gives_way() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, NIC)
        await pilot.pause()
        lines = [line.rstrip() for line in text_of(pilot, "inspector").splitlines()]
        assert "driver          e1000e" in lines
        await pilot.resize_terminal(200, 50)
        await pilot.pause()
        lines = [line.rstrip() for line in text_of(pilot, "inspector").splitlines()]
        assert "driver          e1000e            the kernel driver that is bound" in lines

    play(scene)


def test_what_the_shades_of_the_map_mean_is_never_cut() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("m")
        await pilot.pause()
        assert text_of(pilot, "interrupts").splitlines()[0].rstrip().endswith("(shades: x10)")

    play(scene, two_nodes())


def test_where_nothing_has_happened_the_events_say_so() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert "nothing has happened" in text_of(pilot, "events")

    play(scene)


async def press_and_read(pilot: Pilot[None], *keys: str) -> str:
    """What the footer says after these keys."""
    await pilot.press(*keys)
    await pilot.pause()
    return text_of(pilot, "footer").strip()


def copied_by(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(Console, "copy_to_clipboard", lambda _self, text: found.append(text))
    for name in ("TMUX", "SSH_TTY"):
        monkeypatch.delenv(name, raising=False)
    return found


def test_what_a_line_is_about_is_copied_and_the_way_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = copied_by(monkeypatch)

    async def scene(pilot: Pilot[None]) -> None:
        said = await press_and_read(pilot, "down", "y")
        assert said == f"copied over OSC 52, if the terminal allows that: {PARENT}"
        await press_and_read(pilot, "2", "y", "o", "y")
        await press_and_read(pilot, "4", "y")

    play(scene)
    assert found == [PARENT, "-", f"/sys/devices/pci0000:00/{PARENT}/modalias", PARENT]


def test_on_a_narrow_screen_a_sentence_has_the_rows_that_it_needs_while_it_is_said() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        tree = tree_of(pilot)
        console = app_of(pilot)
        await pilot.press("end", "z")
        await pilot.pause()
        *_, one, two = screen_lines(console)
        assert one == " Zoom: there is room for one pane only,"
        assert two == " and it has all of it"
        assert tree.size.height == 7
        # What is selected stays in sight.
        assert tree.cursor is not None
        assert 0 <= tree.keys.index(tree.cursor) - tree.scroll_offset.y < 6
        console.say("word " * 40)
        await pilot.pause()
        *_, one, two, three = screen_lines(console)
        assert one.startswith(" word word")
        assert three.endswith("…")
        assert tree.size.height == 6
        console.say("")
        await pilot.pause()
        assert tree.size.height == 8
        await pilot.press("slash", *"foo:x")
        await pilot.pause()
        *_, field, one, two = screen_lines(console)
        assert field == " foo:x"
        assert one == " ^ there is no field foo; put quotes"
        assert two == " around it to find the text"
        # What could be typed next is no reason for the panes to move.
        await pilot.press("ctrl+u")
        await pilot.pause()
        assert tree.size.height == 7
        await pilot.press("escape")
        await pilot.pause()
        assert tree.size.height == 8

    play(scene, size=(40, 10))


def test_where_a_sentence_has_room_nothing_moves_and_where_the_room_goes_it_folds() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        tree = tree_of(pilot)
        footer = pilot.app.query_one(FooterBar)
        height = tree.size.height
        app_of(pilot).say("a sentence that is longer than sixty cells, and has no eighty")
        await pilot.pause()
        assert tree.size.height == height
        await pilot.resize_terminal(40, 24)
        await pilot.pause()
        assert footer.size.height == 2
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert footer.size.height == 1

    play(scene, size=(80, 24))


@pytest.mark.parametrize("key", ["question_mark", "C", "ctrl+p"])
def test_the_keys_of_a_page_can_be_clicked_in_the_footer(key: str) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, NIC)
        await pilot.press("v", key)
        await pilot.pause()
        at = text_of(pilot, "footer").index("esc")
        assert len(pilot.app.screen_stack) == 2
        await pilot.click(offset=(at, pilot.app.size.height - 1))
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 1
        # The click closed the page, and did nothing more.
        assert tree_of(pilot).marked == (NIC,)

    play(scene)


def test_where_there_is_nothing_to_copy_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found = copied_by(monkeypatch)

    async def scene(pilot: Pilot[None]) -> None:
        assert "nothing to copy" in await press_and_read(pilot, "5", "y")

    play(scene)
    assert found == []


def test_the_screen_is_saved_where_the_footer_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sdmtop.tui.app.screens_directory", lambda: str(tmp_path))

    async def scene(pilot: Pilot[None]) -> None:
        said = await press_and_read(pilot, "S")
        assert said.startswith(f"saved {tmp_path}/sdmtop-")

    play(scene)
    (text,) = tmp_path.glob("*.txt")
    assert f"Inspector  {'group/1'}" in text.read_text()
    (picture,) = tmp_path.glob("*.svg")
    assert "font-face" not in picture.read_text()


def test_a_screen_that_cannot_be_saved_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("sdmtop.tui.app.screens_directory", lambda: str(tmp_path / "file" / "x"))

    async def scene(pilot: Pilot[None]) -> None:
        assert "the screen cannot be saved: " in await press_and_read(pilot, "S")

    play(scene)


def test_a_choice_of_columns_is_kept_in_the_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    monkeypatch.setattr("sdmtop.tui.app.config_file", lambda: str(path))

    async def scene(pilot: Pilot[None]) -> None:
        said = await press_and_read(pilot, "C", "x", "w")
        assert said == f"columns are kept in {path}"

    play(scene)
    assert path.read_text() == 'columns = ["state", "holder", "irq/s", "what"]\n'


@pytest.mark.parametrize(
    "name", ["磁盘控制器", "e\u0301te\u0301", "\U0001f600\U0001f600 x", "\uff57\uff49\uff44\uff45"]
)
def test_wide_and_combining_characters_leave_the_columns_where_they_are(name: str) -> None:
    host = box()
    plug(host, NIC, group=2, driver=name)

    async def scene(pilot: Pilot[None]) -> None:
        heading, *lines = text_of(pilot, "tree").splitlines()
        line = next(line for line in lines if NIC in line)
        at = cells(heading[: heading.index("STATE")])
        assert cells(line[: line.index("bound")]) == at
        assert cells(line) == cells(heading)

    play(scene, host)


@pytest.mark.parametrize("keys", [("4", "G"), ("3",), ("5",)])
def test_enter_says_where_a_line_is_about_nothing_in_the_tree(keys: tuple[str, ...]) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press(*keys)
        await pilot.pause()
        assert "Go to" not in text_of(pilot, "footer")
        await pilot.press("enter")
        await pilot.pause()
        assert "this line is about nothing in the tree" in text_of(pilot, "footer")

    play(scene, open_host(f"capture:{_CAPTURE}"))


def test_enter_is_offered_where_it_leads_to_the_tree() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await go_to(pilot, NIC)
        await pilot.press("4")
        for key, leads in (("G", False), ("g", True)):
            await pilot.press(key)
            await pilot.pause()
            assert ("Go to" in text_of(pilot, "footer")) is leads

    play(scene)
