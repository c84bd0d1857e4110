"""`sdmtop selftest`: known-answer tests of a device, a group, a queue, or all there is."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sdmtop.errors import FAILED, NOTHING_TO_DO, UsageError, complain, put_out
from sdmtop.subcommands.options import add_host, add_read_only, why_disarmed
from sdmtop.text import printable

if TYPE_CHECKING:
    from sdmtop.operations.plan import Plan
    from sdmtop.selftests.history import History
    from sdmtop.selftests.records import Benchmark, Measurement, Result, SelfTest
    from sdmtop.selftests.runner import Run, Step


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be asked."""
    add_host(parser)
    add_read_only(parser)
    parser.add_argument(
        "target",
        metavar="TARGET",
        nargs="?",
        help="a PCI address, a network interface, the UUID of an sdmdev or its beginning (for the "
        "tests of its parent), group/N, a uacce or wq name, a DMA channel, or 'host'; "
        "default: all that is free, but not the host itself",
    )
    parser.add_argument(
        "--test",
        metavar="NAME",
        action="append",
        help="a test, a family, or a pattern such as '*.interrupt'; may be repeated",
    )
    parser.add_argument("--bench", action="store_true", help="measure, and judge nothing")
    parser.add_argument("--list", action="store_true", help="what tests there are; run none")
    parser.add_argument(
        "--history", action="store_true", help="what came of earlier runs; run none"
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="take what the tests need, and give it back, without asking; never what is in use",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be taken and tested; do nothing"
    )
    parser.add_argument(
        "--format",
        choices=("text", "json", "junit"),
        default="text",
        help="text, JSON, or JUnit's XML (default text)",
    )


def run(options: argparse.Namespace) -> int:
    """Run what applies; exit status 1 if a test fails, 4 if there was nothing to test."""
    from sdmtop.selftests import registry, reports

    if options.format == "junit" and (options.bench or options.list or options.history):
        return complain("selftest", UsageError("--format junit is for the results of a run only"))
    if options.history and (options.bench or options.list):
        return complain("selftest", UsageError("--history is of tests, and goes with no --list"))
    try:
        tests = registry.chosen(options.test, bench=options.bench)
    except UsageError as error:
        return complain("selftest", error)
    if options.history:
        return _history(options, [test.name for test in tests] if options.test else None)
    if not options.list:
        return _run(options, tests)
    if options.format == "json":
        key = "benchmarks" if options.bench else "tests"
        return put_out(reports.as_json(**{key: [*map(reports.described, tests)]}))
    return _print(reports.list_lines(tests))


def _history(options: argparse.Namespace, tests: "Sequence[str] | None") -> int:
    """What came of earlier runs: of these tests, or of all."""
    from sdmtop.backends.base import open_host
    from sdmtop.operations.store import open_journal
    from sdmtop.operations.targets import meant
    from sdmtop.patience import patiently
    from sdmtop.readers.snapshot import read_snapshot
    from sdmtop.selftests import registry, reports
    from sdmtop.selftests.history import history

    host, target = open_host(options.host), options.target
    journal = open_journal(host)
    targets = None
    if target is not None:
        snapshot = patiently(host, read_snapshot, host)
        target = patiently(host, meant, host, snapshot, target)
        targets, tests = registry.history_of(snapshot, target, tests)
    found = history(host, journal, targets=targets, tests=tests)
    if options.format == "json":
        return put_out(reports.as_json(history=found, damaged_lines=journal.damaged))
    if not found:
        why = "" if journal.path else ": that of a simulated or captured host ends with its process"
        return _nothing(target or "selftest", f"the journal has no results of tests{why}")
    return _print(map(reports.history_line, found))


