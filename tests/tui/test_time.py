"""Going back in time while reading goes on."""

from textual.pilot import Pilot

from sdmtop.backends.tree import TreeHost
from sdmtop.collector import SLOW
from tests.hosts import box, plug, stat, unplug
from tests.tui.test_console import play, sampler_of, text_of, tree_of

CARD = "0000:00:03.0"


async def live_through(pilot: Pilot[None]) -> None:
    """A card comes, three quiet seconds pass, and it goes again."""
    host = sampler_of(pilot).host
    assert isinstance(host, TreeHost)
    plug(host, CARD, group=3)
    sampler_of(pilot).tick(SLOW)
    for second in range(3):
        host.put("/proc/stat", stat(0, 10 + second, 20, 30))
        sampler_of(pilot).tick()
    unplug(host, CARD, group=3)
    sampler_of(pilot).tick(SLOW)
    await pilot.pause()


def test_brackets_step_through_the_moments_that_were_seen() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await live_through(pilot)
        assert CARD not in tree_of(pilot).keys
        await pilot.press("left_square_bracket")
        await pilot.pause()
        assert CARD in tree_of(pilot).keys
        assert f"{CARD} is gone" not in text_of(pilot, "events")
        assert "PAUSED at " in text_of(pilot, "header")
        await pilot.press("right_square_bracket")
        await pilot.pause()
        assert CARD not in tree_of(pilot).keys
        assert "PAUSED at " in text_of(pilot, "header")

    play(scene)


def test_rates_are_those_of_the_moment_shown() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        host = sampler_of(pilot).host
        assert isinstance(host, TreeHost)
        for count in (10, 787, 790):
            host.put("/proc/stat", stat(0, count, 20, 30))
            sampler_of(pilot).tick()
        await pilot.pause()
        assert "777" not in text_of(pilot, "tree")
        await pilot.press("left_square_bracket")
        await pilot.pause()
        assert "777" in text_of(pilot, "tree")

    play(scene)


def test_braces_leap_from_event_to_event() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await live_through(pilot)
        await pilot.press("left_curly_bracket")
        await pilot.pause()
        assert CARD in tree_of(pilot).keys
        assert f"{CARD} appeared" in text_of(pilot, "events")
        await pilot.press("right_curly_bracket")
        await pilot.pause()
        assert CARD not in tree_of(pilot).keys

    play(scene)


def test_where_no_older_moment_is_kept_that_is_said() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("left_square_bracket")
        await pilot.pause()
        assert "no older moment is kept" in text_of(pilot, "footer")

    play(scene)


def test_p_goes_back_to_the_newest_moment() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await live_through(pilot)
        await pilot.press("left_square_bracket", "p")
        await pilot.pause()
        assert CARD not in tree_of(pilot).keys
        assert "PAUSED" not in text_of(pilot, "header")

    play(scene)


def test_what_only_a_recording_can_do_is_refused_with_the_reason() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("greater_than_sign")
        await pilot.pause()
        assert "only a recording can do that" in text_of(pilot, "footer")

    play(scene)


def test_of_a_capture_time_cannot_be_stopped() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        assert "Pause" not in text_of(pilot, "footer")
        for key in ("p", "left_square_bracket", "right_curly_bracket"):
            await pilot.press(key)
            await pilot.pause()
            assert "a capture is one moment" in text_of(pilot, "footer")
            assert "PAUSED" not in text_of(pilot, "header")

    host = box()
    host.taken_at = "2001-02-03T04:05:06Z"
    play(scene, host)


def test_only_what_another_moment_may_allow_is_said_to_be_of_this_one() -> None:
    async def scene(pilot: Pilot[None]) -> None:
        await pilot.press("p", "greater_than_sign")
        await pilot.pause()
        assert "only a recording can do that" in text_of(pilot, "footer")
        assert "p goes on" not in text_of(pilot, "footer")

    play(scene)
