r"""The query language of `/`: its grammar, and what a term accepts.

    driver:vfio-pci group:14 irq/s>100 holder:qemu state:orphan,stuck !domain:DMA "two words"

Terms stand side by side and all have to be true. A term is a text, or a field, an operator and a
value. `!` turns it round, `,` stands between values of which one is enough, quotes keep blanks
and commas (`\"` and `\\` stand for a quote and a backslash inside them).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

NONE = "none"
"""The value of a field that has none."""

UNKNOWN = "?"
"""The value of a field that could not be read."""

_OPERATORS = ("<=", ">=", ":", "=", "<", ">")
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ":": lambda one, other: one == other,
    "=": lambda one, other: one == other,
    "<": lambda one, other: one < other,
    ">": lambda one, other: one > other,
    "<=": lambda one, other: one <= other,
    ">=": lambda one, other: one >= other,
}
_UNITS = {"k": 1e3, "M": 1e6}
_SEPARATORS = frozenset(" -:./,_()")
_ADDRESS = frozenset("0123456789abcdefABCDEF:.")


class Field(NamedTuple):
    """A name that can stand before an operator; `meaning` is one line of help."""

    name: str
    meaning: str
    is_number: bool = False


class QueryError(ValueError):
    """A sentence about a query, and the column (from 0) that it is about."""

    def __init__(self, column: int, sentence: str) -> None:
        super().__init__(sentence)
        self.column = column


class Term(NamedTuple):
    """One condition. `field` is None for a text, which is sought anywhere in a line.

    Of `values` one is enough. A field of numbers has them as `numbers`, None among them for
    "none".
    """

    field: str | None
    operator: str
    values: tuple[str, ...]
    numbers: tuple[float | None, ...] = ()
    negated: bool = False

    def accepts(self, found: Sequence[str | float] | None) -> bool:
        """Whether these values of the field will do; None: the line has no such field.

        A negated term wants none of them to match, but the line must have the field.
        """
        if found is None:
            return False
        return self._matches(found) is not self.negated

    def _matches(self, found: Sequence[str | float]) -> bool:
        if self.numbers:
            return any(self._compares(one, wanted) for one in found or (None,)
                       for wanted in self.numbers)  # fmt: skip
        texts = [str(one) for one in found]
        return any(self._means(one, wanted) for one in texts or (NONE,) for wanted in self.values)

    def _compares(self, one: str | float | None, wanted: float | None) -> bool:
        if one is None or wanted is None:
            return one is wanted
        return isinstance(one, int | float) and _COMPARISONS[self.operator](one, wanted)

    def _means(self, text: str, wanted: str) -> bool:
        if not wanted:
            return text != NONE
        if self.operator == "=":
            return text.casefold() == wanted
        return begins_a_word(text.casefold(), wanted)


Query = tuple[Term, ...]


def begins_a_word(text: str, wanted: str) -> bool:
    """Whether the text, or what follows a separator in it, begins with what is wanted."""
    at = text.find(wanted)
    while at > 0 and text[at - 1] not in _SEPARATORS:
        at = text.find(wanted, at + 1)
    return at >= 0


def parse(text: str, fields: Mapping[str, Field]) -> Query:
    """The terms of a query. Raises `QueryError`, which says where it is wrong, and how."""
    return tuple(_term(part, fields) for part in _parts(text))


class _Char(NamedTuple):
    """A character of a query; `plain` unless it stands in quotes or after a backslash in them."""

    char: str
    plain: bool
    column: int


def _parts(text: str) -> Iterator[list[_Char]]:
    """The characters of each term, in which quotes have done their work."""
    part: list[_Char] = []
    quote = -1
    escaped = False
    quoted = False
    for column, char in enumerate(text):
        if escaped:
            part.append(_Char(char, False, column))  # noqa: FBT003 - a field of the record
            escaped = False
        elif quote >= 0 and char == "\\":
            escaped = True
        elif char == '"':
            quote = -1 if quote >= 0 else column
            quoted = True
        elif quote < 0 and char.isspace():
            if part or quoted:
                yield part
            part, quoted = [], False
        else:
            part.append(_Char(char, quote < 0, column))
    if quote >= 0:
        raise QueryError(quote, "this quote is not closed")
    if part:
        yield part


def _term(part: list[_Char], fields: Mapping[str, Field]) -> Term:
    negated = len(part) > 1 and part[0].plain and part[0].char == "!"
    body = part[1:] if negated else part
    at, operator = _operator(body)
    if not operator:
        return Term(None, "", (_text(body).casefold(),), negated=negated)
    name = _text(body[:at])
    field = fields.get(name)
    if field is None:
        raise QueryError(body[0].column, f"there is no field {name}{_similar(name, fields)}")
    if operator not in (":", "=") and not field.is_number:
        raise QueryError(body[at].column, f"{name} is no number: use {name}: or {name}=")
    values = list(_split(body[at + len(operator) :]))
    texts = tuple(_text(value).casefold() for value in values)
    if not field.is_number:
        return Term(name, operator, texts, negated=negated)
    end = body[-1].column + 1
    numbers = tuple(_number(value, value[0].column if value else end) for value in values)
    return Term(name, operator, texts, numbers, negated)


def _operator(body: list[_Char]) -> tuple[int, str]:
    """(index, operator), or an empty operator where the term is a text.

    A PCI address is a text, for all its colons.
    """
    plain = "".join(one.char if one.plain else "\0" for one in body)
    if _ADDRESS.issuperset(plain):
        return 0, ""
    for at in range(1, len(plain)):
        for operator in _OPERATORS:
            if plain.startswith(operator, at):
                name = plain[:at]
                is_name = name[0].isalpha() and all(char.isalnum() or char in "/_" for char in name)
                return (at, operator) if is_name else (0, "")
    return 0, ""


def _split(value: list[_Char]) -> Iterator[list[_Char]]:
    """The alternatives of a value, between its commas."""
    start = 0
    for index, one in enumerate(value):
        if one.plain and one.char == ",":
            yield value[start:index]
            start = index + 1
    yield value[start:]


def _number(value: list[_Char], column: int) -> float | None:
    text = _text(value)
    if text.casefold() == NONE:
        return None
    digits, unit = (text[:-1], _UNITS[text[-1]]) if text[-1:] in _UNITS else (text, 1.0)
    if not digits.replace(".", "", 1).isdecimal() or not digits.isascii():
        raise QueryError(column, "a number is missing" if not text else f"{text} is no number")
    return float(digits) * unit


def _similar(name: str, fields: Mapping[str, Field]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, fields, 1)
    return f"; do you mean {close[0]}?" if close else "; put quotes around it to find the text"


def _text(part: list[_Char]) -> str:
    return "".join(one.char for one in part)


def quoted(value: str) -> str:
    """A value as it is written in a query."""
    if value and not any(char.isspace() or char in '",\\!' for char in value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class Completion(NamedTuple):
    """What can stand at the end of a query: `start` is the column that it would stand at."""

    start: int
    words: tuple[str, ...]


def completion(
    text: str, fields: Mapping[str, Field], values: Callable[[str], Sequence[str]]
) -> Completion:
    """How the last word of a query can go on; `values` tells those that a field has on the host.

    A field of numbers is completed with its operator still to come.
    """
    start = _last_word(text)
    word = text[start:]
    if word.startswith("!"):
        start, word = start + 1, word[1:]
    for at, char in enumerate(word):
        if char in ":=<>":
            name = word[:at]
            if name not in fields:
                return Completion(start, ())
            head = max(word.rfind(char), word.rfind(",")) + 1
            begun = word[head:].strip('"').casefold()
            found = (quoted(value) for value in values(name) if value.casefold().startswith(begun))
            return Completion(start + head, tuple(found))
    names = (f if fields[f].is_number else f"{f}:" for f in fields if f.startswith(word.casefold()))
    return Completion(start, tuple(names) if word else ())


def _last_word(text: str) -> int:
    """The column at which the last word begins; blanks in quotes do not end a word."""
    start = 0
    inside = False
    for column, char in enumerate(text):
        if char == '"':
            inside = not inside
        elif char.isspace() and not inside:
            start = column + 1
    return start
