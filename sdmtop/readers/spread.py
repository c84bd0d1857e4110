"""A long reading, spread over processes.

Python reads one file after the other, and a thread more makes it no faster. A host with thousands
of devices is therefore read by forks of this process as well, one for each CPU to spare. The work
waits in a pipe as the numbers of its parts: whoever is free takes the next, this process too. What
a fork does not answer is read here in the end, so that one which hangs, is killed, or was forked
while another thread held a lock that it needs, costs time and no fact.
"""

import marshal
import os
import select
import signal
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar

LEAST = 1024
"""Things to be read from which a fork pays: it costs some milliseconds."""

MOST = 3
"""Forks beside this process; the locks of the kernel's file systems leave less to each more."""

PART = 64
"""Things that are read at once, unless that makes more than `_MOST_PARTS`."""

GRACE = 0.5
"""Seconds in which a fork should answer when nothing else is left to read."""

_MOST_PARTS = 2_048
"""Their numbers fill one page, which is all that a pipe may hold where a user has many."""

_CHUNK = 65_536
_TICKET = struct.Struct("=H")
_HEAD = struct.Struct("=HI")  # The number of a part and the size of its answer.

T = TypeVar("T")
A = TypeVar("A")


def spare_cpus() -> int:
    """How many forks may help: one for each CPU that we may use but the one we run on."""
    return min(len(os.sched_getaffinity(0)) - 1, MOST)


def read_each(things: Sequence[T], read: Callable[[T], A], helpers: int) -> Iterator[A]:
    """`read(thing)` of each, in order; by up to `helpers` forks too if there are many.

    The forks begin at once, this process when the first answer is asked for; it reads alone where
    it may not fork. `A` must be of what `marshal` knows: numbers, text, bytes, tuples, lists,
    dictionaries. What `read` changes elsewhere in a fork is lost. Raises what `read` raises.
    """
    if helpers < 1 or len(things) < LEAST:
        return map(read, things)
    size = max(PART, len(things) // _MOST_PARTS + 1)
    parts = [things[start : start + size] for start in range(0, len(things), size)]
    answers = _in_order(parts, read, helpers)
    try:
        next(answers)
    except OSError:  # No process, or no descriptor, is left for us.
        return map(read, things)
    return chain.from_iterable(answers)


class _Helper(NamedTuple):
    pid: int
    answers: int  # A descriptor.


def _in_order(parts: list[Sequence[T]], read: Callable[[T], A], helpers: int) -> Iterator[list[A]]:
    """Nothing, once the forks have begun; then the answers of each part."""
    tickets, desk = os.pipe2(os.O_CLOEXEC)
    os.write(desk, b"".join(map(_TICKET.pack, range(len(parts)))))
    os.close(desk)
    crew: list[_Helper] = []
    done: dict[int, list[A]] = {}
    try:
        for _ in range(helpers):
            crew.append(_fork(tickets, parts, read, crew))
        yield []
        for number in range(len(parts)):
            while number not in done:
                taken = _take(tickets)
                if taken is not None:
                    done[taken] = [read(thing) for thing in parts[taken]]
                elif not _gather(crew, done, GRACE):
                    # A fork has died or hangs with it.
                    done[number] = [read(thing) for thing in parts[number]]
                _gather(crew, done, 0)
            yield done.pop(number)
    finally:
        os.close(tickets)
        for helper in crew:
            _dismiss(helper)


def _take(tickets: int) -> int | None:
    """The number of a part that nobody has taken yet."""
    ticket = os.read(tickets, _TICKET.size)
    return _TICKET.unpack(ticket)[0] if ticket else None


def _gather(crew: list[_Helper], done: dict[int, list[Any]], seconds: float) -> bool:
    """Take in what the forks have answered; whether anything happened within `seconds`."""
    if not crew:
        return False
    poll = select.poll()
    for helper in crew:
        poll.register(helper.answers, select.POLLIN)
    ready = {fd for fd, _ in poll.poll(seconds * 1000)}
    for helper in [helper for helper in crew if helper.answers in ready]:
        answer = _receive(helper.answers)
        if answer is not None:
            done.setdefault(*answer)
        else:
            crew.remove(helper)
            _dismiss(helper)
    return bool(ready)


def _receive(fd: int) -> tuple[int, list[Any]] | None:
    """The next answer of a fork: the number of its part and what was read; None at its end."""
    head = os.read(fd, _HEAD.size)
    if len(head) < _HEAD.size:
        return None
    number, size = _HEAD.unpack(head)
    data = b""
    while len(data) < size:
        more = os.read(fd, size - len(data))
        if not more:
            return None
        data += more
    return number, marshal.loads(data)  # noqa: S302 - a fork of ourselves has written it


def _fork(
    tickets: int, parts: list[Sequence[T]], read: Callable[[T], A], crew: list[_Helper]
) -> _Helper:
    answers, out = os.pipe2(os.O_CLOEXEC)
    try:
        pid = os.fork()
    except OSError:
        os.close(answers)
        os.close(out)
        raise
    if pid:
        os.close(out)
        return _Helper(pid, answers)
    status = 1
    try:
        # As long as a fork could read answers itself, those of a dead process would fill the pipe.
        for end in (answers, *(helper.answers for helper in crew)):
            os.close(end)
        # What this process does on a signal, such as to restore the terminal, is not for a fork.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        while (taken := _take(tickets)) is not None:
            answer = marshal.dumps([read(thing) for thing in parts[taken]])
            _send(out, _HEAD.pack(taken, len(answer)) + answer)
        status = 0
    finally:
        # An exception is not told here: the part is read again by whoever waits for it.
        os._exit(status)


def _send(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _dismiss(helper: _Helper) -> None:
    """End a fork, which only reads. One that hangs in the kernel is left behind."""
    os.kill(helper.pid, signal.SIGKILL)
    poll = select.poll()
    poll.register(helper.answers, select.POLLIN)
    while poll.poll(GRACE * 1000):
        if not os.read(helper.answers, _CHUNK):
            os.waitpid(helper.pid, 0)
            break
    os.close(helper.answers)
