"""A long reading by several processes says what one process would say."""

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from sdmtop.backends.base import open_host
from sdmtop.model import Snapshot
from sdmtop.readers import spread
from sdmtop.readers.names import Names
from sdmtop.readers.snapshot import Reading
from sdmtop.readers.spread import LEAST, PART, read_each
from tests.descriptors import open_files

TREES = Path(__file__).parents[1] / "trees"
MANY = range(2 * LEAST + 1)


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No pipe and no process remains of a reading."""
    monkeypatch.setattr(spread, "GRACE", 0.2)
    before, children = open_files(), _children()
    yield
    assert not [file for file in open_files() - before if file.startswith("pipe:")]
    assert _children() == children


def _children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")


def slowly(thing: int) -> tuple[int, int]:
    """Leave the forks a chance."""
    time.sleep(0.0001)
    return thing, os.getpid()


def test_few_things_are_read_by_this_process() -> None:
    answers = list(read_each(range(LEAST - 1), slowly, 3))
    assert answers == [(thing, os.getpid()) for thing in range(LEAST - 1)]


def test_without_a_cpu_to_spare_all_things_are_read_by_this_process() -> None:
    assert {pid for _, pid in read_each(MANY, slowly, 0)} == {os.getpid()}


def test_many_things_are_read_by_several_processes_and_answered_in_order() -> None:
    answers = list(read_each(MANY, slowly, 2))
    assert [thing for thing, _ in answers] == list(MANY)
    assert {os.getpid()} < {pid for _, pid in answers}


def test_this_process_reads_too() -> None:
    assert os.getpid() in {pid for _, pid in read_each(MANY, slowly, 3)}


def only_elsewhere(what: Callable[[], object]) -> Callable[[int], int]:
    """A read that does something else in a fork."""
    here = os.getpid()

    def read(thing: int) -> int:
        time.sleep(0.0001)
        if os.getpid() != here:
            what()
        return -thing

    return read


def fail() -> None:
    """As a reader that meets what it does not expect."""
    raise ValueError


@pytest.mark.parametrize(
    "what",
    [
        fail,
        lambda: os._exit(0),
        lambda: os.kill(os.getpid(), signal.SIGKILL),
        lambda: time.sleep(600),
    ],
    ids=["raises", "exits", "is killed", "hangs"],
)
def test_what_a_fork_does_not_answer_is_read_here(what: Callable[[], object]) -> None:
    assert list(read_each(MANY, only_elsewhere(what), 2)) == [-thing for thing in MANY]


def test_an_answer_cut_short_is_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def send_in_part(out: int, data: bytes) -> None:
        os.write(out, data[:-1])
        os._exit(0)

    monkeypatch.setattr(spread, "_send", send_in_part)
    assert list(read_each(MANY, slowly_doubled, 2)) == [2 * thing for thing in MANY]


def slowly_doubled(thing: int) -> int:
    time.sleep(0.0001)
    return 2 * thing


def test_what_a_read_raises_here_is_raised() -> None:
    def read(thing: int) -> int:
        if thing == PART:
            raise OSError(5, "as it is")
        return thing

    with pytest.raises(OSError, match="as it is"):
        list(read_each(MANY, read, 2))


def test_a_reading_can_be_given_up() -> None:
    answers = read_each(MANY, slowly, 2)
    assert next(answers)[0] == 0
    del answers


def test_a_reading_can_be_given_up_before_its_first_answer() -> None:
    read_each(MANY, slowly, 2)


def test_answers_larger_than_a_pipe_arrive() -> None:
    assert list(read_each(range(LEAST), lambda thing: "x" * 5000 + str(thing), 2)) == [
        "x" * 5000 + str(thing) for thing in range(LEAST)
    ]


def test_more_parts_than_a_pipe_has_room_for_become_larger_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spread, "_MOST_PARTS", 8)
    assert list(read_each(MANY, slowly_doubled, 2)) == [2 * thing for thing in MANY]


@pytest.mark.parametrize("forks", [0, 1])
def test_where_no_more_forks_may_be_made_this_process_reads_alone(
    monkeypatch: pytest.MonkeyPatch, forks: int
) -> None:
    left = iter([os.fork] * forks)

    def fork() -> int:
        for real in left:
            return real()
        raise BlockingIOError(errno.EAGAIN, "no process is left")

    monkeypatch.setattr(os, "fork", fork)
    assert {pid for _, pid in read_each(MANY, slowly, 2)} == {os.getpid()}


def test_a_fork_dies_of_a_signal_that_this_process_handles() -> None:
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        read = only_elsewhere(lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert list(read_each(MANY, read, 2)) == [-thing for thing in MANY]
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told == []


def test_forks_end_soon_after_the_process_that_reads() -> None:
    """Killed, it leaves nobody who would take the answers."""
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            answers = read_each(range(40 * LEAST), largely, 2)
            os.write(tell, _children().encode() + b"\n")
            next(answers)
            time.sleep(600)
        finally:
            os._exit(1)
    forks = [int(fork) for fork in os.read(told, 100).split()]
    os.close(told)
    os.close(tell)
    time.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert len(forks) == 2
    deadline = time.monotonic() + 10
    while any(_is_alive(fork) for fork in forks):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def largely(thing: int) -> str:
    """An answer of which a few fill a pipe."""
    return f"{thing:5000}"


def _is_alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("tree", sorted(TREES.glob("*.tar.xz")), ids=lambda path: path.name)
def test_a_captured_host_reads_the_same_however_many_read_it(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = whole(tree, helpers=0)
    monkeypatch.setattr(spread, "LEAST", 1)
    monkeypatch.setattr(spread, "PART", 2)
    assert whole(tree, helpers=2) == alone


def whole(tree: Path, helpers: int) -> Snapshot:
    """All of a host but the time at which it was read."""
    with closing(Reading(open_host(f"capture:{tree}"), Names(), helpers=helpers)) as reading:
        reading.read_all()
        found = reading.snapshot()
    assert found.devices
    return replace(found, taken_at="")
