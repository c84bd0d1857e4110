"""The conversation itself: lines are read, answers are written, both as they come."""

import errno
import os
import select
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING

from sdmtop.errors import FAILED, complain, put_out
from sdmtop.headline import is_without_iommu, no_iommu_help
from sdmtop.plain import sentences
from sdmtop.plain.commands import COMMANDS, PAGE, Command
from sdmtop.plain.session import Session, UnansweredError
from sdmtop.sampler import Sampler
from sdmtop.text import printable

if TYPE_CHECKING:
    from sdmtop.replay import Replayer

PROMPT = "sdmtop> "

_GLANCE = 0.5
"""Seconds between two looks for what has happened, while that is told."""


class _UnheardError(Exception):
    """What was said could not be written."""


class Talk:
    """Answers line by line; long answers in parts."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._more: Iterator[str] = iter(())

    def greeting(self) -> Iterator[str]:
        """Where we are, what an earlier run has left, and how to go on."""
        yield from self._place()
        source = self.session.source
        if isinstance(source, Sampler) and source.host.backend == "linux":
            from sdmtop.plain.actions import look_back

            yield from look_back(self.session)
        yield "say list, or help"

    def _place(self) -> Iterator[str]:
        try:
            snapshot = self.session.sample.snapshot
        except UnansweredError as error:
            yield str(error)
            return
        yield sentences.of_host(snapshot)
        if is_without_iommu(snapshot.iommu_units, snapshot.groups):
            yield from no_iommu_help(200, 100)

    def answer(self, said: str) -> Iterator[str]:
        """The printable lines that answer what was said."""
        word, _, rest = said.strip().partition(" ")
        try:
            yield from self._warnings()
            if not word or word == "more":
                yield from self._page(self._more)
            elif word.isdecimal() and not rest:
                yield from self._page(COMMANDS["show"].act(self.session, word))
            else:
                command = _command(word.lower())
                lines = command.act(self.session, rest.strip())
                yield from lines if command.whole else self._page(lines)
        except UnansweredError as error:
            yield printable(str(error))

    def _warnings(self) -> Iterator[str]:
        """What no answer must be taken without."""
        stall = self.session.source.watch()
        if stall is not None:
            yield printable(f"{stall.paths[0]} has not answered for {stall.seconds:.0f} seconds")
        if self.session.source.playhead.paused:
            yield printable(self.session.source.playhead.state().lower())
        yield from self.session.returned()

    def _page(self, lines: Iterator[str]) -> Iterator[str]:
        """So many lines as one can listen to; the others wait for `more`."""
        self._more = iter(())
        yield from islice(lines, PAGE)
        following = next(lines, None)
        if following is not None:
            self._more = chain((following,), lines)
            yield "there is more: say more, or press enter"


def _command(word: str) -> Command:
    found = [name for name in COMMANDS if name.startswith(word)]
    if word in COMMANDS or len(found) == 1:
        return COMMANDS[word if word in COMMANDS else found[0]]
    if found:
        raise UnansweredError(f"{word} may be {' or '.join(found)}")
    raise UnansweredError(f"{word} is no command: say help")


class Lines:
    """Lines from a descriptor, which can be waited for; the terminal does the editing."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._left = b""
        self._ended = False

    def wait(self, seconds: float | None = None) -> bool:
        """Whether there is a line, or the end, within so many seconds."""
        while b"\n" not in self._left and not self._ended:
            ready, _, _ = select.select([self._fd], [], [], seconds)
            if not ready:
                return False
            data = os.read(self._fd, 4096)
            self._ended = not data
            self._left += data
        return True

    def next(self) -> str | None:
        """The next line, or None at the end."""
        self.wait()
        if not self._left:
            return None
        line, _, self._left = self._left.partition(b"\n")
        return line.decode(errors="replace")


def talk(session: Session, lines: Lines, write: Callable[[str], None]) -> None:
    """Converse until `quit`, or the end of what is said."""
    answers = Talk(session)
    session.say = lambda line: write(f"{line}\n")

    def ask(question: str) -> str:
        write(question)
        return (lines.next() or "").strip()

    session.ask = ask
    _say(write, answers.greeting())
    while not session.ended:
        write(PROMPT)
        said = lines.next()
        if said is None:
            write("\n")
            return
        _say(write, answers.answer(said))
        while session.watching:
            session.watching = not lines.wait(_GLANCE)
            _say(write, map(sentences.of_happening, session.news()))
            _say(write, session.returned())
            session.source.watch()
            if not session.watching:
                lines.next()


def _say(write: Callable[[str], None], lines: Iterable[str]) -> None:
    for line in lines:
        write(f"{line}\n")


def converse(url: str, interval: float, *, disarmed: str | None) -> int:
    """Open the host or the recording, and talk about it on standard input and output.

    `disarmed` says why nothing is changed, or is None.
    """
    if sys.stdin is None:
        return complain("standard input", OSError(errno.EBADF, "it is closed"))
    source = _source(url, interval)
    source.host.disarmed = disarmed
    session = Session(source)
    source.start()
    try:
        talk(session, Lines(sys.stdin.fileno()), _write)
        if session.doing is not None:
            from sdmtop.plain.actions import let_go

            _say(_write, let_go(session))
    except _UnheardError:
        return FAILED
    finally:
        source.stop()
    return 0


def _source(url: str, interval: float) -> "Sampler | Replayer":
    if not url.startswith("replay:"):
        from sdmtop.backends.base import open_host

        return Sampler(open_host(url), interval=interval)
    from sdmtop.recording import split_url
    from sdmtop.replay import Replayer

    # It does not play by itself: nobody would listen.
    return Replayer(url if split_url(url)[1] else f"{url}?at=-0")


def _write(text: str) -> None:
    """To standard output at once: what is not said is not heard."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    if put_out(text.encode(encoding, errors="backslashreplace")) != 0:
        raise _UnheardError
