"""Makes the pictures in this directory: `make screenshots`, from the top of the checkout.

Each is the real console on a simulated host, driven through Textual's pilot. Seed and clock are
fixed, so the same program gives the same bytes. Of each picture there is an SVG, which a test
compares with what the console looks like now, and a PNG where `rsvg-convert` is installed.
"""

import asyncio
import itertools
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple
from unittest import mock
from uuid import UUID

from textual.pilot import Pilot

from sdmtop.backends.base import open_host
from sdmtop.backends.simulator.host import SimulatorHost
from sdmtop.tui.bars import Bar
from sdmtop.tui.lines import LinesPane
from sdmtop.tui.selftests import Matrix
from sdmtop.tui.told import Lines
from tests.tui.still import StillSampler, console

HERE = Path(__file__).parent

NOON = 1_782_302_400
"""2026-06-24 12:00:00 UTC: a minute later the pictures are made."""

_MINUTE = 60

_UP = 10
"""Seconds that the simulated hosts are up at noon."""

FONT = "DejaVu Sans Mono, monospace"
FONT_SIZE = 20.264
"""Pixels at which this font is as wide as the cells that Rich draws, 12.2 pixels: `rsvg-convert`
does not stretch text to its cells, as a browser does."""

_WIDTH = 1200


class Picture(NamedTuple):
    """What to show: a host a minute later, the size of the terminal, what is selected and done."""

    name: str
    host: str
    size: tuple[int, int]
    target: str
    keys: tuple[str, ...] = ()
    then: Callable[[Pilot[None]], Awaitable[None]] | None = None


async def with_a_plan(pilot: Pilot[None]) -> None:
    """Wait for the plan, and type what it asks for."""
    lines = pilot.app.screen.query_one(Lines)
    await _until(pilot, lambda: len(lines.keys) > _A_PLAN)
    await pilot.press("tab", *"0000:07:01.0", "enter")


async def with_results(pilot: Pilot[None]) -> None:
    """Run the self-tests to their end."""
    matrix = pilot.app.screen.query_one(Matrix)
    await _until(pilot, lambda: bool(matrix.keys))
    await pilot.press("enter")
    head = pilot.app.screen.query_one("#tests-head", Bar)
    await _until(pilot, lambda: " passed, " in head.render_line(0).text)
    matrix.select("sdmdev.interrupt")


_A_PLAN = 5
"""Lines that stand in the dialog before there is a plan, at most."""


def _uuid(number: int) -> UUID:
    return UUID(int=number << 112)


async def _until(pilot: Pilot[None], come: Callable[[], bool]) -> None:
    while not come():
        await pilot.pause(0.01)
    await pilot.pause()


PICTURES = (
    Picture("tree-120x40", "default", (120, 40), "8d116ece-1738-47d9-bd9c-172411e20b8f"),
    Picture("tree-80x24", "default", (80, 24), "8d116ece-1738-47d9-bd9c-172411e20b8f"),
    Picture("viability-120x40", "broken", (120, 40), "group/2"),
    Picture("domains-120x40", "default", (120, 40), "0000:75:00.0", ("6",)),
    Picture("map-120x40", "default", (120, 40), "0000:75:00.0", ("m", "z", "s")),
    Picture("plan-120x40", "default", (120, 40), "0000:07:01.0", ("a",), with_a_plan),
    Picture("selftests-120x40", "edu", (120, 40), "0000:01:00.0", ("t",), with_results),
)


def main() -> int:
    """Make every picture; 1 if any is another than it was."""
    convert = shutil.which("rsvg-convert")
    changed = False
    for picture in PICTURES:
        file = HERE / f"{picture.name}.svg"
        image = file.with_suffix(".png")
        svg = asyncio.run(draw(picture))
        new = not file.exists() or file.read_text() != svg
        changed |= new
        file.write_text(svg)
        # Another machine's fonts draw the same picture in other bytes.
        if convert is not None and (new or not image.exists()):
            subprocess.run(  # noqa: S603 - a program found on the path, with our own arguments
                [convert, "--width", str(_WIDTH), "--output", str(image), str(file)], check=True
            )
        _say(f"{picture.name}: {'changed' if new else 'as it was'}")
    if changed and convert is None:
        _say("no PNG was made: rsvg-convert is not installed (Debian: librsvg2-bin)")
    return int(changed)


async def draw(picture: Picture) -> str:
    """The screen as an SVG."""
    host = open_host(f"sim:{picture.host}?seed=7&at={_UP}")
    if not isinstance(host, SimulatorHost):
        raise TypeError(picture.host)
    host.kernel.clock.booted = NOON - _UP
    app = console(host)
    sampler = app.sampler
    if not isinstance(sampler, StillSampler):
        raise TypeError(sampler)

    def now() -> float:
        return NOON + sampler.now

    with (
        mock.patch("time.time", now),
        mock.patch("time.localtime", time.gmtime),
        mock.patch("sdmtop.tui.app.clock", return_value="12:01"),
        mock.patch("uuid.uuid4", side_effect=map(_uuid, itertools.count(1))),
    ):
        async with app.run_test(size=picture.size) as pilot:
            await _live(pilot, host, sampler, _MINUTE)
            if not app.query_one("#tree", LinesPane).select(picture.target):
                raise ValueError(picture.target)
            await pilot.pause()
            await pilot.press(*picture.keys)
            # What is newly on the screen has no rate before it was read twice.
            await _live(pilot, host, sampler, 2)
            if picture.then is not None:
                await picture.then(pilot)
            await pilot.pause()
            return plain(app.export_screenshot())


async def _live(
    pilot: Pilot[None], host: SimulatorHost, sampler: StillSampler, seconds: int
) -> None:
    """Let time pass on the host, and in the console."""
    for _ in range(seconds):
        host.step(1)
        sampler.tick()
    await pilot.pause()


def plain(svg: str) -> str:
    """The SVG without fonts from elsewhere, and without the number that Rich gives each picture."""
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\bterminal-\d+-", "terminal-", svg)
    svg = svg.replace("font-family: Fira Code, monospace", f"font-family: {FONT}")
    svg = svg.replace("font-family: arial", "font-family: sans-serif")
    svg = svg.replace("font-size: 20px", f"font-size: {FONT_SIZE}px")
    # rsvg-convert would take away the blanks at the beginning of a text.
    svg = svg.replace(
        '<g class="terminal-matrix">', '<g class="terminal-matrix" xml:space="preserve">'
    )
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
