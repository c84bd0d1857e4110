"""Mounts of all mount namespaces: `/proc/PID/mountinfo`."""

import errno
import re
from collections.abc import Callable, Iterable, Iterator

from sdmtop.model import Record
from sdmtop.readers.sysfs import is_absent
from sdmtop.text import fact

LARGEST = 16 * 1024 * 1024
"""Bytes of a table in /proc at most."""

_ESCAPE = re.compile(rb"\\([0-7]{3})")
_FIRST_LINE = 256
_ENDED = (errno.ESRCH, errno.EINVAL)
"""What a process answers that has ended, and one that nobody has waited for yet."""


class Mount(Record, frozen=True):
    """A line of `mountinfo`.

    `number` is `major:minor` of the file system (of a block device, or `0:N`), `point` where it is
    mounted; `source` and `options` are the file system's own words. `pid` is a process of the
    mount namespace, None for the one that we are in.
    """

    number: str
    point: str
    type: str
    source: str
    options: str
    pid: int | None


def namespaces(
    read: Callable[[str, int], bytes], pids: Iterable[str]
) -> Iterator[tuple[str, bytes | OSError]]:
    """For each mount namespace the first process that is in it, and its `mountinfo`.

    A namespace is known by the number of its first mount, which no other has: of each process
    only the first line is read, unless it is of a namespace not seen yet. `read` is given a path
    and the most bytes. A table that cannot be read comes as its error; processes that have ended
    do not come at all.
    """
    seen: set[bytes] = set()
    for pid in pids:
        path = f"/proc/{pid}/mountinfo"
        try:
            line = read(path, _FIRST_LINE)
            first = line[: line.find(b" ")]
            if first and first not in seen:
                seen.add(first)
                yield pid, read(path, LARGEST)
        except OSError as error:
            if not is_absent(error) and error.errno not in _ENDED:
                yield pid, error


def parse_mountinfo(text: bytes, pid: int | None = None) -> list[Mount]:
    """The mounts of a namespace; lines of another form are left out."""
    return [mount for line in text.split(b"\n") if (mount := _mount(line, pid)) is not None]


def _mount(line: bytes, pid: int | None) -> Mount | None:
    head, dash, tail = line.partition(b" - ")
    fields, system = head.split(b" "), tail.split(b" ")
    if not dash or len(fields) < 6 or len(system) < 3:
        return None
    number, point = _word(fields[2]), _word(fields[4])
    type_, source, options = map(_word, system[:3])
    return Mount(number, point, type_, source, options, pid)


def essence(line: bytes) -> tuple[bytes, ...]:
    """What a line tells, without what differs between two namespaces with the same mount."""
    head, _, tail = line.partition(b" - ")
    return (*head.split(b" ", 5)[2:5], tail)


def _word(field: bytes) -> str:
    r"""A field as a fact; blanks and backslashes in it are written as `\\040`."""
    return fact(_ESCAPE.sub(lambda digits: bytes((int(digits[1], 8) & 0xFF,)), field))
