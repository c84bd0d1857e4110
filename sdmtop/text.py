"""Text from outside: bytes of the kernel's into facts, facts into something fit to print.

Two steps, because they answer two questions. `fact` keeps every bit of information (a name that
is not UTF-8 must survive a round trip through JSON); `printable` gives up fidelity for safety
(no control character, no bidi or zero-width trick may reach a terminal).

This module is on the path of the first paint: it imports nothing.
"""


def fact(raw: bytes | str) -> str:
    r"""The text of a fact: UTF-8 as it is, any other byte as ``\xNN``.

    Accepts bytes, or a file name as `os` gives it (surrogateescape). A backslash that could be
    mistaken for such an escape is itself escaped, so that `original` can undo this exactly.
    """
    text = raw.decode("utf-8", "surrogateescape") if isinstance(raw, bytes) else raw
    if text.isascii() and "\\x" not in text:
        return text
    return "".join(
        f"\\x{ord(char) - 0xDC00:02x}" if "\udc80" <= char <= "\udcff" else char
        for char in text.replace("\\x", "\\x5cx")
    )


def original(text: str) -> bytes:
    """The bytes that `fact` was given."""
    raw = text.encode("utf-8")
    head, *rest = raw.split(b"\\x")
    return head + b"".join(bytes((int(part[:2], 16),)) + part[2:] for part in rest)


def line(raw: bytes) -> str:
    """The fact in a one-line attribute: without the newline and the blanks around it."""
    return fact(raw.strip())


_BLANK = frozenset(
    # Letters, marks and symbols by their category that show as nothing: combining joiner, Hangul
    # and Khmer fillers, variation selectors, an empty Braille cell, an empty note head.
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U00016fe4\U0001d159"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)


def printable(text: str) -> str:
    """The text with every character that is not plainly visible replaced by an escape.

    `str.isprintable` is the rule: it refuses controls, bidi and zero-width format characters,
    surrogates, private use, unassigned code points, and blanks that are not a space. Of what it
    lets pass, characters that Unicode gives no shape of their own are escaped too.
    """
    if text.isprintable() and (text.isascii() or _BLANK.isdisjoint(text)):
        return text
    return "".join(
        char if char.isprintable() and char not in _BLANK else _escape(char) for char in text
    )


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def width(text: str) -> int:
    """Terminal cells that printable text takes."""
    return len(text) if _is_narrow(text) else sum(map(_char_width, text))


def fit(text: str, cells: int) -> str:
    """Exactly `cells` cells of the text: padded, or cut with an ellipsis that says so."""
    if _is_narrow(text):
        # A 64 KiB name costs no more than the cells that are shown of it.
        return text.ljust(cells) if len(text) <= cells else text[: max(cells - 1, 0)] + "…"[:cells]
    taken, used = [], 0
    room = cells if width(text) <= cells else cells - 1
    for char in text:
        wide = _char_width(char)
        if used + wide > room:
            taken.append("…" if used < cells else "")
            used += 1
            break
        taken.append(char)
        used += wide
    return "".join(taken) + " " * (cells - used)


def cell(text: str, cells: int) -> str:
    """Exactly `cells` cells of text from outside, safe to print, however long it is."""
    # Of a 64 KiB name only the head is looked at; combining characters take no cell of their own.
    return fit(printable(text[: 4 * cells]), cells)


def wrap_at(text: str, cells: int) -> int:
    """Characters after which to wrap a text, so that no line takes more than so many cells."""
    return cells if all(_char_width(char) < 2 for char in text) else cells // 2


def _is_narrow(text: str) -> bool:
    """Whether each character is known to take one cell: ASCII, and what we draw ourselves."""
    return text.isascii() or _NARROW.issuperset(text)


def _char_width(char: str) -> int:
    if char.isascii():
        return 1
    from unicodedata import category, east_asian_width

    if category(char) in ("Mn", "Me"):
        return 0
    return 2 if east_asian_width(char) in "WF" else 1


_DRAWN = {
    **dict.fromkeys(map(ord, "─━╌╍┄┅═▔"), "-"),
    **dict.fromkeys(map(ord, "│┃▏▕▎▊║"), "|"),
    **dict.fromkeys(map(ord, "┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛╔╗╚╝╠╣"), "+"),
    **dict(zip(map(ord, "▁▂▃▄▅▆▇█"), "_.:-=+*#", strict=True)),
    **dict(zip(map(ord, "▾▸▴◂●○·…→←↑↓✓✗░▒▓"), "v>^<*o.~><^v+x.:#", strict=True)),
}
"""What is drawn on the screen -> the ASCII character that stands for it, of the same width."""

_NARROW = frozenset(map(chr, (*range(0x20, 0x7F), *_DRAWN)))


class _Ascii(dict[int, str]):
    """A table for `str.translate` in which every character has a place."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        found = char if code < 0x80 else "?" * _char_width(char)
        self[code] = found
        return found


_ASCII = _Ascii(_DRAWN)


def in_ascii(text: str) -> str:
    """The text, as wide as before, in ASCII: `?` stands for what has no likeness there."""
    return text if text.isascii() else text.translate(_ASCII)
