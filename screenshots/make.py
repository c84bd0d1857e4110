"""Makes the pictures in this directory: `python -m screenshots.make`, from the top of the checkout.

Each is the real console on a captured host, driven through Textual's pilot. The clock stands
still, so the same program gives the same bytes. Of each picture there is an SVG, and a PNG where
`rsvg-convert` is installed.
"""

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from sdmtop.backends.base import open_host
from sdmtop.backends.tree import TreeHost
from sdmtop.model import Interrupt
from tests.hosts import stat
from tests.tui.still import StillSampler, console

HERE = Path(__file__).parent
TREES = HERE.parent / "tests" / "trees"

FONT = "DejaVu Sans Mono, monospace"
FONT_SIZE = 20.264
"""Pixels at which this font is as wide as the cells that Rich draws, 12.2 pixels: `rsvg-convert`
does not stretch text to its cells, as a browser does."""

_WIDTH = 1200


class Picture(NamedTuple):
    """What to show: a captured host, the size of the terminal, and the keys that are pressed."""

    name: str
    host: str
    size: tuple[int, int]
    keys: tuple[str, ...]
    live: Callable[[TreeHost, StillSampler], None] | None = None


def a_minute_passes(host: TreeHost, sampler: StillSampler) -> None:
    """Interrupts come at an even pace, and an operator changes an override and a domain type.

    A captured host stands still; this shows what a living one looks like.
    """
    sample = sampler.collector.sample()
    rows = sample.snapshot.interrupts
    paths = {device.address: device.path for device in sample.snapshot.devices}
    for second in range(60):
        host.put("/proc/stat", stat(*_counts(rows, second)))
        if second == 20:
            host.put(f"{paths['0000:06:02.0']}/driver_override", "vfio-pci\n")
        if second == 40:
            host.put("/sys/kernel/iommu_groups/22/type", "identity\n")
        sampler.tick()


def _counts(rows: tuple[Interrupt, ...], seconds: int) -> list[int]:
    """How often each number has come by then: four interrupts are at work."""
    totals = {int(row.irq): row.total for row in rows if row.irq.isdecimal()}
    for irq, pace in _PACE.items():
        totals[irq] += sum(pace[second % len(pace)] for second in range(seconds))
    return [totals.get(number, 0) for number in range(max(totals) + 1)]


_PACE = {
    42: (310, 330, 350, 420, 510, 480, 400, 350, 320),
    44: (40, 45, 220, 230, 210, 60, 50),
    56: (12, 14, 18, 26, 37, 48, 52, 42, 30, 20, 15),
    57: (0, 0, 7, 0, 9),
}
"""Interrupt number -> so many in each second, over and over."""

PICTURES = (
    Picture(
        "sdmdev-120x40",
        "debian-6.12-intel-sdmdev",
        (120, 40),
        (*("down",) * 33, "4", "s", "1"),
        a_minute_passes,
    ),
    Picture("viability-120x40", "debian-6.12-intel-sdmdev", (120, 40), ("down",) * 16),
    Picture("tree-80x24", "lab-6.12-intel-debugfs", (80, 24), ("down",) * 33),
)


def main() -> int:
    """Make every picture; the exit status."""
    convert = shutil.which("rsvg-convert")
    for picture in PICTURES:
        file = HERE / f"{picture.name}.svg"
        file.write_text(plain(asyncio.run(draw(picture))))
        _say(file.name)
        if convert is not None:
            image = file.with_suffix(".png")
            subprocess.run(  # noqa: S603 - a program found on the path, with our own arguments
                [convert, "--width", str(_WIDTH), "--output", str(image), str(file)], check=True
            )
            _say(image.name)
    if convert is None:
        _say("no PNG was made: rsvg-convert is not installed (Debian: librsvg2-bin)")
    return 0


async def draw(picture: Picture) -> str:
    """The screen as an SVG, as Textual exports it."""
    host = open_host(f"capture:{TREES / picture.host}.tar.xz")
    if not isinstance(host, TreeHost):
        raise TypeError(picture.host)
    with (
        mock.patch("sdmtop.tui.app.clock", return_value="12:00"),
        mock.patch("sdmtop.tui.panes.clock", return_value="12:00:00"),
        mock.patch("sdmtop.tui.events.clock", return_value="12:00:00"),
    ):
        app = console(host)
        async with app.run_test(size=picture.size) as pilot:
            sampler = app.sampler
            await pilot.press(*picture.keys)
            await pilot.pause()
            if picture.live is not None and isinstance(sampler, StillSampler):
                picture.live(host, sampler)
                await pilot.pause()
            return app.export_screenshot()


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
