"""How sysfs says things: paths, words, numbers, and files that are not there.

On the path of the first paint: light imports only.
"""

import errno
import posixpath
from sys import intern

from sdmtop.text import fact, line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sdmtop.backends.base import Host

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
"""What "this kernel, driver or device has no such file" looks like."""

_MANY, _SHORT = 1_024, 256
"""So many texts, of fewer bytes, are remembered: what says more does not repeat itself."""


def is_absent(error: OSError) -> bool:
    """Whether the error means that there is no such file, as opposed to one that fails."""
    return error.errno in ABSENT


def target(host: "Host", link: str) -> str:
    """The absolute path that a symbolic link names, one hop, by text.

    Sysfs links are relative, to real directories: text is enough, and touches no file.
    """
    return follow(posixpath.dirname(link), host.readlink(link))


def follow(directory: str, link_text: str) -> str:
    """The absolute path that a link in `directory` with this text names."""
    up = 0
    while link_text.startswith("../", 3 * up):
        up += 1
    text = link_text[3 * up :]
    if up < directory.count("/") and _is_plain(text):
        return f"{directory.rsplit('/', up)[0]}/{text}"  # As sysfs writes them, by the thousand.
    return posixpath.normpath(posixpath.join(directory, link_text))


def _is_plain(path: str) -> bool:
    """Whether a relative path goes down only, and says so in the shortest way."""
    return path[:1] not in ("", ".", "/") and path[-1] != "/" and not ("/." in path or "//" in path)


class _Meanings(dict[bytes, str | None]):
    """What thousands of files say in few words: each is decoded once, and is one string."""

    def __init__(self, decode: "Callable[[bytes], str]") -> None:
        super().__init__()
        self._decode = decode

    def __missing__(self, raw: bytes) -> str | None:
        meaning = intern(self._decode(raw)) or None
        if len(raw) < _SHORT and len(self) < _MANY:
            self[raw] = meaning
        return meaning


_words = _Meanings(line)
_names = _Meanings(lambda link: fact(link[link.rfind(b"/") + 1 :]))


def word(answer: "bytes | OSError") -> str | None:
    """A one-line attribute as a fact; None where it is empty or could not be read."""
    return None if isinstance(answer, OSError) else _words[answer]


def name_of(answer: "bytes | OSError") -> str | None:
    """The last part of a link's target, as a fact; None where there is no link."""
    return None if isinstance(answer, OSError) else _names[answer]


def number_of(answer: "bytes | OSError") -> int | None:
    """The number that the last part of a link's target is; None where there is none."""
    return None if isinstance(answer, OSError) else number(answer[answer.rfind(b"/") + 1 :])


def number(answer: "bytes | str | OSError", base: int = 10) -> int | None:
    """A number attribute; None where it could not be read or is not a number of 64 bits."""
    if isinstance(answer, OSError):
        return None
    try:
        value = int(answer, base)
    except ValueError:
        return None
    # A longer one is no kernel's, and no reader of JSON could hold it.
    return value if -(1 << 63) <= value < 1 << 64 else None


def count(answer: "bytes | OSError") -> int | None:
    """A number attribute that counts: None also for one below zero."""
    value = number(answer)
    return value if value is None or value >= 0 else None


def index(name: str) -> int | None:
    """The number that a directory entry is named for; None for a name such as `x`, `018`, `-1`."""
    if not name.isdecimal() or len(name) > 18:
        return None
    value = int(name)
    return value if str(value) == name else None


def names(host: "Host", directory: str) -> "list[str]":
    """The names in a directory; none where there is no such directory.

    Raises `OSError` for a directory that is there and cannot be read.
    """
    try:
        return host.list(directory)
    except OSError as error:
        if is_absent(error):
            return []
        raise


def in_order(names: "Iterable[str]") -> "list[str]":
    """The names sorted by `natural`."""
    found = list(names)
    if all(len(name) == 12 and name[4::3] == "::." for name in found):
        found.sort()  # PCI addresses of one length are in order as text, without a key for each.
    else:
        found.sort(key=natural)
    return found


def natural(name: str) -> "tuple[tuple[bool, int, str], ...]":
    """A sort key: numbers as numbers, and PCI addresses by their hexadecimal fields."""
    if name[-2:-1] == "." and name[-5:-4] == name[-8:-7] == ":":
        try:
            # The fields behind the domain have as many digits in every address.
            where = int(name[-7:-5] + name[-4:-2] + name[-1:], 16)
            return (False, int(name[:-8], 16), ""), (False, where, "")
        except ValueError:
            pass
    key: list[tuple[bool, int, str]] = []
    start = 0
    while start < len(name):
        end = start
        digits = "0" <= name[start] <= "9"
        while end < len(name) and ("0" <= name[end] <= "9") == digits:
            end += 1
        text = name[start:end]
        # Beyond 18 digits it is no number that anyone counts, and int() would refuse 4,301.
        key.append((False, int(text), "") if digits and end - start < 19 else (True, 0, text))
        start = end
    return tuple(key)
