"""The questions that an operator comes with: each is answered in three keys at most from the start.

No line has to be looked for first: what is asked about is what the console shows by itself.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from sdmtop.backends.base import open_host
from tests.tui.still import StillSampler, console

MOST_KEYS = 3
TREES = Path(__file__).parents[1] / "trees"
DEFAULT = "sim:default?seed=7&at=10"
BROKEN = "sim:broken?seed=7&at=10"
BLIND = f"capture:{TREES}/debian-6.12-intel-sdmdev.tar.xz"


def answer(url: str, keys: tuple[str, ...], pane: str) -> str:
    """What a pane says after these keys, a few seconds after the start."""
    assert len(keys) <= MOST_KEYS

    async def run() -> str:
        app = console(open_host(url))
        async with app.run_test(size=(160, 50)) as pilot:
            await pilot.pause()
            await pass_time(pilot)
            await pilot.press(*keys)
            await pass_time(pilot)
            widget = app.screen_stack[0].query_one(f"#{pane}")
            return "\n".join(widget.render_line(y).text for y in range(widget.size.height))

    return asyncio.run(run())


async def pass_time(pilot: Pilot[None]) -> None:
    """Let seconds pass, where there is time."""
    app: Any = pilot.app
    sampler = app.sampler
    assert isinstance(sampler, StillSampler)
    for _ in range(6):
        if hasattr(sampler.host, "step"):
            sampler.host.step(1)
        sampler.tick()
        await pilot.pause()


def lines_of(text: str, *words: str) -> list[str]:
    """The lines that have all these words."""
    return [line for line in text.splitlines() if all(word in line for word in words)]


@pytest.mark.parametrize("url", [DEFAULT, BROKEN])
def test_who_shares_this_domain(url: str) -> None:
    text = answer(url, ("6",), "domains")
    lines = text.splitlines()
    head = next(at for at, line in enumerate(lines) if "group" in line and "; shared by" in line)
    assert lines_of("\n".join(lines[head + 1 : head + 4]), "sdmdev", "held by")


def test_who_holds_this_group() -> None:
    text = answer(DEFAULT, (), "tree")
    assert lines_of(text, "group 5", "vfio", "2210 qemu")


def test_who_holds_it_is_not_told_as_nobody_where_it_cannot_be_told() -> None:
    assert lines_of(answer(BLIND, (), "inspector"), "holders", "cannot tell")


@pytest.mark.parametrize("keys", [(), ("3",)])
def test_which_pasid_is_whose(keys: tuple[str, ...]) -> None:
    text = answer(DEFAULT, keys, "pasids")
    assert lines_of(text, "0000:75:00.0", "1812", "/sys/bus/mdev/devices/")


def test_which_interrupt_wakes_whom() -> None:
    text = answer(DEFAULT, ("4", "s", "z"), "interrupts")
    assert lines_of(text, "hisi_zip", "wakes 2", "0000:75:00.0")


def test_how_often_on_which_cpu_and_how_far_from_its_node() -> None:
    text = answer(DEFAULT, ("4", "z"), "interrupts")
    heading = text.splitlines()[0]
    assert all(word in heading for word in ("/S", "CPU", "DIST"))
    assert lines_of(text, "nvme0q4", "5!", " 21 ")
    assert lines_of(text, "nvme0q1", " 2 ", " 10 ")


def test_the_same_as_a_map_of_cpus() -> None:
    text = answer(DEFAULT, ("m", "z"), "interrupts")
    assert "0123│4567" in text.splitlines()[0]
    assert lines_of(text, "nvme0q4", "│", " 21 ")


def test_an_interrupt_storm_stands_out() -> None:
    text = answer(BROKEN, ("4", "s"), "interrupts")
    rates = [line[6:11].strip() for line in text.splitlines()[1:4]]
    assert rates[0].endswith("k") or float(rates[0]) >= float(rates[1])
    assert rates[0] not in ("", "0")


def test_why_this_cannot_be_attached() -> None:
    text = answer(BROKEN, (), "inspector")
    assert lines_of(text, "viable", "no")
    assert lines_of(text, "because", "0000:01:00.0 is bound to hisi_zip")


@pytest.mark.parametrize("url", [DEFAULT, BROKEN])
def test_what_changed_in_the_last_minute(url: str) -> None:
    text = answer(url, ("e", "s"), "events")
    assert "last minute" in text.splitlines()[0]
    assert len([line for line in text.splitlines()[1:] if line.strip()]) > 0
