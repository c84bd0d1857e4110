"""The key t: what would be taken, the matrix as it fills, cancel, and the way back."""

import asyncio
import errno
import re
import threading
from collections.abc import Awaitable, Callable

import pytest
from textual.pilot import Pilot

from sdmtop.operations.journal import Journal, Judged
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.selftests.lease import Lender
from sdmtop.selftests.runner import Need
from sdmtop.selftests.trial import Trial
from sdmtop.tui.app import Console
from sdmtop.tui.bars import Bar
from sdmtop.tui.lines import LinesPane
from sdmtop.tui.selftests import Matrix, SelftestScreen
from sdmtop.tui.told import Lines
from tests.hosts import box
from tests.selftests.liar import LyingHost
from tests.tui.still import StillSampler, console, screen_lines, until

EDU = "0000:01:00.0"
Scene = Callable[[Pilot[None]], Awaitable[None]]


def play(host: LyingHost, scene: Scene) -> None:
    async def run() -> None:
        app = console(host)
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            assert app.query_one("#tree", LinesPane).select(EDU)
            await pilot.pause()
            await pilot.press("t")
            assert isinstance(app.screen, SelftestScreen)
            await until(pilot, lambda: "enter runs them" in head(pilot))
            await scene(pilot)

    asyncio.run(run())


def head(pilot: Pilot[None]) -> str:
    return text(pilot.app.screen.query_one("#tests-head", Bar))


def text(pane: Bar | LinesPane) -> str:
    return "\n".join(pane.render_line(y).text for y in range(pane.size.height))


def test_what_is_taken_is_shown_before_anything_is_done() -> None:
    host = LyingHost("edu")
    before = read_snapshot(host).devices

    async def scene(pilot: Pilot[None]) -> None:
        shown = "\n".join(
            pilot.app.screen.query_one(Lines).content(key)[0][0]
            for key in pilot.app.screen.query_one(Lines).keys
        )
        assert f"sdmtop selftest {EDU}" in shown
        assert "vfio-pci" in shown
        await pilot.press("escape")

    play(host, scene)
    assert read_snapshot(host).devices == before


def test_enter_fills_the_matrix_and_all_is_as_before() -> None:
    host = LyingHost("edu")
    before = read_snapshot(host).devices

    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await until(pilot, lambda: "passed" in head(pilot))
        assert "0 failed" in head(pilot)
        matrix = pilot.app.screen.query_one(Matrix)
        lines = {line.split()[0]: line for line in text(matrix).splitlines()[1:] if line.strip()}
        assert "✓ pass" in lines["edu.dma"]
        assert "- skip" in lines["iommufd.bind"]
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, SelftestScreen)

    play(host, scene)
    assert read_snapshot(host).devices == before


def test_what_came_of_the_last_run_stands_there_before_the_next() -> None:
    host = LyingHost("edu")

    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await until(pilot, lambda: "passed" in head(pilot))
        await pilot.press("escape")
        await pilot.pause()
        await pilot.press("t")
        await until(pilot, lambda: "enter runs them" in head(pilot))
        matrix = pilot.app.screen.query_one(Matrix)
        lines = {line.split()[0]: line for line in text(matrix).splitlines()[1:] if line.strip()}
        assert re.search(r"edu\.dma +pass \d+ s ago", lines["edu.dma"])
        await pilot.press("enter")
        await until(pilot, lambda: "passed" in head(pilot))
        assert matrix.select("edu.dma")
        await pilot.pause()
        shown = pilot.app.screen.query_one(Lines)
        assert any("before: 20" in shown.content(key)[0][0] for key in shown.keys)

    play(host, scene)


def test_what_is_written_first_is_shown_in_full_however_long_it_is() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.resize_terminal(60, 30)
        await pilot.pause()
        lines = pilot.app.screen.query_one(Lines)
        shown = "".join(lines.content(key)[0][0].strip() for key in lines.keys)
        assert f"/sys/devices/pci0000:00/0000:00:01.0/{EDU}/driver_override" in shown

    play(LyingHost("edu"), scene)


