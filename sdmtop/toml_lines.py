"""On which line of a TOML text a value stands, which `tomllib` does not say.

The text must be one that `tomllib` has accepted: nothing is checked here.
"""

from __future__ import annotations

import re
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]
"""Keys of tables and indices of arrays, from the root: `("device", 3, "driver")`."""

_KEY = r"(?:[A-Za-z0-9_-]+|\"(?:[^\"\\]|\\.)*\"|'[^']*')"
_DOTTED = rf"{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*"
_HEADER = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_DOTTED})[ \t]*\]")
_PAIR = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=")
_NAME = re.compile(_KEY)
# What a value consists of, as far as it matters to where it ends.
_TOKEN = re.compile(
    r"\"\"\"(?:[^\\]|\\[\s\S])*?\"{3,5}|'''[\s\S]*?'{3,5}"
    r"|\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|#[^\n]*|[\[{]|[\]}]|\n|[^\"'#\[\]{}\n]+"
)


class Lines:
    """Where the tables and keys of a text are. Those inside a value are where the value begins."""

    def __init__(self, text: str) -> None:
        self._line: dict[Path, int] = {}
        self._end: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}
        self._read(text)

    def of(self, path: Path) -> int:
        """The line (from 1) of a value, or of the table that lacks it."""
        while path and path not in self._line:
            path = path[:-1]
        return self._line.get(path, 1)

    def end_of(self, path: Path) -> int:
        """The last line of a value that `of` knows."""
        return self._end[path]

    def _read(self, text: str) -> None:
        table: Path = ()
        position, line = 0, 1
        while position < len(text):
            header = _HEADER.match(text, position)
            pair = None if header else _PAIR.match(text, position)
            start = position
            if header:
                table = self._enter(_names(header[2]), array=header[1] == "[[")
                self._line.setdefault(table, line)
                position = header.end()
            elif pair:
                self._line.setdefault((*table, *_names(pair[1])), line)
                position = pair.end()
            position = _end(text, position)
            line += text.count("\n", start, position)
            if pair:
                self._end.setdefault((*table, *_names(pair[1])), max(line - 1, 1))

    def _enter(self, names: list[str], *, array: bool) -> Path:
        """The path of the table that a header opens: of an array, its latest element."""
        path: Path = ()
        for name in names[:-1]:
            path = self._latest((*path, name))
        path = (*path, names[-1])
        if array:
            self._counts[path] = self._counts.get(path, 0) + 1
        return self._latest(path)

    def _latest(self, path: Path) -> Path:
        count = self._counts.get(path)
        return path if count is None else (*path, count - 1)


def _names(dotted: str) -> list[str]:
    return [name.strip("\"'") for name in _NAME.findall(dotted)]


def _end(text: str, position: int) -> int:
    """Behind the line break that ends a value: one outside of brackets and strings."""
    depth = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            return len(text)
        position = token.end()
        first = token[0][0]
        if first in "[{":
            depth += 1
        elif first in "]}":
            depth -= 1
        elif first == "\n" and depth <= 0:
            break
    return position
