"""Keys, as a person writes them and as Textual calls them."""

_MODIFIERS = ("ctrl", "shift", "alt")
_SPECIAL = frozenset(
    ("up", "down", "left", "right", "home", "end", "pageup", "pagedown", "insert", "delete",
     "enter", "escape", "tab", "space", "backspace", *(f"f{number}" for number in range(1, 25)))
)  # fmt: skip
_SHORT = {"pageup": "pgup", "pagedown": "pgdn", "escape": "esc"}
_LONG = {short: long for long, short in _SHORT.items()}
_NAMES = {
    "!": "exclamation_mark", '"': "quotation_mark", "#": "number_sign", "$": "dollar_sign",
    "%": "percent_sign", "&": "ampersand", "'": "apostrophe", "(": "left_parenthesis",
    ")": "right_parenthesis", "*": "asterisk", "+": "plus", ",": "comma", "-": "minus",
    ".": "full_stop", "/": "slash", ":": "colon", ";": "semicolon", "<": "less_than_sign",
    "=": "equals_sign", ">": "greater_than_sign", "?": "question_mark", "@": "at",
    "[": "left_square_bracket", "\\": "backslash", "]": "right_square_bracket",
    "^": "circumflex_accent", "_": "underscore", "`": "grave_accent", "{": "left_curly_bracket",
    "|": "vertical_line", "}": "right_curly_bracket", "~": "tilde",
}  # fmt: skip
"""Written down: to ask Unicode for them costs 0.4 MiB of its tables."""
_ALIKE = {"ctrl+i": "tab", "ctrl+m": "enter", "ctrl+left_square_bracket": "esc"}
_CHARACTERS = {name: char for char, name in _NAMES.items()}


def of_character(char: str) -> str:
    """What Textual calls the key of a printable character: `slash`, `a`, `A`."""
    if char.isalnum():
        return char
    if char in _NAMES:
        return _NAMES[char]
    import unicodedata

    return unicodedata.name(char, char).lower().replace("-", "_").replace(" ", "_")


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
    name = "+".join((*found, key))
    if name in _ALIKE:
        raise ValueError(f"{text!r}: a terminal sends the same for {_ALIKE[name]}")
    return name


def shown(key: str) -> str:
    """A key of Textual's as a person reads it: `?`, `esc`, `ctrl+up`."""
    modifiers, plus, base = key.rpartition("+")
    return modifiers + plus + _SHORT.get(base, _CHARACTERS.get(base, base))
