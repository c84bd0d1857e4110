"""`sdmtop doctor`: what is wrong with this box, why it matters, and what to do."""

import argparse
from typing import TYPE_CHECKING

from sdmtop.errors import FAILED, put_out
from sdmtop.subcommands.options import add_host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sdmtop.selftests.records import Result, SelfTest


def arguments(parser: argparse.ArgumentParser) -> None:
    """What may be asked."""
    add_host(parser)
    parser.add_argument(
        "--format",
        choices=("json", "text"),
        default="text",
        help="text, or JSON for scripts (default text)",
    )


def run(options: argparse.Namespace) -> int:
    """Make all checks of the host; exit status 1 if one of them fails."""
    from sdmtop.backends.base import open_host
    from sdmtop.patience import patiently
    from sdmtop.readers.snapshot import read_snapshot
    from sdmtop.selftests import host as host_family
    from sdmtop.selftests import registry, reports
    from sdmtop.selftests.records import HOST, Result
    from sdmtop.selftests.runner import Run

    host = open_host(options.host)
    snapshot = patiently(host, read_snapshot, host)
    checks = host_family.TESTS
    jobs = registry.jobs(checks, host, snapshot, HOST)
    results = [found for found in Run(host, snapshot, jobs) if isinstance(found, Result)]
    tests = {check.name: check for check in checks}
    if options.format == "json":
        advised = [reports.with_advice(result, tests) for result in results]
        output = reports.as_json(results=advised)
    else:
        output = "".join(f"{line}\n" for line in _text(results, tests)).encode()
    failed = any(result.result == "fail" for result in results)
    return put_out(output) or (FAILED if failed else 0)


def _text(results: "Sequence[Result]", tests: "Mapping[str, SelfTest]") -> "Iterator[str]":
    """What fails first, with its advice; then what is well; then what cannot be told."""
    from sdmtop.selftests.reports import check_lines, summary

    for verdict in ("fail", "pass", "skip"):
        for result in results:
            if result.result == verdict:
                yield from check_lines(result, tests[result.test])
    yield summary(results)
