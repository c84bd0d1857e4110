"""Colours: two themes whose contrast is measured (tests/tui/test_themes.py), two of 16 colours."""

from collections.abc import Mapping

from textual.theme import Theme

_SIXTEEN = ("linux", "xterm", "xterm-color", "screen", "vt100", "vt220")
"""Terminals of 16 colours at most, unless COLORTERM says otherwise."""

_LIGHT_BACKGROUNDS = ("7", "15")
"""The last part of COLORFGBG on a light background."""

DARK = Theme(
    name="dark",
    primary="#0d4a7d",
    secondary="#0f4068",
    accent="#8cc8ff",
    success="#82dc9a",
    warning="#f2c66d",
    error="#ff9c9c",
    foreground="#e6e9ec",
    background="#101418",
    surface="#171c22",
    panel="#232b34",
    boost="#28333f",
    variables={
        "text": "#e6e9ec",
        "text-muted": "#a3aeba",
        "text-disabled": "#a3aeba",
        "text-success": "#82dc9a",
        "text-warning": "#f2c66d",
        "text-error": "#ff9c9c",
        "text-accent": "#8cc8ff",
        "border": "#4d9de0",
        "scrollbar": "#4a5866",
        "scrollbar-background": "#171c22",
    },
)
LIGHT = Theme(
    name="light",
    dark=False,
    primary="#aed2f4",
    secondary="#bcdaf5",
    accent="#0b4a85",
    success="#0b5f29",
    warning="#6b4300",
    error="#a1101a",
    foreground="#15181c",
    background="#ffffff",
    surface="#f3f5f7",
    panel="#dfe5eb",
    boost="#e2ecf6",
    variables={
        "text": "#15181c",
        "text-muted": "#454e58",
        "text-disabled": "#454e58",
        "text-success": "#0b5f29",
        "text-warning": "#6b4300",
        "text-error": "#a1101a",
        "text-accent": "#0b4a85",
        "border": "#0b4a85",
        "block-cursor-foreground": "#15181c",
        "scrollbar": "#9aa7b3",
        "scrollbar-background": "#f3f5f7",
    },
)

OTHER = {"dark": "light", "light": "dark", "ansi-dark": "ansi-light", "ansi-light": "ansi-dark"}
"""The theme for the other kind of background."""


def theme_for(chosen: str, environment: Mapping[str, str]) -> str:
    """The name of the theme to begin with. NO_COLOR goes before what was chosen."""
    plain = "NO_COLOR" in environment
    if chosen == "auto":
        background = environment.get("COLORFGBG", "").rpartition(";")[2]
        chosen = "light" if background in _LIGHT_BACKGROUNDS else "dark"
        rich = environment.get("COLORTERM") in ("truecolor", "24bit")
        plain = plain or (environment.get("TERM") in _SIXTEEN and not rich)
    return f"ansi-{chosen}" if plain and not chosen.startswith("ansi") else chosen
