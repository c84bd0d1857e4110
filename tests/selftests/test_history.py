"""What came of a run can be asked for later: which tests, on what, under which kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sdmtop.backends.tree import TreeHost
from sdmtop.operations.journal import Journal
from sdmtop.selftests.history import History, history, last
from sdmtop.selftests.records import Result
from sdmtop.selftests.reports import age, history_line

if TYPE_CHECKING:
    from pathlib import Path

    from sdmtop.operations.journal import Verdict

NIC, EDU = "0000:03:00.0", "0000:01:00.0"


def result(test: str, target: str, verdict: Verdict = "pass") -> Result:
    return Result(test, target, verdict, "told" if verdict == "fail" else None, (), 0.25)


@pytest.fixture
def host() -> TreeHost:
    return TreeHost({})


@pytest.fixture
def journal(host: TreeHost) -> Journal:
    """With two runs of a test on one device, and one on another."""
    found = Journal(None)
    older, newer = (History(host, kernel, lambda: found) for kernel in ("6.1", "6.12"))
    older.keep(result("edu.dma", EDU))
    older.keep(result("vfio.dma", NIC))
    newer.keep(result("edu.dma", EDU, "fail"))
    return found


def test_all_is_kept_oldest_first_with_the_kernel(host: TreeHost, journal: Journal) -> None:
    found = [(line.test, line.target, line.result, line.kernel) for line in history(host, journal)]
    assert found == [
        ("edu.dma", EDU, "pass", "6.1"),
        ("vfio.dma", NIC, "pass", "6.1"),
        ("edu.dma", EDU, "fail", "6.12"),
    ]


def test_it_can_be_that_of_some_targets_or_tests(host: TreeHost, journal: Journal) -> None:
    assert {line.target for line in history(host, journal, targets={NIC})} == {NIC}
    assert {line.test for line in history(host, journal, tests={"edu.dma"})} == {"edu.dma"}
    assert history(host, journal, targets={NIC}, tests={"edu.dma"}) == ()


def test_another_host_has_its_own(journal: Journal) -> None:
    other = TreeHost({})
    other.url = "linux:/other"
    assert history(other, journal) == ()


def test_the_last_of_each_test_and_target(host: TreeHost, journal: Journal) -> None:
    found = last(history(host, journal))
    assert {place: line.result for place, line in found.items()} == {
        ("edu.dma", EDU): "fail",
        ("vfio.dma", NIC): "pass",
    }


def test_where_nothing_is_to_be_changed_nothing_is_kept(host: TreeHost) -> None:
    journal = Journal(None)
    host.disarmed = "this is only looked at"
    History(host, None, lambda: journal).keep(result("edu.dma", EDU))
    assert journal.tests() == ()


def test_a_journal_that_cannot_be_written_is_told_and_does_not_end_the_run(
    host: TreeHost, tmp_path: Path
) -> None:
    kept = History(host, None, lambda: Journal(str(tmp_path / "nowhere" / "journal")))
    kept.keep(result("edu.dma", EDU))
    assert kept.trouble is not None
    assert kept.trouble.startswith("results are not kept: the journal cannot be written: ")
    assert kept.trouble.endswith("(ENOENT)")


def test_a_line_says_when_what_and_why(host: TreeHost, journal: Journal) -> None:
    *_, newest = history(host, journal)
    line = history_line(newest)
    assert line[10] == " "
    assert line[19:].split() == ["FAIL", "edu.dma", EDU, "0.25", "s", "told"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s ago"), (59, "59 s ago"), (60, "1 m ago"), (7300, "2 h ago"), (9e5, "10 d ago")],
)
def test_how_long_ago(seconds: float, words: str) -> None:
    assert age(seconds) == words
