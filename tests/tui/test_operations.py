"""The keys a d c x m u J: the plan first, confirmed, carried out, taken back."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input, Static

from sdmtop.backends.base import Write
from sdmtop.backends.simulator.host import SimulatorHost
from sdmtop.backends.simulator.scenario import read_scenario
from sdmtop.operations.attach import plan_attach
from sdmtop.operations.plan import Verdict, VerdictKind
from sdmtop.operations.words import verdict_lines
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.text import cell
from sdmtop.tui.app import Console
from sdmtop.tui.bars import FooterBar
from sdmtop.tui.lines import LinesPane
from sdmtop.tui.operations import JournalScreen, PlanScreen
from sdmtop.tui.told import Lines
from sdmtop.tui.tree import TreePane
from tests.operations.bench import (
    EDU,
    NIC,
    PF,
    SCENARIO,
    TWIN,
    UACCE,
    UUID,
    ZIP,
    Bench,
    Faulty,
    Killed,
)
from tests.tui.still import StillSampler, console, screen_lines, until

Scene = Callable[[Pilot[None]], Awaitable[None]]


def play(host: SimulatorHost, scene: Scene, size: tuple[int, int] = (120, 40)) -> None:
    async def run() -> None:
        app = console(host)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await scene(pilot)

    asyncio.run(run())


@pytest.fixture
def host() -> SimulatorHost:
    return SimulatorHost(read_scenario(SCENARIO, "bench.toml"))


async def mark(pilot: Pilot[None], *targets: str) -> LinesPane:
    """Mark lines of the tree."""
    tree = pilot.app.query_one("#tree", LinesPane)
    for target in targets:
        tree.select(target)
        await pilot.pause()
        await pilot.press("v")
    return tree


async def plan(pilot: Pilot[None], key: str, target: str) -> None:
    """Press a key on a target, and wait for the plan."""
    assert pilot.app.query_one("#tree", LinesPane).select(target)
    await pilot.pause()
    await pilot.press(key)
    assert isinstance(pilot.app.screen, PlanScreen)
    await until(pilot, lambda: "looking at" not in shown(pilot))
    await pilot.pause()


def screen_text(pilot: Pilot[None]) -> str:
    return "\n".join(screen_lines(pilot.app))


def shown(pilot: Pilot[None], pane: str = "plan") -> str:
    lines = pilot.app.screen.query_one(f"#{pane}", Lines)
    return "\n".join(lines.content(key)[0][0].rstrip() for key in lines.keys)


def demand(pilot: Pilot[None]) -> str:
    return str(pilot.app.screen.query_one("#demand", Static).content)


def driver(host: SimulatorHost, address: str) -> str | None:
    return next(one.driver for one in read_snapshot(host).devices if one.address == address)


def go(pilot: Pilot[None]) -> Button:
    return pilot.app.screen.query_one("#go", Button)


def is_over(pilot: Pilot[None]) -> bool:
    return str(pilot.app.screen.query_one("#cancel", Button).label) == "Close"


def test_the_plan_is_shown_and_cancel_has_the_focus(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await plan(pilot, "a", EDU)
        assert f"sdmtop attach {EDU}" in shown(pilot)
        assert "write 'vfio-pci' to" in shown(pilot)
        assert pilot.app.focused is pilot.app.screen.query_one("#cancel", Button)
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(pilot.app.screen, PlanScreen))
        assert driver(host, EDU) is None

    play(host, scene)


def test_go_on_does_it_and_the_result_is_told(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await plan(pilot, "a", EDU)
        go(pilot).press()
        await until(pilot, lambda: is_over(pilot))
        assert "done: plan 1" in shown(pilot)
        # When it came, and not when the dialog is closed.
        events = cast(Console, pilot.app).sampler.timeline.all()
        assert any(one.text.startswith("done: plan 1") for one in events)
        assert driver(host, EDU) == "vfio-pci"
        await pilot.press("tab", "enter")
        await until(pilot, lambda: not isinstance(pilot.app.screen, PlanScreen))
        await plan(pilot, "d", EDU)
        go(pilot).press()
        await until(pilot, lambda: is_over(pilot))
        assert driver(host, EDU) is None

    play(host, scene)


def test_a_console_that_is_ended_takes_back_what_was_done_first(
    host: SimulatorHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    write = host.write

    def slowly(path: str, data: bytes) -> Write:
        begun.set()
        go_on.wait(20)
        return write(path, data)

    async def scene(pilot: Pilot[None]) -> None:
        await plan(pilot, "a", ZIP)
        pilot.app.screen.query_one(Input).value = ZIP
        await pilot.pause()
        go(pilot).press()
        await until(pilot, begun.is_set)
        await pilot.press("ctrl+q")  # Textual's own key.
        for _ in range(2):  # As the terminal that goes, and its signal.
            cast(Console, pilot.app).terminal_lost()
        await pilot.pause()
        assert pilot.app.is_running
        assert pilot.app.return_code is None
        go_on.set()
        await until(pilot, lambda: pilot.app.return_code is not None)
        assert pilot.app.return_code == 0  # The first of them counts.

    before = read_snapshot(host).sdmdevs
    monkeypatch.setattr(host, "write", slowly)
    play(host, scene)
    assert driver(host, ZIP) == "hisi_zip"
    assert read_snapshot(host).sdmdevs == before


class Late:
    """A write that returns once `go_on` is set, or after so many times of waiting for it."""

    pid = None

    def __init__(self, write: Write, go_on: threading.Event) -> None:
        self._write = write
        self._go_on = go_on
        self._asked = 0

    def wait(self, seconds: float) -> bool:
        self._asked += 1
        return (self._go_on.wait(0.05) or self._asked > 200) and self._write.wait(seconds)

    def result(self) -> None:
        self._write.result()


def test_escape_is_answered_while_a_step_waits(
    host: SimulatorHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    write = host.write

    async def scene(pilot: Pilot[None]) -> None:
        await plan(pilot, "a", ZIP)
        pilot.app.screen.query_one(Input).value = ZIP
        await pilot.pause()
        go(pilot).press()
        await until(pilot, lambda: ": waits for" in demand(pilot))
        await pilot.press("escape")
        await pilot.pause(0.2)  # More of its waiting is told meanwhile.
        assert ": waits for" in demand(pilot)
        assert "stopping" in demand(pilot)
        assert "\\x0a" not in demand(pilot)
        go_on.set()
        await until(pilot, lambda: "undone" in shown(pilot))

    monkeypatch.setattr(host, "write", lambda path, data: Late(write(path, data), go_on))
    play(host, scene)
    assert driver(host, ZIP) == "hisi_zip"


def test_what_is_in_doubt_is_typed_in_full(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await plan(pilot, "a", NIC)
        assert f"type in full: {NIC}" in demand(pilot)
        assert go(pilot).disabled
        field = pilot.app.screen.query_one(Input)
        assert field.has_class("-asked")
        field.value = NIC[:-1]
        await pilot.pause()
        assert go(pilot).disabled
        field.value = NIC
        await pilot.pause()
        assert not go(pilot).disabled
        go(pilot).press()
        await until(pilot, lambda: is_over(pilot))
        assert (driver(host, NIC), driver(host, TWIN)) == ("vfio-pci", "vfio-pci")

    play(host, scene)


def test_what_is_written_is_shown_in_full_however_long_it_is(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.resize_terminal(60, 30)
        await pilot.pause()
        await plan(pilot, "a", NIC)
        path = f"/sys/devices/pci0000:00/0000:00:1c.0/{NIC}/driver_override"
        assert path in "".join(shown(pilot).split())

    play(host, scene)


@pytest.mark.parametrize("columns", [60, 80])
def test_the_rest_of_a_verdict_stands_below_what_it_is_about(
    host: SimulatorHost, columns: int
) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.resize_terminal(columns, 24)
        await pilot.pause()
        await plan(pilot, "a", NIC)
        lines = shown(pilot).splitlines()
        verdicts = lines[lines.index(" What it would cost") + 1 : lines.index(" Steps") - 1]
        assert len(verdicts) > sum(line[3] in "+!?x" for line in verdicts) > 0
        assert {line[:13].strip() for line in verdicts} <= {"", "+ safe", "! unsafe", "? unknown"}
        assert all(line[13] != " " for line in verdicts)

    play(host, scene)


@pytest.mark.parametrize(
    ("kind", "style"),
    [("safe", "good"), ("unsafe", "warn"), ("unknown", "warn"), ("refused", "bad")],
)
def test_a_verdict_has_the_colour_of_what_it_says(
    host: SimulatorHost, kind: VerdictKind, style: str
) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await plan(pilot, "a", NIC)
        lines = pilot.app.screen.query_one(Lines)
        (line, *_) = verdict_lines(Verdict(kind, NIC, "what it says", ()))
        for shown in (line, f" {line}"):  # As in a result, and as in the dialog.
            lines.tell("", [shown])
            assert lines.content("0") == ((cell(shown, lines.line_width), style),)

    play(host, scene)


def test_the_dialog_tells_without_colours_what_enter_does(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.resize_terminal(60, 24)
        await pilot.pause()
        await plan(pilot, "a", NIC)
        *_, buttons, hint, _, _ = [line.strip("│ ") for line in screen_lines(pilot.app)]
        assert "o only the targets" in hint
        assert buttons.startswith("▸ Cancel ◂")
        assert buttons.endswith("(Go on)")
        assert f"type in full: {NIC}" in " ".join(demand(pilot).split())
        await pilot.press("tab", *NIC, "enter")
        await pilot.pause()
        assert any("Cancel " in line and "▸ Go on ◂" in line for line in screen_lines(pilot.app))

    play(host, scene)


def test_all_of_a_plan_can_be_read_while_cancel_has_the_focus(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.resize_terminal(60, 15)
        await pilot.pause()
        await plan(pilot, "a", NIC)
        seen = screen_lines(pilot.app)
        for _ in range(30):
            await pilot.press("pagedown")
            await pilot.pause()
            seen += screen_lines(pilot.app)
        told = [line.strip() for line in shown(pilot).splitlines()]
        assert [line for line in told if not any(line in one for one in seen)] == []
        await pilot.press("pageup", "down", "up")
        assert isinstance(pilot.app.focused, Button)
        await pilot.press(*["pageup"] * 30)
        await pilot.pause()
        assert any(f"sdmtop attach {NIC}" in line for line in screen_lines(pilot.app))

    play(host, scene)


def test_tab_leads_from_cancel_to_what_is_typed_and_on_to_go_on(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await plan(pilot, "a", NIC)
        await pilot.press("tab", *NIC)
        await pilot.pause()
        assert any(NIC in line and "Go on" in line for line in screen_lines(pilot.app))
        await pilot.press("enter")
        await pilot.pause()
        assert pilot.app.focused is go(pilot)
        assert driver(host, NIC) == "e1000e"
        await pilot.press("enter")
        await until(pilot, lambda: is_over(pilot))
        assert driver(host, NIC) == "vfio-pci"

    play(host, scene)


def test_o_plans_for_the_targets_only(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await plan(pilot, "a", NIC)
        assert f"bind {TWIN} to vfio-pci" in shown(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "--only" in shown(pilot))
        assert f"bind {TWIN} to vfio-pci" not in shown(pilot)

    play(host, scene)


def test_what_is_refused_cannot_be_gone_on_with(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        bridge = ("0000:00:1c.0",)  # The key itself would not plan that.
        app: Any = pilot.app
        app._operate(
            "Attach", lambda means, _: plan_attach(means.host, means.snapshot, bridge), bridge
        )
        await pilot.pause()
        await until(pilot, lambda: demand(pilot).startswith("Refused: "))
        assert "it is a bridge" in demand(pilot)
        assert go(pilot).disabled
        assert not pilot.app.screen.query_one(Input).has_class("-asked")

    play(host, scene)


def test_a_host_that_may_not_be_changed_says_so_at_the_key(host: SimulatorHost) -> None:
    host.disarmed = "not today"

    async def scene(pilot: Pilot[None]) -> None:
        pilot.app.query_one("#tree", LinesPane).select(EDU)
        await pilot.pause()
        await pilot.press("a")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, PlanScreen)
        footer = pilot.app.query_one(FooterBar).render_line(0).text
        assert "Attach: not today" in footer

    play(host, scene)


def test_what_was_never_attached_is_not_offered_to_be_detached(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        tree = pilot.app.query_one("#tree", LinesPane)
        footer = pilot.app.query_one(FooterBar)
        assert tree.select(PF)
        await pilot.pause()
        assert "Detach" not in footer.render_line(0).text
        await pilot.press("d")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, PlanScreen)
        assert f"Detach: {PF} is not attached" in footer.render_line(0).text

    play(host, scene)


def test_where_there_is_no_plan_the_dialog_is_as_small_as_its_sentence(
    host: SimulatorHost,
) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        pilot.app.query_one("#tree", LinesPane).select(EDU)
        await pilot.pause()
        app: Any = pilot.app
        app._undo(None)
        await pilot.pause()
        await until(pilot, lambda: is_over(pilot))
        await pilot.pause()
        lines = screen_lines(pilot.app)
        top, bottom = (
            next(row for row, line in enumerate(lines) if corner in line) for corner in "╭╰"
        )
        assert bottom - top < 10
        assert any("not done: the journal has nothing to undo" in line for line in lines)

    play(host, scene)


def test_the_footer_forgets_the_marks_with_the_tree(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        tree = cast(TreePane, await mark(pilot, EDU, "0000:03:00.1"))
        await plan(pilot, "a", EDU)
        go(pilot).press()
        await until(pilot, lambda: is_over(pilot))
        sampler = cast(StillSampler, cast(Console, pilot.app).sampler)
        sampler.subscribe(lambda _: None)  # No sample comes that would have it made anew.
        await pilot.press("enter")
        await until(pilot, lambda: not tree.marked)
        await pilot.pause()
        assert "marked" not in screen_text(pilot)

    play(host, scene)


def test_several_that_are_marked_are_one_plan(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await mark(pilot, EDU, "0000:03:00.1")
        await plan(pilot, "a", ZIP)
        assert f"sdmtop attach {EDU} 0000:03:00.1" in shown(pilot)

    play(host, scene)


def test_marked_lines_are_counted_where_a_filter_hides_them_and_escape_unmarks_them(
    host: SimulatorHost,
) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        tree = await mark(pilot, EDU, "0000:03:00.1")
        await pilot.press("slash", *"hisi_zip", "enter")
        await pilot.pause()
        assert "2 marked  /hisi_zip" in screen_text(pilot)
        tree.select(ZIP)
        await pilot.pause()
        assert "a Attach 2 marked" in screen_text(pilot)
        for left in ("2 marked", ""):
            await pilot.press("escape")
            await pilot.pause()
            assert ("2 marked" in screen_text(pilot)) is bool(left)

    play(host, scene)


@pytest.mark.parametrize(("size", "key"), [((80, 24), ""), ((120, 40), "z")])
def test_escape_unmarks_where_the_tree_is_alone_on_the_screen(
    host: SimulatorHost, size: tuple[int, int], key: str
) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await mark(pilot, EDU)
        await pilot.press(*key)
        await pilot.pause()
        assert "esc Unmark" in screen_text(pilot)
        await pilot.press("escape")
        await pilot.pause()
        assert "esc Unmark" not in screen_text(pilot)
        assert "1 marked" not in screen_text(pilot)

    play(host, scene, size)


@pytest.mark.parametrize("key", ["", "u", "t"])
def test_what_an_operation_takes_out_of_the_filter_is_selected_when_that_is_cleared(
    host: SimulatorHost, key: str
) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        tree = pilot.app.query_one(TreePane)
        tree.find("kind:device !driver:vfio-pci")
        await plan(pilot, "a", EDU)
        go(pilot).press()
        await until(pilot, lambda: is_over(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: EDU not in tree.keys)
        neighbour = tree.cursor
        if key:  # What is begun on the neighbour makes it the choice.
            await pilot.press(key, "escape")
            await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        await pilot.press("escape")
        await pilot.pause()
        assert tree.cursor == (neighbour if key else EDU)

    play(host, scene)


def test_an_sdmdev_is_held_by_the_console_until_it_is_detached(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        for key, state in (("a", "started"), ("d", "orphan")):
            await plan(pilot, key, UUID)
            go(pilot).press()
            await until(pilot, lambda: is_over(pilot))
            (queue,) = [one for one in read_snapshot(host).sdmdevs if one.id == UUID]
            assert queue.state == state
            await pilot.press("enter")
            await until(pilot, lambda: not isinstance(pilot.app.screen, PlanScreen))

    play(host, scene)


def test_a_queue_that_the_console_holds_is_attached_already(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await plan(pilot, "a", UACCE)
        go(pilot).press()
        await until(pilot, lambda: is_over(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(pilot.app.screen, PlanScreen))
        await pilot.press("a")
        await until(pilot, lambda: "attached already" in shown(pilot))
        (queue,) = [one for one in read_snapshot(host).sdmdevs if one.id == UACCE]
        assert queue.holders

    play(host, scene)


def test_create_remove_and_undo(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await plan(pilot, "c", ZIP)
        go(pilot).press()
        await until(pilot, lambda: is_over(pilot))
        assert len(read_snapshot(host).sdmdevs) == 3
        await pilot.press("enter")
        await plan(pilot, "u", ZIP)
        assert "sdmtop undo 1" in shown(pilot)
        go(pilot).press()
        await until(pilot, lambda: is_over(pilot))
        assert len(read_snapshot(host).sdmdevs) == 2
        await pilot.press("enter")
        await plan(pilot, "x", UUID)
        go(pilot).press()
        await until(pilot, lambda: is_over(pilot))
        assert len(read_snapshot(host).sdmdevs) == 1

    play(host, scene)


def test_the_journal_shows_what_was_done_and_undoes_it(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("J")
        assert not isinstance(pilot.app.screen, JournalScreen)
        await plan(pilot, "a", EDU)
        go(pilot).press()
        await until(pilot, lambda: is_over(pilot))
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(pilot.app.screen, PlanScreen))
        await pilot.press("J")
        await pilot.pause()
        assert isinstance(pilot.app.screen, JournalScreen)
        assert f"sdmtop attach {EDU}" in shown(pilot, "plans")
        await until(pilot, lambda: f"bind {EDU} to vfio-pci: done" in shown(pilot, "entry"))
        await pilot.press("u")
        await until(pilot, lambda: isinstance(pilot.app.screen, PlanScreen))
        await until(pilot, lambda: "sdmtop undo 1" in shown(pilot))

    play(host, scene)


def test_of_the_journal_the_rest_of_a_plan_can_be_done(
    host: SimulatorHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdmtop.operations.journal.os.getpid", lambda: 1 << 23)  # It has ended.
    bench = Bench(cast(Any, Faulty(host, 1, "killed before")))
    with pytest.raises(Killed):
        bench.run(plan_attach(*bench.now, [EDU]))
    assert driver(host, EDU) is None
    monkeypatch.setattr("sdmtop.operations.session.open_store", lambda _: bench.store)

    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("J", "f")
        await until(pilot, lambda: isinstance(pilot.app.screen, PlanScreen))
        await until(pilot, lambda: "looking at" not in shown(pilot))
        assert "sdmtop undo --finish 1" in shown(pilot)
        go(pilot).press()
        await until(pilot, lambda: is_over(pilot))
        assert driver(host, EDU) == "vfio-pci"

    play(host, scene)


def test_what_fails_before_it_begins_is_told(host: SimulatorHost) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await plan(pilot, "u", EDU)
        await until(pilot, lambda: is_over(pilot))
        assert "not done: the journal has nothing to undo" in shown(pilot)

    play(host, scene)
