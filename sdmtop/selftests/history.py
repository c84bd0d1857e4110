"""What came of earlier runs: a line of the journal for each result."""

import time
from collections.abc import Callable, Collection

from sdmtop.backends.base import Host
from sdmtop.errors import sentence
from sdmtop.operations.journal import Journal, Judged
from sdmtop.selftests.records import Result


class History:
    """Keeps the results of a run on a host whose kernel is of this release.

    `journal` is called with the first result. Where it cannot be written the run goes on, and
    `trouble` says so.
    """

    def __init__(self, host: Host, kernel: str | None, journal: Callable[[], Journal]) -> None:
        self._host = host
        self._kernel = kernel
        self._journal = journal
        self.trouble: str | None = None

    def keep(self, result: Result) -> None:
        """Write one down, unless the operator wants nothing changed."""
        if self._host.disarmed is not None:
            return
        line = Judged(
            at=time.time(),
            host=self._host.url,
            kernel=self._kernel,
            test=result.test,
            target=result.target,
            result=result.result,
            reason=result.reason,
            seconds=result.seconds,
        )
        try:
            self._journal().test(line)
        except OSError as error:
            self.trouble = sentence("results are not kept: the journal cannot be written", error)


def history(
    host: Host,
    journal: Journal,
    *,
    targets: Collection[str] | None = None,
    tests: Collection[str] | None = None,
) -> tuple[Judged, ...]:
    """What came of these tests on these targets of a host, oldest first; None: of all.

    Raises `OSError` where the journal cannot be read.
    """
    return tuple(
        line
        for line in journal.tests()
        if line.host == host.url
        and (targets is None or line.target in targets)
        and (tests is None or line.test in tests)
    )


def last(lines: Collection[Judged]) -> dict[tuple[str, str], Judged]:
    """By test and target, the newest of these."""
    return {(line.test, line.target): line for line in lines}
