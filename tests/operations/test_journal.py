"""The journal keeps what was written, whatever happens to its end."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sdmtop.operations.journal import Entry, Journal, Judged
from tests.operations.box import BOOT, Box, plan, step

PLAN = plan(step("/a", "new"))


@pytest.fixture
def box() -> Box:
    return Box({"/a": "old"})


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(str(tmp_path / "journal"))


def test_a_journal_that_is_not_there_has_no_plans(journal: Journal) -> None:
    assert journal.entries() == ()


def test_what_was_written_is_read_again(box: Box, journal: Journal) -> None:
    number = journal.begin(PLAN, box)
    journal.step(number, 0, "done")
    journal.end(number, "left", ("something",))
    (entry,) = journal.entries()
    assert entry.begun.plan == PLAN
    assert (entry.begun.boot, entry.begun.pid) == (BOOT, os.getpid())
    assert entry.states == {0: "done"}
    assert entry.ended is not None
    assert (entry.ended.ending, entry.ended.left) == ("left", ("something",))


def test_in_memory_it_is_the_same(box: Box) -> None:
    journal = Journal(None)
    assert [journal.begin(PLAN, box), journal.begin(PLAN, box)] == [1, 2]
    assert len(journal.entries()) == 2


def test_numbers_go_on_in_another_process(box: Box, journal: Journal) -> None:
    assert journal.begin(PLAN, box) == 1
    assert Journal(journal.path).begin(PLAN, box) == 2


def test_the_number_of_a_plan_whose_record_is_damaged_is_not_given_again(
    box: Box, journal: Journal
) -> None:
    journal.begin(PLAN, box)
    journal.step(journal.begin(PLAN, box), 0, "done")
    path = Path(str(journal.path))
    first, second, step = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second.swapcase() + step)
    assert journal.begin(PLAN, box) == 3
    assert [entry.begun.number for entry in journal.entries()] == [1, 3]


def test_results_of_tests_stand_between_plans_and_have_no_number(
    box: Box, journal: Journal
) -> None:
    line = Judged(
        at=1.0, host="sim:", kernel="6.12", test="edu.dma", target="0000:01:00.0", result="fail",
        reason="a byte is wrong", seconds=0.1,
    )  # fmt: skip
    journal.test(line)
    assert journal.begin(PLAN, box) == 1
    journal.test(line)
    assert journal.begin(PLAN, box) == 2
    assert journal.tests() == (line, line)
    assert [entry.begun.number for entry in journal.entries()] == [1, 2]
    assert journal.damaged == 0


def test_only_its_owner_can_read_it(box: Box, journal: Journal) -> None:
    journal.begin(PLAN, box)
    assert os.stat(str(journal.path)).st_mode & 0o777 == 0o600


def test_it_is_only_ever_added_to(box: Box, journal: Journal) -> None:
    journal.begin(PLAN, box)
    before = Path(str(journal.path)).read_bytes()
    journal.step(1, 0, "done")
    journal.end(1, "done")
    assert Path(str(journal.path)).read_bytes().startswith(before)


def test_a_plan_that_undoes_another_marks_it_once_it_is_done(box: Box, journal: Journal) -> None:
    journal.end(journal.begin(PLAN, box), "done")
    undo = journal.begin(replace(PLAN, undoes=1), box)
    assert journal.entries()[0].undone_by is None
    journal.end(undo, "done")
    assert journal.entries()[0].undone_by == 2


def test_an_undo_that_is_undone_leaves_the_first_in_force(box: Box, journal: Journal) -> None:
    for undoes in (None, 1, 2, 3):
        journal.end(journal.begin(replace(PLAN, undoes=undoes), box), "done")
    assert [entry.undone_by for entry in journal.entries()] == [2, None, 4, None]


def test_what_did_the_rest_of_a_plan_leaves_it_half_done_when_that_is_undone(
    box: Box, journal: Journal
) -> None:
    journal.begin(PLAN, box)
    journal.end(journal.begin(replace(PLAN, finishes=1), box), "done")
    assert [entry.finished_by for entry in journal.entries()] == [2, None]
    for undoes, finished_by in ((2, None), (3, 2)):
        journal.end(journal.begin(replace(PLAN, undoes=undoes), box), "done")
        assert journal.entries()[0].finished_by == finished_by


@pytest.mark.parametrize(("undoes", "undone_by"), [((1,), [None]), ((2, 1), [2, None])])
def test_records_that_undo_themselves_or_what_comes_later_undo_nothing(
    box: Box, journal: Journal, undoes: tuple[int, ...], undone_by: list[int | None]
) -> None:
    for number in undoes:
        journal.end(journal.begin(replace(PLAN, undoes=number), box), "done")
    assert [entry.undone_by for entry in journal.entries()] == undone_by


def test_a_plan_whose_process_is_alive_is_running(box: Box, journal: Journal) -> None:
    journal.begin(PLAN, box)
    assert journal.entries()[0].is_running


def test_a_plan_whose_process_has_ended_is_not(journal: Journal) -> None:
    code = (
        "import sys\n"
        "from sdmtop.operations.journal import Journal\n"
        "from tests.operations.test_journal import PLAN, Box\n"
        "Journal(sys.argv[1]).begin(PLAN, Box({}))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(journal.path)], check=True)
    assert not journal.entries()[0].is_running


def test_another_process_of_the_same_pid_does_not_make_it_run(box: Box, journal: Journal) -> None:
    journal.begin(PLAN, box)
    (entry,) = journal.entries()
    older = entry._replace(begun=replace(entry.begun, started=1))
    assert not older.is_running


@given(cut=st.integers(min_value=0, max_value=4000))
def test_a_torn_end_costs_no_more_than_the_last_line(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    box = Box({"/a": "old"})
    path = tmp_path_factory.mktemp("torn") / "journal"
    journal = Journal(str(path))
    journal.begin(PLAN, box)
    whole = path.stat().st_size
    journal.step(1, 0, "done")
    data = path.read_bytes()
    path.write_bytes(data[: max(len(data) - cut, 0)])
    left = path.stat().st_size
    entries = journal.entries()
    assert [bool(entry.states) for entry in entries] == (
        [left >= len(data) - 1] if left >= whole - 1 else []
    )
    # What is written next does not stick to what was torn off.
    number = journal.begin(PLAN, box)
    assert journal.entries()[-1].begun.number == number


@given(damage=st.binary(min_size=1, max_size=40), at=st.integers(min_value=0))
def test_damage_is_passed_over_and_counted(
    damage: bytes, at: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    box = Box({"/a": "old"})
    path = tmp_path_factory.mktemp("damaged") / "journal"
    journal = Journal(str(path))
    for _ in range(3):
        journal.end(journal.begin(PLAN, box), "done")
    data = path.read_bytes()
    place = at % len(data)
    changed = data[:place] + damage + data[place + len(damage) :]
    path.write_bytes(changed)
    entries = journal.entries()
    assert changed == data or journal.damaged or entries == _entries(data, path)
    for entry in entries:
        assert entry.begun.plan == PLAN


def _entries(data: bytes, path: Path) -> tuple[Entry, ...]:
    path.write_bytes(data)
    return Journal(str(path)).entries()


def test_a_record_of_a_later_version_is_passed_over(box: Box, journal: Journal) -> None:
    journal.begin(PLAN, box)
    body = b'{"type":"shrunk","number":1}'
    with open(str(journal.path), "ab") as file:
        file.write(b"%08x %s\n" % (zlib.crc32(body), body))
    assert len(journal.entries()) == 1
    assert journal.damaged == 1


def test_a_symbolic_link_is_not_followed(box: Box, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "journal").symlink_to("elsewhere")
    with pytest.raises(OSError, match="Too many levels"):
        Journal(str(tmp_path / "journal")).begin(PLAN, box)
