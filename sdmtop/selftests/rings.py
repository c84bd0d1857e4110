"""Jobs with known answers for queues whose rings describe themselves.

Such a queue has a header in its memory (region 1), as the simulator's accelerators do; the rings of
HiSilicon's hardware have none, and each generation another form: their user library knows them.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterable
from typing import NamedTuple

from sdmtop.backends.base import Memory
from sdmtop.backends.simulator.accelerators import hpre, memcpy, sec
from sdmtop.backends.simulator.accelerators import zip as compression
from sdmtop.backends.simulator.accelerators.rings import (
    MAGIC,
    STATUS,
    Client,
    Completion,
    Job,
)
from sdmtop.selftests.trial import Trial

ROOM = 4 * 4096
"""Bytes of memory that the jobs of a queue are done in: source, target, extra, a page unused."""

PATIENCE = 2.0
_SOURCE, _TARGET, _EXTRA = 0, 4096, 8192
_TEXT = b"The quick brown fox jumps over the lazy dog. " * 40
_KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
_VECTOR = bytes(range(16))
_BLOCK = bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
_SECRET = bytes.fromhex("7649abac8119b246cee98e9b12e9197d")
_BITS = 128


class Answer(NamedTuple):
    """A job, and what must come of it: `judged` makes of the result what is compared."""

    name: str
    operation: int
    parameter: int
    source: bytes
    extra: bytes
    expected: bytes
    judged: Callable[[bytes], bytes] = bytes


def _compression() -> tuple[Answer, ...]:
    packed = zlib.compress(_TEXT)
    return (
        Answer("deflate", compression.DEFLATE, compression.ZLIB, _TEXT, b"", _TEXT,
               zlib.decompress),
        Answer("inflate", compression.INFLATE, compression.ZLIB, packed, b"", _TEXT),
    )  # fmt: skip


def _ciphers() -> tuple[Answer, ...]:
    # SP 800-38A, F.2.1 and F.2.2: the first block.
    extra = _VECTOR + _KEY
    return (
        Answer("AES-128-CBC", sec.ENCRYPT, sec.CBC, _BLOCK, extra, _SECRET),
        Answer("AES-128-CBC back", sec.DECRYPT, sec.CBC, _SECRET, extra, _BLOCK),
    )


def _digests() -> tuple[Answer, ...]:
    return (
        Answer("SHA-256", sec.DIGEST, sec.SHA256, _TEXT, b"", hashlib.sha256(_TEXT).digest()),
        Answer("SHA-512", sec.DIGEST, sec.SHA512, _TEXT, b"", hashlib.sha512(_TEXT).digest()),
    )


def _powers() -> tuple[Answer, ...]:
    size = _BITS // 8
    base, exponent, modulus = 0x1234_5678_9ABC_DEF0, 65537, (1 << 127) - 1
    extra = exponent.to_bytes(size, "big") + modulus.to_bytes(size, "big")
    expected = pow(base, exponent, modulus).to_bytes(size, "big")
    return (Answer("a power", hpre.POWER, size, base.to_bytes(size, "big"), extra, expected),)


def _copies() -> tuple[Answer, ...]:
    return (Answer("a copy", memcpy.COPY, 0, _TEXT, b"", _TEXT),)


_BY_ALGORITHM = {
    **dict.fromkeys(("zlib", "gzip", "deflate"), _compression),
    **dict.fromkeys(("aes", "cipher"), _ciphers),
    **dict.fromkeys(("sha", "digest"), _digests),
    **dict.fromkeys(("rsa", "dh"), _powers),
    **dict.fromkeys(("memcpy", "copy"), _copies),
}


def answers(algorithms: Iterable[str]) -> tuple[Answer, ...]:
    """The jobs for a queue that does these; none where no name is known."""
    makers = dict.fromkeys(_BY_ALGORITHM[name] for name in algorithms if name in _BY_ALGORITHM)
    return tuple(answer for make in makers for answer in make())


class Rings:
    """A queue that is started: its two regions, and memory of ours that it reaches at `iova`.

    `wait` is called with what tells whether a completion has come, and waits for `PATIENCE` at
    most.
    """

    def __init__(
        self,
        trial: Trial,
        doorbell: Memory,
        rings: Memory,
        room: Memory,
        iova: int,
        wait: Callable[[Callable[[], bool]], object],
    ) -> None:
        self._trial = trial
        self._client = Client(doorbell.view, rings.view)
        self._room = room
        self._iova = iova
        self._wait = wait

    def perform(self, answer: Answer) -> bytes:
        """Have one job done; its result. Fails where none comes, or with another status than ok."""
        trial = self._trial
        trial.say(answer.name)
        self._fill(answer)
        tag = self._submit(answer)
        self._client.ring()
        done = self._completed()
        if not done:
            trial.fail(f"{answer.name}: no completion in {PATIENCE:g} s")
        trial.expect(f"{answer.name}: completions", 1, len(done))
        trial.expect(f"{answer.name}: tag", tag, done[0].tag)
        trial.expect(f"{answer.name}: status", "ok", _status(done[0].status))
        return bytes(self._room.view[_TARGET : _TARGET + done[0].produced])

    def repeat(self, answer: Answer, count: int) -> None:
        """Have one job done so often, all given at once. Fails as `perform` does."""
        trial = self._trial
        trial.say(f"{count} times {answer.name}")
        self._fill(answer)
        for _ in range(count):
            self._submit(answer)
        self._client.ring()
        missing = count
        while missing:
            done = self._completed()
            if not done:
                trial.fail(f"{answer.name}: {missing} of {count} not done in {PATIENCE:g} s")
            for one in done:
                if one.status:
                    trial.fail(f"{answer.name}: {_status(one.status)}")
            missing -= len(done)

    def _fill(self, answer: Answer) -> None:
        view = self._room.view
        view[_SOURCE : _SOURCE + len(answer.source)] = answer.source
        view[_EXTRA : _EXTRA + len(answer.extra)] = answer.extra

    def _submit(self, answer: Answer) -> int:
        """Put a job into the ring; its tag."""
        tag = self._client.submitted
        self._client.submit(
            Job(
                answer.operation,
                answer.parameter,
                source=self._iova + _SOURCE,
                target=self._iova + _TARGET,
                source_size=len(answer.source),
                target_size=_EXTRA - _TARGET,
                extra=self._iova + _EXTRA,
                extra_size=len(answer.extra),
                tag=tag,
            )
        )
        return tag

    def _completed(self) -> list[Completion]:
        """What has been completed, once something is; nothing if that takes too long."""
        done: list[Completion] = []

        def come() -> bool:
            done.extend(self._client.completions())
            return bool(done)

        self._wait(come)
        return done

    def check(self, answer: Answer) -> None:
        """Have one job done, and compare."""
        result = self.perform(answer)
        try:
            got = answer.judged(result)
        except zlib.error as error:
            self._trial.fail(f"{answer.name}: the result is no stream: {error}")
        self._trial.expect(answer.name, answer.expected, got, self._iova + _TARGET)


def describes_itself(rings: Memory) -> bool:
    """Whether the memory of a queue begins with the header."""
    return bytes(rings.view[: len(MAGIC)]) == MAGIC


def _status(number: int) -> str:
    return STATUS[number] if number < len(STATUS) else f"status {number}"