def test_a_failure_is_selected_with_its_evidence() -> None:
    host = LyingHost("edu")

    async def scene(pilot: Pilot[None]) -> None:
        host.reads = lambda at, data: b"\xff" * 4 if at & 0xFFFFF == 0 and len(data) == 4 else data
        await pilot.press("enter")
        await until(pilot, lambda: "passed" in head(pilot))
        matrix = pilot.app.screen.query_one(Matrix)
        assert matrix.select("edu.identity")
        await pilot.pause()
        assert "✗ FAIL" in text(matrix)
        shown = pilot.app.screen.query_one(Lines)
        assert any("0xffffffff (expected 0x010000ed)" in shown.content(key)[0][0]
                   for key in shown.keys)  # fmt: skip

    play(host, scene)


def test_what_is_left_behind_gets_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    host = LyingHost("edu")
    monkeypatch.setattr(Lender, "give_back", lambda _lender, _loan: None)

    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await until(pilot, lambda: "passed" in head(pilot))
        matrix = pilot.app.screen.query_one(Matrix)
        assert matrix.cursor == "selftest.restored"
        await pilot.pause()
        assert "selftest.restored" in text(matrix)
        shown = pilot.app.screen.query_one(Lines)
        lines = [shown.content(key)[0][0] for key in shown.keys]
        assert "there (expected not there)" in "\n".join(lines)

    play(host, scene)


def test_a_journal_that_cannot_be_written_hides_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_journal: Journal, _line: Judged) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(Journal, "test", full)

    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await until(pilot, lambda: "passed" in head(pilot))
        assert "0 failed" in head(pilot)
        assert "results are not kept: the journal cannot be written" in head(pilot)

    play(LyingHost("edu"), scene)


def test_closing_while_it_runs_cancels_and_gives_back_first() -> None:
    host = LyingHost("edu")
    before = read_snapshot(host).devices

    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, SelftestScreen))

    play(host, scene)
    assert read_snapshot(host).devices == before


def test_a_console_that_is_left_gives_back_what_the_tests_had_taken_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = LyingHost("edu")
    before = read_snapshot(host).sdmdevs
    begun, go_on = threading.Event(), threading.Event()
    say = Trial.say

    def slowly(trial: Trial, step: str) -> None:
        begun.set()
        go_on.wait(5)
        say(trial, step)

    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("enter")
        await until(pilot, begun.is_set)
        assert read_snapshot(host).sdmdevs != before
        await pilot.press("ctrl+q")
        await pilot.pause()
        assert pilot.app.return_code is None
        go_on.set()
        await until(pilot, lambda: pilot.app.return_code is not None)
        assert read_snapshot(host).sdmdevs == before

    monkeypatch.setattr(Trial, "say", slowly)
    play(host, scene)


def test_a_start_of_the_console_gives_back_what_a_killed_run_had_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = LyingHost("edu")
    before = read_snapshot(host).devices
    lender = Lender(host, confirmed=True)
    with monkeypatch.context() as killed:
        killed.setattr("sdmtop.operations.journal.os.getpid", lambda: 1 << 23)
        lender.lend(read_snapshot(host), EDU, Need(claims=True, queues=0))
    monkeypatch.setattr("sdmtop.operations.session.open_store", lambda _host: lender.store)

    async def run() -> None:
        app = Console(StillSampler(host), has_journal=True)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: bool(app.sampler.timeline.all()))
            (told,) = app.sampler.timeline.all()
            assert told.kind == "changed"
            assert told.text.endswith("left by a self-test that was killed: given back")
            await pilot.pause()  # What is said of it is on the screen before that goes.

    asyncio.run(run())
    assert read_snapshot(host).devices == before


def test_where_no_test_applies_the_footer_says_so_and_the_page_is_gone() -> None:
    async def run() -> None:
        app = console(LyingHost("edu"))
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            assert app.query_one("#tree", LinesPane).select("group/0")
            await pilot.press("t")
            await until(pilot, lambda: not isinstance(app.screen, SelftestScreen))
            await pilot.pause()
            assert "Self-test: no test applies to group/0" in screen_lines(app)[-1]

    asyncio.run(run())


def test_where_nothing_may_be_changed_the_key_says_why() -> None:
    async def run() -> None:
        app = console(box())
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            await pilot.press("t")
            await pilot.pause()
            assert not isinstance(app.screen, SelftestScreen)

    asyncio.run(run())
