"""Running tests: verdicts, evidence, cancel, timeouts, and what is given back."""

import errno
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sdmtop.backends.tree import TreeHost
from sdmtop.selftests.records import Benchmark, Measurement, Result, SelfTest, the_host
from sdmtop.selftests.runner import Job, Run, Step
from sdmtop.selftests.trial import Trial
from tests.records import snapshot


def a_test(run: Callable[[Trial], str | None], limit: float = 5.0) -> SelfTest:
    return SelfTest("x.y", run, the_host, "it works", "nothing", "nothing", "", "", limit=limit)


class FreeHost(TreeHost):
    """A tree that says it may be changed."""

    def refusal(self) -> str | None:
        return None


def outcomes(*tests: SelfTest | Benchmark, **options: Any) -> list[Result | Measurement]:
    jobs = [Job(test, "host") for test in tests]
    return list(Run(FreeHost({}), snapshot(), jobs, **options))


def result(run: Callable[[Trial], str | None]) -> Result:
    (found,) = outcomes(a_test(run))
    assert isinstance(found, Result)
    return found


def test_a_test_that_ends_has_passed_with_its_summary() -> None:
    found = result(lambda _trial: "all of it")
    assert (found.test, found.target, found.result, found.reason) == (
        "x.y", "host", "pass", "all of it",
    )  # fmt: skip


def test_a_difference_fails_with_both_values_and_the_address() -> None:
    found = result(lambda trial: trial.expect("factorial", 120, 121, 0x8))
    assert (found.result, found.reason) == ("fail", "factorial at 0x8: expected 120, got 121")
    (seen,) = found.evidence
    assert (seen.what, seen.expected, seen.got, seen.address) == ("factorial", "120", "121", "0x8")


def test_what_was_seen_before_a_failure_is_kept() -> None:
    def run(trial: Trial) -> None:
        trial.note("kernel", "6.12")
        trial.expect("one", 1, 1)
        trial.fail("enough")

    assert [seen.what for seen in result(run).evidence] == ["kernel", "one"]


def test_a_test_that_cannot_be_made_here_is_skipped_with_the_reason() -> None:
    found = result(lambda trial: trial.skip("no such node"))
    assert (found.result, found.reason) == ("skip", "no such node")


def refusing(number: int) -> Callable[[Trial], None]:
    def run(trial: Trial) -> None:
        trial.say("opening")
        raise OSError(number, "no")

    return run


def test_an_error_that_nobody_expected_fails_and_says_in_which_step() -> None:
    found = result(refusing(errno.EIO))
    assert (found.result, found.reason) == ("fail", "opening: no (EIO)")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_right_that_is_missing_tells_nothing_of_the_device(number: int) -> None:
    (found,) = Run(TreeHost({}), snapshot(), [Job(a_test(refusing(number)), "host")])
    assert isinstance(found, Result)
    assert found.result == "skip"
    assert found.reason is not None
    assert found.reason.endswith("a capture is only read")
    assert result(refusing(number)).result == "fail"  # Who has the right has found something.


def test_a_bug_of_a_test_is_a_failure_and_does_not_end_the_run() -> None:
    def broken(_trial: Trial) -> str:
        raise KeyError("x")

    first, second = outcomes(a_test(broken), a_test(lambda _trial: None))
    assert isinstance(first, Result)
    assert isinstance(second, Result)
    assert (first.result, first.reason) == ("fail", "starting: KeyError: 'x'")
    assert second.result == "pass"


def test_a_refusal_must_be_the_right_one() -> None:
    def refuse(number: int) -> None:
        raise OSError(number, "no")

    def run(trial: Trial) -> None:
        trial.refused("first", (errno.EINVAL, errno.EEXIST), refuse, errno.EEXIST)
        trial.refused("second", (errno.EINVAL,), refuse, errno.EBUSY)

    found = result(run)
    assert found.reason == "second: expected EINVAL, got EBUSY (no)"
    assert [seen.errno for seen in found.evidence] == ["EEXIST", "EBUSY"]


def test_what_must_be_refused_and_is_accepted_fails() -> None:
    found = result(lambda trial: trial.refused("overlap", (errno.EEXIST,), lambda: None))
    assert found.reason == "overlap: expected EEXIST, and it was accepted"


