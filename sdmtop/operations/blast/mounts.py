"""What is mounted and swapped to, by anybody: `/proc/*/mountinfo`, `/proc/swaps`, `/sys/fs`."""

import errno
import re
from collections.abc import Iterator

from sdmtop.model import Record
from sdmtop.operations.blast.survey import LARGE, Survey
from sdmtop.readers.sysfs import is_absent
from sdmtop.text import fact

SOURCE = "mounts"

_ESCAPE = re.compile(rb"\\([0-7]{3})")
_FIRST_LINE = 256
_ENDED = (errno.ESRCH, errno.EINVAL)
"""What a process answers that has ended, and one that nobody has waited for yet."""
_ACTIVE = ("ext4", "xfs", "f2fs")
"""File systems that have `/sys/fs/<type>/<name of the block device>` while they are mounted."""


class Mount(Record, frozen=True):
    """A line of `mountinfo`.

    `number` is `major:minor` of the file system (of a block device, or `0:N`), `root` the
    directory of it that is mounted at `point`; `source` and `options` are the file system's own
    words. `pid` is a process of the mount namespace, None for the one that we are in.
    """

    number: str
    root: str
    point: str
    type: str
    source: str
    options: str
    pid: int | None


class Mounts:
    """All mounts that can be seen."""

    def __init__(self, mounts: list[Mount]) -> None:
        self.by_number: dict[str, list[Mount]] = {}
        self.ours: list[Mount] = []
        for mount in mounts:
            self.by_number.setdefault(mount.number, []).append(mount)
            if mount.pid is None:
                self.ours.append(mount)
        self._points = {mount.point: mount for mount in self.ours}

    def all(self) -> Iterator[Mount]:
        """Each of them."""
        for mounts in self.by_number.values():
            yield from mounts

    def of_path(self, path: str) -> Mount | None:
        """The mount of our namespace that a path is on: the longest, of equals the last."""
        while path.startswith("/"):
            found = self._points.get(path)
            if found is not None:
                return found
            path = path.rpartition("/")[0] or ("/" if path != "/" else "")
        return None


def parse_mountinfo(text: bytes, pid: int | None = None) -> list[Mount]:
    """The mounts of a namespace; lines of another form are left out."""
    return [mount for line in text.split(b"\n") if (mount := _mount(line, pid)) is not None]


def read_mounts(survey: Survey) -> Mounts:
    """The mounts of our namespace, then those of all others that have a process.

    A namespace is known by the number of its first mount, which no other has: of each process
    only the first line is read, unless it is of a namespace not seen yet.
    """
    found: list[Mount] = []
    seen: set[bytes] = set()
    ours = survey.read(SOURCE, "/proc/self/mountinfo", optional=True)
    if not ours:  # Another host: as its first process has them.
        ours = survey.read(SOURCE, "/proc/1/mountinfo")
    found += parse_mountinfo(ours)
    seen.add(_first(ours))
    lines = set(map(_essence, ours.split(b"\n")))
    for pid in sorted(filter(str.isdecimal, survey.names(SOURCE, "/proc")), key=int):
        if survey.enough():
            survey.say_doubt(SOURCE, "not all mount namespaces were looked at: out of time")
            break
        path = f"/proc/{pid}/mountinfo"
        try:
            first = _first(survey.host.read(path, _FIRST_LINE))
            if first in seen or not first:
                continue
            seen.add(first)
            text = survey.host.read(path, LARGE)
        except OSError as error:
            if not is_absent(error) and error.errno not in _ENDED:
                survey.doubt(SOURCE, path, error)
            continue
        # A hundred containers share most of their lines.
        new = [line for line in text.split(b"\n") if _essence(line) not in lines]
        lines.update(map(_essence, new))
        found += parse_mountinfo(b"\n".join(new), int(pid))
    return Mounts(found)


def read_swaps(survey: Survey) -> list[str]:
    """The paths of `/proc/swaps`: of partitions and of files."""
    text = survey.read(SOURCE, "/proc/swaps")
    return [_word(line.split()[0]) for line in text.split(b"\n")[1:] if line.strip()]


def read_active(survey: Survey) -> dict[str, str]:
    """Block device -> type of a file system that is mounted somewhere, seen or not."""
    return {
        fact(name): type_
        for type_ in _ACTIVE
        for name in survey.names(SOURCE, f"/sys/fs/{type_}", optional=True)
    }


def _mount(line: bytes, pid: int | None) -> Mount | None:
    head, dash, tail = line.partition(b" - ")
    fields, system = head.split(b" "), tail.split(b" ")
    if not dash or len(fields) < 6 or len(system) < 3:
        return None
    number, root, point = map(_word, fields[2:5])
    type_, source, options = map(_word, system[:3])
    return Mount(number, root, point, type_, source, options, pid)


def _first(text: bytes) -> bytes:
    """The number of the first mount of a namespace."""
    return text[: text.find(b" ")]


def _essence(line: bytes) -> tuple[bytes, ...]:
    """What a line tells, without what differs between two namespaces with the same mount."""
    head, _, tail = line.partition(b" - ")
    return (*head.split(b" ", 5)[2:5], tail)


def _word(field: bytes) -> str:
    r"""A field as a fact; blanks and backslashes in it are written as `\040`."""
    return fact(_ESCAPE.sub(lambda digits: bytes((int(digits[1], 8) & 0xFF,)), field))
