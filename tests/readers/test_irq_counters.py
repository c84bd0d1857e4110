"""The cheap sources of interrupt counts."""

import errno

import pytest

from sdmtop.backends.tree import Failure, TreeHost
from sdmtop.readers.irq_counters import IrqTotals, VisibleCounts
from tests.hosts import stat


def test_totals_are_those_of_the_intr_line_by_number() -> None:
    totals = IrqTotals(TreeHost({"/proc/stat": stat(0, 10, 4294967295)}))
    assert totals.update()
    assert list(totals.values()) == [0, 10, 4294967295]


def test_nothing_has_come_where_the_line_is_the_same() -> None:
    host = TreeHost({"/proc/stat": stat(0, 10)})
    totals = IrqTotals(host)
    totals.update()
    host.put("/proc/stat", stat(0, 10) + "procs_running 7\n")
    assert not totals.update()


@pytest.mark.parametrize("irqs", [10, 5_000, 60_000])
def test_a_long_line_is_read_whole(irqs: int) -> None:
    counts = [number % 1000 for number in range(irqs)]
    totals = IrqTotals(TreeHost({"/proc/stat": stat(*counts)}))
    assert totals.update()
    assert list(totals.values()) == counts


@pytest.mark.parametrize("line", ["", "intr", "intr 5", "intr 5 x", "intr 5 1.5", "intr 5 -1"])
def test_a_line_of_another_form_has_no_totals(line: str) -> None:
    totals = IrqTotals(TreeHost({"/proc/stat": f"cpu 1\n{line}\n"}))
    totals.update()
    assert list(totals.values()) == []


def test_a_file_that_fails_leaves_the_last_totals() -> None:
    host = TreeHost({"/proc/stat": stat(0, 10)})
    totals = IrqTotals(host)
    totals.update()
    host.put("/proc/stat", Failure(errno.EIO))
    assert not totals.update()
    assert totals.error is not None
    assert list(totals.values()) == [0, 10]


@pytest.mark.parametrize("text", ["", "x", "1,,2", "1.5", "[1]"])
def test_counts_of_another_form_are_none(text: str) -> None:
    counts = VisibleCounts(TreeHost({"/sys/kernel/irq/7/per_cpu_count": f"{text}\n"}))
    counts.watch((7,))
    counts.update(())
    assert counts.counts == {7: ()}
