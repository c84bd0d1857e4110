"""Colours: enough contrast for every text on every screen, and the right theme to begin with."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from rich.color import Color
from rich.style import Style
from textual.color import Color as TextualColor
from textual.screen import ModalScreen

from sdmtop.backends.base import open_host
from sdmtop.tui.app import Console
from sdmtop.tui.lines import LinesPane
from sdmtop.tui.themes import OTHER, theme_for
from tests.hosts import box
from tests.tui.still import console

LEAST = 4.5
"""Contrast of text and background that WCAG 2 asks for (level AA)."""

STATES: dict[str, tuple[str, ...]] = {
    "tree": (),
    "inspector": ("2",),
    "origin": ("2", "o"),
    "interrupts": ("down", "4"),
    "pasids": ("3",),
    "events": ("5",),
    "help": ("question_mark",),
    "columns": ("C",),
    "filter": ("slash", *"driver:"),
    "wrong filter": ("slash", *"drivr:x"),
    "a key that does nothing": ("less_than_sign",),
    "palette": ("ctrl+p", *"so"),
}


@pytest.mark.long
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("state", STATES)
def test_every_text_on_the_screen_can_be_read(theme: str, state: str) -> None:
    async def run() -> None:
        app = console(box())
        async with app.run_test(size=(120, 40)) as pilot:
            app.theme = theme
            await pilot.press(*STATES[state])
            await pilot.pause()
            assert poor(app) == set()

    asyncio.run(run())


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize(
    ("url", "selected", "key", "title"),
    [
        ("sim:edu", "0000:01:00.0", "A", "Attach to a driver"),
        ("sim:edu", "0000:01:00.0", "i", "Simulate"),
        ("sim:vgpu", "0000:00:02.0", "c", "Create"),
    ],
)
def test_a_question_or_a_menu_can_be_read_with_its_title(
    theme: str, url: str, selected: str, key: str, title: str
) -> None:
    async def run() -> None:
        app = console(open_host(url))
        async with app.run_test(size=(120, 40)) as pilot:
            app.theme = theme
            await pilot.pause()
            app.query_one("#tree", LinesPane).select(selected)
            await pilot.press(key, "down")
            await pilot.pause()
            assert isinstance(app.screen, ModalScreen)
            assert any(title in text for text, _ in texts(app))
            assert poor(app) == set()

    asyncio.run(run())


def poor(app: Console) -> set[tuple[str, float]]:
    """Text that cannot be read well, and its contrast."""
    return {
        (text.strip()[:20], round(contrast(style), 1))
        for text, style in texts(app)
        if contrast(style) < LEAST
    }


def texts(app: Console) -> Iterator[tuple[str, Style]]:
    """Every piece of text on the screen that has a letter or a digit in it."""
    compositor: Any = app.screen._compositor
    for strip in compositor.render_strips():
        for text, style, _ in strip:
            if any(map(str.isalnum, text)):
                yield text, style


def contrast(style: Style) -> float:
    """The contrast ratio of WCAG 2 between the text and its background."""
    assert style.color is not None
    assert style.bgcolor is not None
    lights = sorted((luminance(style.color), luminance(style.bgcolor)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(color: Color) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    parts = [part / 255 for part in color.get_truecolor()]
    linear = [
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_is_computed_as_defined() -> None:
    def pair(one: str, other: str) -> Style:
        colors = [TextualColor.parse(text).rich_color for text in (one, other)]
        return Style(color=colors[0], bgcolor=colors[1])

    assert contrast(pair("#000000", "#ffffff")) == pytest.approx(21)
    assert contrast(pair("#777777", "#ffffff")) == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    ("chosen", "environment", "theme"),
    [
        ("auto", {"TERM": "xterm-256color"}, "dark"),
        ("auto", {"TERM": "tmux-256color", "COLORFGBG": "0;15"}, "light"),
        ("auto", {"TERM": "xterm-256color", "COLORFGBG": "0;default;15"}, "light"),
        ("auto", {"TERM": "xterm-256color", "COLORFGBG": "15;0"}, "dark"),
        ("auto", {"TERM": "linux"}, "ansi-dark"),
        ("auto", {"TERM": "xterm"}, "ansi-dark"),
        ("auto", {"TERM": "screen", "COLORFGBG": "0;7"}, "ansi-light"),
        ("auto", {"TERM": "xterm", "COLORTERM": "truecolor"}, "dark"),
        ("light", {"TERM": "linux"}, "light"),
        ("light", {"NO_COLOR": ""}, "ansi-light"),
        ("ansi-dark", {"TERM": "xterm-256color"}, "ansi-dark"),
    ],
)
def test_the_theme_goes_by_what_the_terminal_says_of_itself(
    chosen: str, environment: dict[str, str], theme: str
) -> None:
    assert theme_for(chosen, environment) == theme


def test_t_takes_the_colours_for_the_other_background() -> None:
    async def run() -> None:
        app = console(box())
        async with app.run_test() as pilot:
            seen = []
            for _ in range(2):
                await pilot.press("T")
                seen.append(app.theme)
            assert seen == ["light", "dark"]

    asyncio.run(run())
    assert all(OTHER[OTHER[theme]] == theme for theme in OTHER)
