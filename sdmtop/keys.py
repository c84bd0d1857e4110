"""Keys, as a person writes them and as Textual calls them."""

import string
import unicodedata

_MODIFIERS = ("ctrl", "shift", "alt")
_SPECIAL = frozenset(
    ("up", "down", "left", "right", "home", "end", "pageup", "pagedown", "insert", "delete",
     "enter", "escape", "tab", "space", "backspace", *(f"f{number}" for number in range(1, 25)))
)  # fmt: skip
_SHORT = {"pageup": "pgup", "pagedown": "pgdn", "escape": "esc"}
_LONG = {short: long for long, short in _SHORT.items()}
_OTHERWISE = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
"""Names of Unicode that Textual replaces."""


def of_character(char: str) -> str:
    """What Textual calls the key of a printable character: `slash`, `a`, `A`."""
    if char.isalnum():
        return char
    name = unicodedata.name(char, char).lower().replace("-", "_").replace(" ", "_")
    return _OTHERWISE.get(name, name)


_CHARACTERS = {of_character(char): char for char in string.punctuation}


def named(text: str) -> str:
    """What Textual calls a key that a person has written: `/`, `esc`, `ctrl+up`, `G`.

    Raises ValueError, with a sentence, where there is no such key.
    """
    modifiers, plus, base = text[:-1].rpartition("+")
    base += text[-1:]
    if len(base) == 1 and base.isprintable() and base != " ":
        key = of_character(base)
    else:
        key = _LONG.get(base, base)
        if key not in _SPECIAL and key not in _CHARACTERS:
            raise ValueError(f"there is no key {text!r}")
    found = modifiers.split("+") if plus else []
    if any(one not in _MODIFIERS for one in found) or len(set(found)) < len(found):
        raise ValueError(f"there is no key {text!r}")
    if "shift" in found and len(base) == 1:
        raise ValueError(
            f"{text!r}: write the character that the key gives, such as {base.upper()!r}"
        )
    return "+".join((*found, key))


def shown(key: str) -> str:
    """A key of Textual's as a person reads it: `?`, `esc`, `ctrl+up`."""
    modifiers, plus, base = key.rpartition("+")
    return modifiers + plus + _SHORT.get(base, _CHARACTERS.get(base, base))
