"""How the console behaves: what can be set, and what is set. On the path of the first paint."""

from sdmtop.columns import COLUMNS, DEFAULT, NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

LEAST_INTERVAL, MOST_INTERVAL = 0.1, 3600.0
"""Seconds between two readings."""


_POOR = ("linux", "vt100", "vt102", "vt220")
"""Terminals whose font has no blocks and triangles, or may have none."""


class Option:
    """A thing that can be set. Its default says of which type it is.

    A text is one of `words`, a tuple a choice of them in any order, a number lies in `bounds`.
    `remote` is the default over ssh, where each byte has a way to go.
    """

    __slots__ = ("bounds", "default", "meaning", "name", "remote", "words")

    def __init__(
        self,
        name: str,
        meaning: str,
        *,
        default: "Any",
        remote: "Any" = None,
        words: "tuple[str, ...]" = (),
        bounds: "tuple[float, float]" = (0.0, 0.0),
    ) -> None:
        self.name = name
        self.default = default
        self.meaning = meaning
        self.remote = default if remote is None else remote
        self.words = words
        self.bounds = bounds


OPTIONS = (
    Option("interval", "seconds between two readings of the counters, in the console",
           default=1.0, remote=2.0, bounds=(LEAST_INTERVAL, MOST_INTERVAL)),
    Option("read_only", "never change a host, whoever starts the program", default=False),
    Option("theme", "colours; auto goes by TERM, COLORFGBG and NO_COLOR",
           default="auto", words=("auto", "dark", "light", "ansi-dark", "ansi-light")),
    Option("glyphs", "what marks and graphs are drawn with; auto goes by the locale",
           default="auto", words=("auto", "unicode", "ascii")),
    Option("mouse", "take clicks and the wheel; without, the terminal's own selection works",
           default=True),
    Option("animation", "let things slide while they scroll", default=True, remote=False),
    Option("columns", "columns of the tree beside the name, from left to right",
           default=DEFAULT, words=tuple(name for name in COLUMNS if name != NAME)),
    Option("sort", "column that the tree is sorted by", default=NAME, words=tuple(COLUMNS)),
)  # fmt: skip
"""Everything that can be set but keys."""


class Settings:
    """What is set; `keys` are the keys of commands, by their ids."""

    interval: float
    read_only: bool
    theme: str
    glyphs: str
    mouse: bool
    animation: bool
    columns: "tuple[str, ...]"
    sort: str
    keys: "Mapping[str, str]"

    def __init__(self, chosen: "Mapping[str, Any] | None" = None, *, remote: bool = False) -> None:
        """Take what was chosen, and the defaults for the rest."""
        chosen = chosen or {}
        for option in OPTIONS:
            default = option.remote if remote else option.default
            setattr(self, option.name, chosen.get(option.name, default))
        self.keys = chosen.get("keys", {})

    @property
    def disarmed(self) -> str | None:
        """Why nothing may be changed; None where it may."""
        if self.read_only:
            return "the program was started, or is configured, to change nothing"
        return None

    def is_ascii(self, environment: "Mapping[str, str]") -> bool:
        """Whether only ASCII may be drawn: asked for, or all that locale and terminal can."""
        if self.glyphs != "auto":
            return self.glyphs == "ascii"
        if environment.get("TERM") in _POOR:
            return True
        names = (environment.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG"))
        locale = next(filter(None, names), "UTF-8")
        return "utf" not in locale.casefold()