def _run(options: argparse.Namespace, tests: "Sequence[SelfTest | Benchmark]") -> int:
    from sdmtop.backends.base import open_host
    from sdmtop.operations.recovery import give_back_leftovers, name_leftovers
    from sdmtop.operations.store import open_journal
    from sdmtop.operations.targets import meant
    from sdmtop.operations.words import plan_lines
    from sdmtop.patience import patiently
    from sdmtop.readers.snapshot import read_snapshot
    from sdmtop.selftests import registry
    from sdmtop.selftests.history import History
    from sdmtop.selftests.lease import Lender
    from sdmtop.selftests.runner import Run
    from sdmtop.selftests.session import plans_for

    host = open_host(options.host)
    host.disarmed = why_disarmed(options)
    lender = Lender(host)
    refusal = "this is a dry run" if options.dry_run else host.refusal()
    left = (
        give_back_leftovers(host, lender.store)
        if refusal is None
        else name_leftovers(host, open_journal(host), refusal)
    )
    _say(text for _, text in left)
    snapshot = patiently(host, read_snapshot, host)
    target = options.target
    if target is not None:
        target = patiently(host, meant, host, snapshot, target)
    jobs = registry.jobs(tests, host, snapshot, target)
    if not jobs:
        if target is not None and not registry.exists(snapshot, target):
            return _nothing(target, "no such device, group, queue or interface")
        why = target and registry.why_none(tests, host, snapshot, target)
        return _nothing(target or "selftest", why or _none_applies(options))
    if target is not None:
        _say(registry.told(snapshot, target))
    plans = plans_for(lender, jobs, snapshot)
    if options.dry_run:
        lines = [line for plan in plans for line in (*plan_lines(plan), "")]
        lines += [f"would run {job.test.name} on {job.target}" for job in jobs]
        return _print(map(printable, lines))
    lender.confirmed = options.yes or _confirm(plans)
    show = _show if _is_live(options) else _ignore
    history = History(host, snapshot.host.kernel, lambda: lender.store.journal)
    return _report(options, Run(host, snapshot, jobs, show, lender), history)


def _none_applies(options: argparse.Namespace) -> str:
    if options.bench:
        return "no benchmark applies; 'sdmtop selftest --bench --list' says what each one needs"
    return "no test applies; 'sdmtop doctor' examines the host itself"


def _confirm(plans: "Sequence[Plan]") -> bool:
    """Show what would be taken, and ask; no where there is no terminal to ask on."""
    from sdmtop.operations.words import plan_lines

    if not plans or sys.stdin is None or not sys.stdin.isatty():
        return False
    _say(line for plan in plans for line in plan_lines(plan))
    sys.stderr.write("All of it is given back after the tests. Go on? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _say(lines: Iterable[str]) -> None:
    """For a person, beside the results."""
    for line in lines:
        sys.stderr.write(f"{printable(line)}\n")


def _report(options: argparse.Namespace, run: "Run", history: "History") -> int:
    """Run, say what comes of it, and how it ends as an exit status."""
    from sdmtop.selftests import reports
    from sdmtop.selftests.records import Measurement, Result
    from sdmtop.selftests.signals import cancelling

    results: list[Result] = []
    measurements: list[Measurement] = []
    status = 0
    with cancelling(run.cancel) as signals:
        for found in run:
            if isinstance(found, Measurement):
                measurements.append(found)
            else:
                results.append(found)
                history.keep(found)
            if options.format == "text":
                _clear(options)
                status = status or _print(reports.outcome_lines(found))
    _say(filter(None, [history.trouble]))
    if options.format == "junit":
        status = put_out(reports.as_junit(results))
    elif options.format == "json":
        records = {"benchmarks": measurements} if options.bench else {}
        status = put_out(reports.as_json(**records, results=results))
    elif results:
        status = status or _print([reports.summary(results)])
    if signals:
        return 128 + signals[0]
    return status or _verdict(results, measurements)


def _verdict(results: "Sequence[Result]", measurements: "Sequence[Measurement]") -> int:
    """The exit status."""
    verdicts = [result.result for result in results]
    if "fail" in verdicts:
        return FAILED
    if measurements or "pass" in verdicts:
        return 0
    return _nothing("selftest", f"every test was skipped: {results[0].reason}")


def _print(lines: Iterable[str]) -> int:
    return put_out("".join(f"{line}\n" for line in lines).encode())


def _nothing(what: str, why: str) -> int:
    complain(what, ValueError(why))
    return NOTHING_TO_DO


def _is_live(options: argparse.Namespace) -> bool:
    return options.format == "text" and sys.stderr is not None and sys.stderr.isatty()


def _show(step: "Step") -> None:
    head = f"[{step.number}/{step.total}] {step.job.test.name} {step.job.target}"
    sys.stderr.write(f"\r\x1b[K{printable(f'{head}: {step.words}')[:100]}")
    sys.stderr.flush()


def _ignore(_step: "Step") -> None:
    """Nobody looks."""


def _clear(options: argparse.Namespace) -> None:
    if _is_live(options):
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
