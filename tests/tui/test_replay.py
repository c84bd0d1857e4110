"""The console on a recording."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from sdmtop.recorder import Recorder
from sdmtop.replay import Replayer
from sdmtop.tui.app import Console
from tests.samples import CARD, life
from tests.tui.session import Session
from tests.tui.test_console import text_of, tree_of

Play = Callable[[Pilot[None]], Awaitable[None]]

MOMENTS = life("irq", "plug", "irq", "irq", "unplug", "irq")


@pytest.fixture
def path(tmp_path: Path) -> str:
    name = str(tmp_path / "box.recording")
    with Recorder(name, most_bytes=1 << 30, most_seconds=1e9) as recorder:
        for sample in MOMENTS:
            recorder.add(sample)
    return name


def play(path: str, scene: Play, size: tuple[int, int] = (120, 30)) -> None:
    """Run a scene on the console of a recording, held at its second moment."""

    async def run() -> None:
        app = Console(Replayer(f"replay:{path}?at=+1"))
        async with app.run_test(size=size) as pilot:
            await shown(pilot, 1)
            await scene(pilot)

    asyncio.run(run())


async def shown(pilot: Pilot[None], number: int) -> None:
    """Wait until this moment is on the screen."""
    assert isinstance(pilot.app, Console)
    for _ in range(1000):
        await pilot.pause(0.01)
        if pilot.app.sample is not None and pilot.app.sample.at == MOMENTS[number].at:
            return
    raise AssertionError(f"moment {number} is not shown: {text_of(pilot, 'header')}")


def test_it_is_a_replay_and_cannot_change_anything(path: str) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert "[REPLAY] [READ-ONLY]  box" in text_of(pilot, "header")
        assert "PAUSED at" in text_of(pilot, "header")
        assert "p Play" in text_of(pilot, "footer")

    play(path, scene)


def test_the_scrubber_has_the_events_and_the_moment(path: str) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        line = text_of(pilot, "scrubber")
        assert line.count("!") == 2
        assert line.index("●") < line.index("!")
        await pilot.press("right_curly_bracket", "right_curly_bracket")
        assert text_of(pilot, "scrubber").count("!") == 1

    play(path, scene)


def test_keys_go_from_moment_to_moment_and_from_event_to_event(path: str) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert CARD not in tree_of(pilot).keys
        await pilot.press("right_square_bracket")
        await shown(pilot, 2)
        assert CARD in tree_of(pilot).keys
        await pilot.press("right_curly_bracket")
        await shown(pilot, 5)
        assert f"{CARD} is gone" in text_of(pilot, "events")
        await pilot.press("right_curly_bracket")
        await pilot.pause()
        assert "no later event is kept" in text_of(pilot, "footer")
        await pilot.press("left_square_bracket")
        await shown(pilot, 4)

    play(path, scene)


def test_p_plays_and_the_speed_is_shown(path: str) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        # So slowly that it is still playing when a busy machine comes to look.
        await pilot.press(*["less_than_sign"] * 2, "p")
        assert "PLAYING x0.25" in text_of(pilot, "header")
        await pilot.press(*["greater_than_sign"] * 8)
        await shown(pilot, 6)

    play(path, scene)


def test_a_click_on_the_scrubber_goes_there(path: str) -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.click("#scrubber", offset=(109, 0))
        await shown(pilot, 6)
        await pilot.click("#scrubber", offset=(10, 0))
        await shown(pilot, 0)
        await pilot.press("right_parenthesis")
        await shown(pilot, 1)

    play(path, scene)


@pytest.mark.tty
def test_in_a_terminal_it_plays_obeys_keys_and_leaves_nothing_behind(path: str) -> None:
    with Session("replay", path, "--at", "+1") as session:
        session.wait_for("[REPLAY]")
        session.wait_for("PAUSED at")
        session.type("}")
        session.wait_for(CARD)
        session.type(">p")
        session.wait_for("PLAYING x2")
        session.type("q")
        assert session.wait_for_exit() == 0
        assert session.leftovers() == []
