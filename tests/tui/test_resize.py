"""A terminal whose size changes faster than a screen is laid out."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from textual import events
from textual.geometry import Size
from textual.pilot import Pilot
from textual.screen import Screen

from sdmtop.tui.bars import Bar
from sdmtop.tui.lines import LinesPane
from tests.hosts import PARENT, box
from tests.tui.still import console

ENOUGH = 20
"""Times that a screen may be laid out before it will never end."""


def _nothing() -> None:
    """Another message."""


def play(scene: Callable[[Pilot[None]], Any]) -> None:
    async def run() -> None:
        async with console(box()).run_test(size=(100, 30)) as pilot:
            await pilot.pause()
            await scene(pilot)

    asyncio.run(run())


@pytest.mark.parametrize("page", ["", "question_mark", "ctrl+p", "J", "a", "t"])
def test_two_sizes_that_wait_do_not_follow_each_other_for_ever(
    page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    laid_out = []
    refresh = Screen._refresh_layout

    def count(screen: Screen[Any], size: Size | None = None, scroll: bool = False) -> None:
        laid_out.append(size)
        assert len(laid_out) < ENOUGH, "it goes on for ever"
        refresh(screen, size, scroll)

    async def scene(pilot: Pilot[None]) -> None:
        pilot.app.query_one("#tree", LinesPane).select(PARENT)
        if page:
            await pilot.press(page)
        await pilot.pause()
        monkeypatch.setattr(Screen, "_refresh_layout", count)
        # As while the console starts: what is drawn waits, and other messages come in between.
        with pilot.app.batch_update():
            for size in (Size(101, 31), Size(90, 28)):
                pilot.app._size = size
                pilot.app.screen.post_message(events.Resize(size, size))
                pilot.app.screen.call_later(_nothing)
            await pilot.pause()
        await pilot.pause()
        assert pilot.app.screen.size == Size(90, 28)
        assert pilot.app.screen_stack[0].size == Size(90, 28)

    play(scene)


def test_the_header_is_as_wide_as_the_terminal_now() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        for columns in (120, 90):
            await pilot.resize_terminal(columns, 30)
            await pilot.pause()
            header = pilot.app.screen_stack[0].query_one("#header", Bar).render_line(0).text
            assert header.endswith("every 1s ")
            assert len(header) == columns

    play(scene)
