"""What came of a run, for a person, for a script, and for a build server."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as Xml

import msgspec

from sdmtop.operations.journal import Judged
from sdmtop.selftests.records import Benchmark, Measurement, Result, SelfTest
from sdmtop.text import printable

_MARKS = {"pass": "pass", "fail": "FAIL", "skip": "skip"}
_FIELDS = ("name", "proves", "needs", "touches", "why", "remedy", "takes", "limit", "claims")
_BENCH_FIELDS = ("name", "measures", "unit", "needs", "takes", "limit", "claims")


def result_line(result: Result) -> str:
    """One line: verdict, test, target, seconds, reason."""
    reason = f"  {result.reason}" if result.reason else ""
    return printable(
        f"{_MARKS[result.result]}  {result.test:<26} {result.target:<14} {result.seconds:6.2f} s"
        f"{reason}"
    )


def outcome_lines(found: Result | Measurement) -> Iterator[str]:
    """What came of a test or a benchmark; if it has failed, with all that it has seen."""
    if isinstance(found, Measurement):
        yield measurement_line(found)
        return
    yield result_line(found)
    if found.result == "fail":
        yield from evidence_lines(found)


def history_line(line: Judged) -> str:
    """One line of the history: when, verdict, test, target, seconds, reason."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.at))
    result = Result(line.test, line.target, line.result, line.reason, (), line.seconds)
    return f"{when}  {result_line(result)}"


def age(seconds: float) -> str:
    """How long ago something was, roughly: `5 s ago`, `3 h ago`, `12 d ago`."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def evidence_lines(result: Result) -> Iterator[str]:
    """A line for each thing that a failed test has seen."""
    for one in result.evidence:
        place = f" at {one.address}" if one.address else ""
        wanted = f" (expected {one.expected})" if one.expected is not None else ""
        yield printable(f"        {one.what}{place}: {one.got}{wanted}")


def check_lines(result: Result, test: SelfTest) -> Iterator[str]:
    """A check of the doctor; one that fails with what was seen, why it matters, what to do."""
    head = f"{_MARKS[result.result]}  {result.test.partition('.')[2]:<19} "
    if result.result != "fail":
        told = f": {result.reason}" if result.reason else ""
        yield printable(f"{head}{test.proves}{told}")
        return
    yield printable(f"{head}{result.reason}")
    if len(result.evidence) > 1:
        yield from evidence_lines(result)
    yield f"        why: {test.why}"
    yield f"        do:  {test.remedy}"


def measurement_line(found: Measurement) -> str:
    """One line: benchmark, target, median and spread."""
    head = f"{found.benchmark:<26} {found.target:<14}"
    if found.median is None or found.low is None or found.high is None:
        return printable(f"{head} not measured: {found.reason}")
    spread = f"{found.low:.4g} to {found.high:.4g}"
    return printable(f"{head} {found.median:.4g} {found.unit} ({spread}, {found.runs} runs)")


def summary(results: Sequence[Result]) -> str:
    """How many of which."""
    counts = dict.fromkeys(_MARKS, 0)
    for result in results:
        counts[result.result] += 1
    return f"{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped"


def as_json(**body: Any) -> bytes:
    """`{"results": [...]}`, or whatever is given, for a person to read as well."""
    return msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n"


def with_advice(result: Result, tests: Mapping[str, SelfTest]) -> dict[str, Any]:
    """A result of the doctor: why it matters, and what to do."""
    test = tests[result.test]
    record: dict[str, Any] = msgspec.to_builtins(result)
    return {**record, "why": test.why, "remedy": test.remedy}


def list_lines(tests: Iterable[SelfTest | Benchmark]) -> Iterator[str]:
    """Each test: name, what it proves, what it needs and touches, how long it takes."""
    for test in tests:
        if isinstance(test, SelfTest):
            yield f"{test.name:<26} {test.proves}"
            yield f"{'':<26}   needs {test.needs}; touches {test.touches}; {test.takes:g} s"
        else:
            yield f"{test.name:<26} {test.measures} ({test.unit})"
            yield f"{'':<26}   needs {test.needs}; {test.takes:g} s"


def described(test: SelfTest | Benchmark) -> dict[str, Any]:
    """What a test is, for `--list --format json`."""
    fields = _FIELDS if isinstance(test, SelfTest) else _BENCH_FIELDS
    return {field: getattr(test, field) for field in fields}


def as_junit(results: Sequence[Result]) -> bytes:
    """A `<testsuites>` document with a suite for each target, as build servers read it."""
    top = Xml.Element("testsuites", {"name": "sdmtop selftest", **_counts(results)})
    suites: dict[str, list[Result]] = {}
    for result in results:
        suites.setdefault(result.target, []).append(result)
    for target, of_target in suites.items():
        names = {"name": printable(target), **_counts(of_target)}
        suite = Xml.SubElement(top, "testsuite", names)
        for result in of_target:
            case = Xml.SubElement(
                suite,
                "testcase",
                classname=printable(target),
                name=result.test,
                time=f"{result.seconds:.3f}",
            )
            if result.result != "pass":
                kind = "failure" if result.result == "fail" else "skipped"
                Xml.SubElement(case, kind, message=printable(result.reason or ""))
            if result.evidence:
                text = "\n".join(line.strip() for line in evidence_lines(result))
                Xml.SubElement(case, "system-out").text = text
    Xml.indent(top)
    document: bytes = Xml.tostring(top, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _counts(results: Sequence[Result]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(result.result == "fail" for result in results)),
        "skipped": str(sum(result.result == "skip" for result in results)),
        "time": f"{sum(result.seconds for result in results):.3f}",
    }
