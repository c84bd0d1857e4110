"""What the next start says of a run that was cut off."""

from __future__ import annotations

import pytest

from sdmtop.operations.journal import Journal
from sdmtop.operations.recovery import half_done, settle
from tests.operations.box import Box, plan, step

PLAN = plan(step("/a", "new"), step("/b", "new"))


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Box:
    """A host whose earlier run has ended: its pid is nobody's."""
    monkeypatch.setattr("sdmtop.operations.journal.os.getpid", lambda: 1 << 23)
    return Box({"/a": "old", "/b": "old"})


def test_a_run_that_was_cut_off_before_its_first_step_has_left_nothing(box: Box) -> None:
    journal = Journal(None)
    journal.begin(PLAN, box)
    assert half_done(box, journal.entries()) == []


def test_a_run_that_was_cut_off_half_way_is_told_with_both_ways_on(box: Box) -> None:
    journal = Journal(None)
    number = journal.begin(PLAN, box)
    box.put("/a", "new")
    journal.step(number, 0, "done")
    (told,) = half_done(box, journal.entries())
    assert "left half-done, 1 of 2 steps" in told
    assert "'sdmtop undo 1' takes them back" in told
    assert "'sdmtop undo 1 --finish' does the rest" in told


def test_a_run_that_has_ended_is_not_told(box: Box) -> None:
    journal = Journal(None)
    journal.end(journal.begin(PLAN, box), "done")
    assert half_done(box, journal.entries()) == []


def test_after_a_reboot_it_is_told_once_that_it_is_undone(box: Box) -> None:
    journal = Journal(None)
    journal.step(journal.begin(PLAN, box), 0, "done")
    box.put("/proc/sys/kernel/random/boot_id", "another\n")
    (told,) = half_done(box, journal.entries())
    assert "the reboot since has undone it" in told
    settle(box, journal)
    assert half_done(box, journal.entries()) == []
    (entry,) = journal.entries()
    assert entry.ended is not None
    assert entry.ended.ending == "reboot"


def test_a_run_under_way_is_left_alone() -> None:
    box = Box({"/a": "new", "/b": "old"})
    journal = Journal(None)
    journal.begin(PLAN, box)
    assert half_done(box, journal.entries()) == []
    settle(box, journal)
    assert journal.entries()[0].ended is None
