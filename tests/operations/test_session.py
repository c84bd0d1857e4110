"""Plans that are made while files of the host do not answer, and what is known of the journal."""

from __future__ import annotations

import os
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

from sdmtop.backends.tree import TreeHost
from sdmtop.errors import NothingToDoError, RefusedError
from sdmtop.operations.attach import plan_attach
from sdmtop.operations.execute import Consent, Result
from sdmtop.operations.plan import Plan
from sdmtop.operations.session import Failed, Means, Session, Update
from sdmtop.operations.undo import plan_detach
from sdmtop.readers.snapshot import read_snapshot
from tests.operations.bench import EDU, Bench
from tests.operations.blast.box import DISK, Box, system_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sdmtop.backends.tree import Entry

NODE = "/dev/nvme0n1"


class HangingHost(TreeHost):
    """Files whose reading does not return before the end of the test."""

    def __init__(self, entries: Mapping[str, Entry], *hanging: str) -> None:
        super().__init__(entries)
        self.hanging = set(hanging)
        self.released = threading.Event()

    def read(self, path: str, limit: int = 1 << 20) -> bytes:
        self._hang(path)
        return super().read(path, limit)

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        self._hang(path)
        return super().read_at(path, offset, size)

    def _hang(self, path: str) -> None:
        self._say(path)
        if path in self.hanging:
            self.released.wait(30)


class NotedHost(TreeHost):
    """Remembers what was read."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.read_paths: set[str] = set()
        super().__init__(entries, backend="linux")

    def _say(self, path: str) -> None:
        self.read_paths.add(path)
        super()._say(path)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdmtop.patience.DEADLINE", 0.2)


@pytest.fixture
def box() -> Box:
    """A machine with one disk, which nobody uses."""
    box = Box()
    box.disk(data=b"\0" * 4096)
    return box


@pytest.fixture
def make(box: Box) -> Iterator[Callable[..., HangingHost]]:
    made: list[HangingHost] = []

    def of(*hanging: str) -> HangingHost:
        box.host()  # It adds the last files.
        made.append(HangingHost(box.entries, *hanging))
        return made[-1]

    yield of
    for host in made:
        host.released.set()


def attach_the_disk(means: Means) -> Plan:
    return plan_attach(means.host, means.snapshot, [DISK])


def planned(session: Session) -> Update:
    told: SimpleQueue[Update] = SimpleQueue()
    session.plan(attach_the_disk, told.put)
    return told.get(timeout=20)


def test_a_disk_that_does_not_answer_is_unknown_and_nobody_waits(
    make: Callable[..., HangingHost],
) -> None:
    plan = planned(Session(make(NODE)))
    assert isinstance(plan, Plan)
    told = [doubt.sentence for doubt in plan.doubts if NODE in doubt.sentence]
    assert told == [f"cannot tell what its disks carry: {NODE}: Connection timed out (ETIMEDOUT)"]


def test_several_files_that_do_not_answer_are_each_told(
    make: Callable[..., HangingHost],
) -> None:
    plan = planned(Session(make(NODE, "/proc/swaps", "/proc/1/maps")))
    assert isinstance(plan, Plan)
    told = " ".join(doubt.sentence for doubt in plan.doubts)
    assert NODE in told
    assert "/proc/swaps" in told
    assert "1 processes cannot be looked into (Connection timed out)" in told


def test_what_the_plan_itself_needs_and_does_not_answer_is_said(
    make: Callable[..., HangingHost],
) -> None:
    path = f"/sys/devices/pci0000:00/{DISK}/driver_override"
    assert planned(Session(make(path))) == Failed("it failed: Connection timed out (ETIMEDOUT)")


def test_what_answers_after_all_is_read_by_the_next_plan(
    make: Callable[..., HangingHost],
) -> None:
    host = make(NODE)
    session = Session(host)
    planned(session)
    assert host.avoid == {NODE}
    host.hanging.clear()
    host.released.set()
    for _ in range(1000):
        if not host.avoid:
            break
        time.sleep(0.01)
    plan = planned(session)
    assert isinstance(plan, Plan)
    assert not any(NODE in doubt.sentence for doubt in plan.doubts)


def test_whatever_does_not_answer_no_plan_looks_safe_for_that() -> None:
    """Each path in turn that planning reads: the root is refused, or there is a doubt."""
    box = system_disk()
    box.host()
    host = NotedHost(box.entries)
    plan_attach(host, read_snapshot(host), [DISK])
    for path in sorted(host.read_paths):
        host.avoid = frozenset({path})
        try:
            plan = plan_attach(host, read_snapshot(host), [DISK])
        except (OSError, NothingToDoError, RefusedError):
            continue
        assert plan.refusals or plan.doubts, path


def carried_out(session: Session, make: Callable[[Means], Plan]) -> None:
    told: SimpleQueue[Update] = SimpleQueue()
    session.plan(make, told.put)
    plan = told.get(timeout=20)
    assert isinstance(plan, Plan)
    session.carry_out(plan, Consent(confirmed=True, typed=plan.phrase), told.put)
    while not isinstance(update := told.get(timeout=20), Result):
        assert not isinstance(update, Failed), update
    assert update.ending == "done"


def test_what_the_journal_has_as_attached_is_known_once_a_plan_has_ended() -> None:
    session = Session(Bench().host)
    assert session.attached == frozenset()
    carried_out(session, lambda means: plan_attach(means.host, means.snapshot, [EDU]))
    assert session.attached == {EDU}
    carried_out(
        session,
        lambda means: plan_detach(means.host, means.snapshot, [EDU], entries=means.entries),
    )
    assert session.attached == frozenset()


def test_a_damaged_journal_leaves_open_what_is_attached() -> None:
    session = Session(Bench().host)
    os.write(session.journal._memory, b"torn off\n")
    session.look_back()
    assert session.attached is None
