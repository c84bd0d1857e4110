"""The forms of results."""

import json
from xml.etree import ElementTree as Xml

from hypothesis import given
from hypothesis import strategies as st

from sdmtop.selftests.records import Evidence, Measurement, Result
from sdmtop.selftests.registry import TESTS
from sdmtop.selftests.reports import (
    as_json,
    as_junit,
    described,
    evidence_lines,
    list_lines,
    measurement_line,
    result_line,
    summary,
)

PASS = Result("edu.identity", "0000:01:00.0", "pass", None, (), 0.5)
FAIL = Result(
    "edu.dma", "0000:01:00.0", "fail", "it differs",
    (Evidence("byte 0", "aa", "ab", address="0x1000"), Evidence("kernel", None, "6.12")), 0.25,
)  # fmt: skip
SKIP = Result("uacce.queue", "hisi_zip-0", "skip", "no such node", (), 0.0)
ALL = (PASS, FAIL, SKIP)


def test_json_has_the_fields_of_the_contract() -> None:
    (record, *_) = json.loads(as_json(results=ALL))["results"]
    assert list(record) == ["test", "target", "result", "reason", "evidence", "seconds"]


def test_evidence_has_expected_got_address_and_errno() -> None:
    record = json.loads(as_json(results=[FAIL]))["results"][0]["evidence"][0]
    assert record == {
        "what": "byte 0", "expected": "aa", "got": "ab", "address": "0x1000", "errno": None,
    }  # fmt: skip


def test_junit_has_a_suite_for_each_target_and_a_case_for_each_test() -> None:
    top = Xml.fromstring(as_junit(ALL))
    assert top.attrib == {
        "name": "sdmtop selftest", "tests": "3", "failures": "1", "skipped": "1", "time": "0.750",
    }  # fmt: skip
    assert [suite.get("name") for suite in top] == ["0000:01:00.0", "hisi_zip-0"]
    cases = {case.get("name"): case for case in top.iter("testcase")}
    assert list(cases["edu.identity"]) == []
    failure, output = cases["edu.dma"]
    assert (failure.tag, failure.get("message")) == ("failure", "it differs")
    assert output.text == "byte 0 at 0x1000: ab (expected aa)\nkernel: 6.12"
    assert [child.tag for child in cases["uacce.queue"]] == ["skipped"]


@given(st.text(), st.text(), st.text())
def test_no_text_breaks_any_form(target: str, reason: str, got: str) -> None:
    hostile = Result("x.y", target, "fail", reason, (Evidence("what", reason, got),), 1.0)
    case = next(Xml.fromstring(as_junit([hostile])).iter("testcase"))
    assert case.get("name") == "x.y"
    for line in (result_line(hostile), *evidence_lines(hostile)):
        assert line.isprintable()


def test_a_line_leads_with_the_verdict_in_words() -> None:
    assert [result_line(one)[:4] for one in ALL] == ["pass", "FAIL", "skip"]


def test_the_summary_counts_each_verdict() -> None:
    assert summary(ALL) == "1 passed, 1 failed, 1 skipped"


def test_a_measurement_shows_its_spread_and_never_a_verdict() -> None:
    found = Measurement("edu.x", "dev", "jobs/s", 100.0, 90.0, 110.0, 20, None, 1.0)
    assert measurement_line(found).endswith("100 jobs/s (90 to 110, 20 runs)")
    none = Measurement("edu.x", "dev", "jobs/s", None, None, None, 0, "no queue", 1.0)
    assert measurement_line(none).endswith("not measured: no queue")


def test_the_list_says_of_every_test_what_it_proves_needs_and_touches() -> None:
    text = "\n".join(list_lines(TESTS))
    for test in TESTS:
        assert all((test.proves, test.needs, test.touches, test.why, test.remedy)), test.name
        assert test.name in text
        assert test.proves in text


def test_the_list_as_json_names_every_field() -> None:
    assert set(described(TESTS[0])) == {
        "name", "proves", "needs", "touches", "why", "remedy", "takes", "limit", "claims",
    }  # fmt: skip