@pytest.mark.parametrize("end", ["pass", "fail", "skip", "error"])
def test_what_was_taken_is_given_back_in_reverse_order_however_it_ends(end: str) -> None:
    given: list[str] = []

    def run(trial: Trial) -> None:
        trial.finally_(given.append, "first")
        trial.finally_(given.append, "second")
        match end:
            case "fail":
                trial.fail("no")
            case "skip":
                trial.skip("no")
            case "error":
                raise OSError(errno.EIO, "no")

    result(run)
    assert given == ["second", "first"]


def test_what_cannot_be_given_back_fails_and_the_rest_is_still_given_back() -> None:
    given: list[str] = []

    def run(trial: Trial) -> str:
        trial.finally_(given.append, "first")
        trial.finally_(refusing(errno.EBUSY), trial)
        return "fine"

    found = result(run)
    assert found.result == "fail"
    assert found.reason == "fine; what it took could not be given back: no (EBUSY)"
    assert given == ["first"]


def test_a_timeout_is_a_result_and_spares_the_target_what_is_left() -> None:
    release = threading.Event()

    def hang(trial: Trial) -> None:
        trial.say("waiting for the kernel")
        release.wait(10)

    def hang_in_a_call(trial: Trial) -> None:
        trial.say("opening")
        trial.refused("first", (errno.EINVAL,), refuse, errno.EINVAL)
        trial.refused("second", (errno.EINVAL,), release.wait, 10)

    def refuse(number: int) -> None:
        raise OSError(number, "no")

    first, second = outcomes(a_test(hang, limit=0.05), a_test(lambda _trial: None))
    (third,) = outcomes(a_test(hang_in_a_call, limit=0.05))
    release.set()
    assert isinstance(third, Result)
    assert (third.reason or "").startswith("no end after 0.05 s, at: second")
    assert isinstance(first, Result)
    assert isinstance(second, Result)
    assert first.result == "fail"
    assert first.reason is not None
    assert first.reason.startswith("no end after 0.05 s, at: waiting for the kernel")
    assert (second.result, second.reason) == ("skip", "an earlier test on it has not ended")


def test_a_cancelled_run_ends_at_the_next_step_and_skips_the_rest() -> None:
    given: list[str] = []

    def long(trial: Trial) -> None:
        trial.finally_(given.append, "back")
        run.cancel()
        trial.say("one more thing")
        given.append("never")

    jobs = [Job(a_test(long), "host"), Job(a_test(lambda _trial: None), "host")]
    run = Run(FreeHost({}), snapshot(), jobs)
    found = [(one.result, one.reason) for one in run if isinstance(one, Result)]
    assert found == [("skip", "cancelled"), ("skip", "cancelled")]
    assert given == ["back"]


def test_progress_says_which_job_of_how_many_does_what() -> None:
    steps: list[Step] = []
    outcomes(
        a_test(lambda trial: trial.say("looking")),
        a_test(lambda _trial: None),
        on_step=steps.append,
    )
    assert [(step.number, step.total, step.words) for step in steps] == [
        (1, 2, "starting"), (1, 2, "looking"), (2, 2, "starting"),
    ]  # fmt: skip


def a_benchmark(samples: list[float]) -> Benchmark:
    return Benchmark("x.z", lambda _trial: samples, the_host, "jobs", "jobs/s", "nothing")


def test_a_benchmark_has_a_median_and_a_spread_without_the_outer_tenths() -> None:
    (found,) = outcomes(a_benchmark([float(value) for value in range(21)]))
    assert isinstance(found, Measurement)
    assert (found.median, found.low, found.high, found.runs) == (10.0, 2.0, 18.0, 21)
    assert found.unit == "jobs/s"


def test_a_benchmark_that_cannot_be_made_has_a_reason_and_no_number() -> None:
    def skip(trial: Trial) -> list[float]:
        trial.skip("no queue")

    (found,) = outcomes(Benchmark("x.z", skip, the_host, "jobs", "jobs/s", "nothing"))
    assert isinstance(found, Measurement)
    assert (found.median, found.runs, found.reason) == (None, 0, "no queue")
