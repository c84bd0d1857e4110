"""Self-tests in the conversation: told, confirmed in words, and each result as it comes."""

import signal
import time
from collections.abc import Iterator
from queue import SimpleQueue

from sdmtop.operations.journal import Judged
from sdmtop.patience import patiently
from sdmtop.plain.sentences import count
from sdmtop.plain.session import Session, UnansweredError
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.sampler import Sampler
from sdmtop.selftests import host as host_family
from sdmtop.selftests import registry
from sdmtop.selftests.records import HOST, Result, SelfTest
from sdmtop.selftests.reports import age, evidence_lines, summary
from sdmtop.selftests.runner import Job, Run
from sdmtop.selftests.session import Ended, Ready, Update
from sdmtop.selftests.session import Session as Tests
from sdmtop.selftests.signals import cancelling
from sdmtop.text import printable


def test(session: Session, rest: str) -> Iterator[str]:
    """Tell which tests apply to a thing and what they take, ask, tell what comes of each."""
    if rest == HOST:
        yield from map(printable, _doctor(session))
        return
    target = session.target(rest)
    refusal = session.source.host.refusal()
    if refusal is not None:
        raise UnansweredError(f"not tested: {refusal}")
    told: SimpleQueue[Update] = SimpleQueue()
    tests = Tests(session.operations, target, told.put)
    tests.prepare()
    match told.get():
        case Ended(trouble=trouble):
            raise UnansweredError(f"not tested: {trouble}")
        case Ready() as ready:
            yield from map(printable, _what_would_be_done(ready))
    if session.ask("say yes to go on> ").lower() != "yes":
        raise UnansweredError("not tested: not confirmed")
    yield from map(printable, _what_comes(tests, told))


def _doctor(session: Session) -> Iterator[str]:
    """The checks of the host itself, which only look: what fails first, with what to do."""
    host = session.source.host
    if not isinstance(session.source, Sampler):
        raise UnansweredError(f"not tested: {host.refusal()}")
    snapshot = patiently(host, read_snapshot, host)
    checks = {check.name: check for check in host_family.TESTS}
    run = Run(host, snapshot, registry.jobs(checks.values(), host, snapshot, HOST))
    with cancelling(run.cancel) as signals:
        results = [found for found in run if isinstance(found, Result)]
    for verdict in ("fail", "pass", "skip"):
        for result in results:
            if result.result == verdict:
                yield from _of_result(result)
                if verdict == "fail":
                    yield f"why: {checks[result.test].why}"
                    yield f"do: {checks[result.test].remedy}"
    yield summary(results)
    if signals and signals[0] != signal.SIGINT:
        signal.raise_signal(signals[0])


def _what_would_be_done(ready: Ready) -> Iterator[str]:
    yield from ready.said
    yield f"{count(len(ready.jobs), 'test')} can be run"
    yield from (_of_job(job, ready.before.get((job.test.name, job.target))) for job in ready.jobs)
    if ready.lines:
        yield "this is taken first, and given back after"
        yield from filter(None, map(str.strip, ready.lines))
    else:
        yield "nothing has to be taken for it"


def _what_comes(tests: Tests, told: SimpleQueue[Update]) -> Iterator[str]:
    """Each result as it comes. Ctrl+c ends the run in good order, and not the conversation."""
    results: list[Result] = []
    with cancelling(tests.cancel) as signals:
        tests.run()
        while not isinstance(update := told.get(), Ended):
            if isinstance(update, Result):
                results.append(update)
                yield from _of_result(update)
    if results:
        yield summary(results)
    if update.trouble:
        yield update.trouble
    if signals and signals[0] != signal.SIGINT:
        signal.raise_signal(signals[0])


def _of_job(job: Job, before: Judged | None) -> str:
    """A test, what it proves, and what came of it last."""
    proves = f": {job.test.proves}" if isinstance(job.test, SelfTest) else ""
    ago = f", {before.result} {age(time.time() - before.at)}" if before is not None else ""
    return f"{job.test.name} on {job.target}{ago}{proves}"


def _of_result(result: Result) -> Iterator[str]:
    """A result; if the test has failed, with all that it has seen."""
    reason = f", {result.reason}" if result.reason else ""
    yield f"{result.result}: {result.test} on {result.target}{reason}"
    if result.result == "fail":
        yield from map(str.strip, evidence_lines(result))
