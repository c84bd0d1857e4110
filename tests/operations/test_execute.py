"""The gate, the steps with their checks, and the way back."""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from sdmtop.backends.tree import Failure
from sdmtop.errors import NothingToDoError, RefusedError
from sdmtop.operations.execute import WAITING, Consent, Progress, Result, begin, execute, follow
from sdmtop.operations.kept import Kept
from sdmtop.operations.plan import ANY, Call, Fact, Load, Plan, Verdict, Write
from sdmtop.operations.store import Store, open_store
from sdmtop.operations.undo import plan_undo
from sdmtop.readers.snapshot import read_snapshot
from tests.operations.box import Box, plan, step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sdmtop.operations.journal import Entry

TWO = (step("/a", "new"), step("/b", "new", subject="other"))
YES = Consent(confirmed=True)


@pytest.fixture
def box() -> Box:
    return Box({"/a": "old", "/b": "old", "/identity": "same"})


@pytest.fixture
def store(box: Box) -> Store:
    return open_store(box)


def run(
    box: Box,
    store: Store,
    what: Plan,
    *,
    consent: Consent = YES,
    tell: Callable[[Progress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Result:
    return begin(box, what, store=store, kept=Kept(box), consent=consent, tell=tell, stop=stop)


def states(store: Store) -> dict[int, str]:
    (entry,) = store.journal.entries()
    return dict(entry.states)


# -- the gate --


def test_a_host_that_may_not_be_changed_is_not_changed(box: Box, store: Store) -> None:
    box.disarmed = "the program was started with --read-only"
    with pytest.raises(RefusedError, match="--read-only"):
        run(box, store, plan(*TWO))
    assert box.written == []


def test_what_is_refused_is_refused_whatever_was_typed(box: Box, store: Store) -> None:
    refused = Verdict("refused", "thing", "the root file system is on it")
    with pytest.raises(RefusedError, match="root file system"):
        run(
            box,
            store,
            plan(*TWO, verdicts=(refused,)),
            consent=Consent(confirmed=True, typed="thing"),
        )
    assert box.written == []


def test_without_a_yes_nothing_is_done(box: Box, store: Store) -> None:
    with pytest.raises(RefusedError, match="not confirmed"):
        run(box, store, plan(*TWO), consent=Consent(confirmed=False))


@pytest.mark.parametrize("kind", ["unsafe", "unknown"])
@pytest.mark.parametrize("typed", ["", "y", "thin", "THING"])
def test_what_is_in_use_or_unknown_has_to_be_typed_in_full(
    box: Box, store: Store, kind: str, typed: str
) -> None:
    doubt = Verdict(kind, "thing", "somebody uses it")  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match="'thing' has to be typed in full"):
        run(box, store, plan(*TWO, verdicts=(doubt,)), consent=Consent(confirmed=True, typed=typed))
    assert box.written == []


def test_typed_in_full_it_is_done(box: Box, store: Store) -> None:
    doubt = Verdict("unsafe", "thing", "somebody uses it")
    consent = Consent(confirmed=True, typed="thing")
    assert run(box, store, plan(*TWO, verdicts=(doubt,)), consent=consent).ending == "done"


def test_a_group_that_another_plan_is_at_work_on_is_left_alone(box: Box, store: Store) -> None:
    with store.locked(["group/1"], "sdmtop detach thing"), pytest.raises(RefusedError) as caught:
        run(box, store, plan(*TWO))
    assert "group/1: process" in str(caught.value)
    assert "sdmtop detach thing" in str(caught.value)
    assert box.written == []


def test_nothing_is_done_without_a_journal(box: Box, store: Store, tmp_path: str) -> None:
    store.journal.path = f"{tmp_path}/no/such/directory/journal"
    with pytest.raises(OSError, match="No such file"):
        run(box, store, plan(*TWO))
    assert box.written == []


# -- steps --


def test_steps_are_done_in_order_and_told_of(box: Box, store: Store) -> None:
    told: list[tuple[int, str]] = []
    result = run(box, store, plan(*TWO), tell=lambda one: told.append((one.step, one.phase)))
    assert result == Result(1, "done")
    assert box.written == [("/a", "new"), ("/b", "new")]
    assert told == [(0, "begins"), (0, "done"), (1, "begins"), (1, "done")]
    assert states(store) == {0: "done", 1: "done"}


def test_the_plan_is_in_the_journal_before_the_first_step(box: Box, store: Store) -> None:
    seen: list[Entry] = []

    def look(text: str) -> None:
        seen.extend(store.journal.entries())
        box.put("/a", text)

    box.does["/a"] = [look]
    run(box, store, plan(*TWO))
    assert seen[0].begun.plan == plan(*TWO)
    assert seen[0].ended is None


def test_a_write_that_fails_has_the_steps_before_it_undone(box: Box, store: Store) -> None:
    box.does["/b"] = [errno.EINVAL]
    told: list[str] = []
    result = run(box, store, plan(*TWO), tell=lambda one: told.append(one.words))
    assert told == ["begins", "done", "begins", "failed: Invalid argument (EINVAL)", "undone",
                    "undone"]  # fmt: skip
    assert (result.ending, result.left) == ("rolled back", ())
    assert result.trouble == "change /b: Invalid argument (EINVAL)"
    assert box.read("/a") == b"old"
    assert states(store) == {0: "undone", 1: "undone"}


def test_a_write_that_succeeds_without_effect_is_a_failure(box: Box, store: Store) -> None:
    box.does["/b"] = ["nothing"]
    result = run(box, store, plan(*TWO))
    assert result.ending == "rolled back"
    assert result.trouble == ("change /b: it was done, without effect: /b: expected new, found old")


def test_a_write_that_had_another_effect_is_undone(box: Box, store: Store) -> None:
    box.does["/b"] = [lambda text: box.put("/b", f"{text}er")]
    result = run(box, store, plan(*TWO))
    assert result.ending == "rolled back"
    assert "expected new, found newer" in (result.trouble or "")
    assert box.read("/b") == b"old"


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EBUSY])
def test_what_fails_for_the_moment_is_tried_again(box: Box, store: Store, number: int) -> None:
    box.does["/a"] = [number, number]
    assert run(box, store, plan(*TWO)).ending == "done"
    assert box.written.count(("/a", "new")) == 3


def test_an_effect_may_take_a_moment(box: Box, store: Store) -> None:
    begun = box.time
    box.put("/a", lambda: b"new" if ("/a", "new") in box.written and box.time > begun + 0.5
            else b"old")  # fmt: skip
    box.does["/a"] = ["nothing"]
    assert run(box, store, plan(*TWO)).ending == "done"


def test_what_has_changed_since_the_plan_was_made_stops_it(box: Box, store: Store) -> None:
    what = plan(*TWO, identity=(Fact("text", "/identity", "same"),))
    box.put("/identity", "another")
    with pytest.raises(RefusedError, match="expected same, found another"):
        run(box, store, what)
    assert store.journal.entries() == ()


def test_what_changes_between_two_steps_stops_the_plan(box: Box, store: Store) -> None:
    what = plan(*TWO, identity=(Fact("text", "/identity", "same"),))

    def hot_plug(text: str) -> None:
        box.put("/a", text)
        box.put("/identity", "another")

    box.does["/a"] = [hot_plug]
    result = run(box, store, what)
    assert result.ending == "left"
    assert "it has changed meanwhile" in (result.trouble or "")
    assert result.left == ("/identity: expected same, found another",)
    assert ("/b", "new") not in box.written
    assert box.read("/a") == b"old"


@pytest.mark.parametrize("found", ["foreign", "new"])
def test_a_step_that_finds_another_state_is_not_begun_and_never_undone(
    box: Box, store: Store, found: str
) -> None:
    def meanwhile(text: str) -> None:
        box.put("/a", text)
        box.put("/b", found)

    box.does["/a"] = [meanwhile]
    told: list[tuple[int, str]] = []
    result = run(box, store, plan(*TWO), tell=lambda one: told.append((one.step, one.phase)))
    assert told[-3:] == [(1, "begins"), (1, "failed"), (0, "undone")]
    assert (result.ending, result.left) == ("left", (f"/b: expected old, found {found}",))
    assert f"change /b: it has changed meanwhile: /b: expected old, found {found}" in (
        result.trouble or ""
    )
    assert (box.read("/a"), box.read("/b")) == (b"old", found.encode())
    assert box.written == [("/a", "new"), ("/a", "old")]
    for number in (None, 1):
        with pytest.raises(NothingToDoError, match="nothing"):
            plan_undo(box, read_snapshot(box), store.journal.entries(), number=number)


def test_what_a_step_changes_is_expected_from_then_on(box: Box, store: Store) -> None:
    what = plan(*TWO, identity=(Fact("text", "/a", "old"), Fact("text", "/b", "old")))
    assert run(box, store, what).ending == "done"


def test_what_the_kernel_chooses_is_expected_from_then_on(box: Box, store: Store) -> None:
    free = replace(TWO[0], after=(Fact("text", "/a", ANY),))
    box.does["/a"] = [lambda _: box.put("/a", "chosen")]

    def move(text: str) -> None:
        box.put("/b", text)
        box.put("/a", "moved")

    box.does["/b"] = [move]
    third = step("/identity", "new", "same")
    result = run(box, store, plan(free, TWO[1], third, identity=(Fact("text", "/a", "old"),)))
    assert "/a: expected chosen, found moved" in (result.trouble or "")


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_what_the_kernel_chooses_and_cannot_be_read_is_not_expected(
    box: Box, store: Store, number: int
) -> None:
    box.put("/b", "anything")
    box.does["/b"] = [lambda _: box.put("/b", Failure(number))]
    chosen = replace(
        step("/b", "auto"), before=(Fact("text", "/b", ANY),), after=(Fact("text", "/b", ANY),)
    )
    assert run(box, store, plan(chosen, step("/a", "new"))).ending == "done"


# -- what does not answer --


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bytes]]:
    """A file whose reading does not return before the end of the test."""
    monkeypatch.setattr("sdmtop.patience.DEADLINE", 0.05)
    released = threading.Event()

    def read() -> bytes:
        released.wait(30)
        return b"same"

    yield read
    released.set()


def test_a_read_that_hangs_before_the_first_step_stops_the_plan(
    box: Box, store: Store, hanging: Callable[[], bytes]
) -> None:
    box.put("/identity", hanging)
    identity = (Fact("text", "/identity", "same"),)
    with pytest.raises(RefusedError, match=r"/identity: .* cannot be read: Connection timed out"):
        run(box, store, plan(*TWO, identity=identity))
    assert box.written == []


def test_a_read_that_hangs_after_a_step_has_it_undone(
    box: Box, store: Store, hanging: Callable[[], bytes]
) -> None:
    box.does["/b"] = [lambda _: box.put("/b", hanging)]
    result = run(box, store, plan(*TWO))
    assert result.ending == "left"
    assert "/b: expected new, found it cannot be read" in (result.trouble or "")
    assert result.mend == ("echo old > /b",)
    assert box.read("/a") == b"old"


# -- stopped --


def test_the_operator_can_stop_it_between_two_steps(box: Box, store: Store) -> None:
    result = run(box, store, plan(*TWO), stop=lambda: bool(box.written))
    assert (result.ending, result.trouble) == ("rolled back", "stopped by the operator")
    assert box.read("/a") == b"old"


def test_a_new_doubt_since_the_plan_was_shown_stops_it(
    box: Box, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubt = Verdict("unsafe", "thing", "it was mounted just now")
    monkeypatch.setattr("sdmtop.operations.execute.judge", lambda *_: (doubt,))
    with pytest.raises(RefusedError, match="it was mounted just now"):
        run(box, store, plan(*TWO))
    assert box.written == []


def test_another_loss_of_what_was_in_doubt_already_stops_it_too(
    box: Box, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Verdict("unsafe", "thing", "sda1 holds ext4, which nobody uses", ("sda", "sda1"))
    found = Verdict("unsafe", "thing", "/srv is mounted from it", ("sda", "sda1", "/srv"))
    again = replace(shown, sentence="sda1 holds ext4, which nobody uses now")
    typed = Consent(confirmed=True, typed="thing")
    monkeypatch.setattr("sdmtop.operations.execute.judge", lambda *_: (again, found))
    with pytest.raises(RefusedError, match="/srv is mounted"):
        run(box, store, plan(*TWO, verdicts=(shown,)), consent=typed)
    assert box.written == []
    monkeypatch.setattr("sdmtop.operations.execute.judge", lambda *_: (again,))
    assert run(box, store, plan(*TWO, verdicts=(shown,)), consent=typed).ending == "done"


def test_a_call_without_the_number_that_it_needs_fails_as_a_step(box: Box, store: Store) -> None:
    call = Call("device", "VFIO_SDMDEV_CMD_BIND_PASID", "number of nobody")
    first = step("/a", "new")
    second = replace(step("/b", "new"), action=call, inverse=None)
    result = run(box, store, plan(first, second))
    assert result.ending == "rolled back"
    assert "EBADF" in (result.trouble or "")


# -- the way back --


def test_what_cannot_be_undone_is_named_with_the_commands_that_would(
    box: Box, store: Store
) -> None:
    box.does["/b"] = [errno.EINVAL]
    box.does["/a"] = [lambda text: box.put("/a", text), errno.EIO]
    result = run(box, store, plan(*TWO))
    assert result.ending == "left"
    assert result.left == ("/a: expected old, found new",)
    assert result.mend == ("echo old > /a",)
    assert states(store) == {0: "left", 1: "undone"}
    assert store.journal.entries()[0].ended is not None


def test_nothing_is_undone_on_top_of_what_could_not_be(box: Box, store: Store) -> None:
    three = (step("/a", "new"), step("/b", "new"), step("/identity", "new", "same", "other"))
    box.does["/identity"] = [errno.EINVAL]
    box.does["/b"] = [lambda text: box.put("/b", text), errno.EIO]
    result = run(box, store, plan(*three))
    assert result.left == ("/a: expected old, found new", "/b: expected old, found new")
    assert result.mend == ("echo old > /b", "echo old > /a")
    assert ("/a", "old") not in box.written


def test_what_somebody_else_has_changed_since_is_left_and_told(box: Box, store: Store) -> None:
    three = (step("/a", "new"), *TWO[1:], step("/identity", "new", "same", "third"))

    def fail(_: str) -> None:
        box.put("/b", "foreign")

    box.does["/identity"] = [fail]
    told: list[Progress] = []
    result = run(box, store, plan(*three), tell=told.append)
    assert ("/b", "old") not in box.written
    assert (box.read("/a"), box.read("/b")) == (b"old", b"foreign")
    assert (result.ending, result.left) == ("left", ("/b: expected old, found foreign",))
    assert result.mend == ()
    assert states(store) == {0: "undone", 1: "left", 2: "undone"}
    assert [one.text for one in told if one.phase == "left"] == [
        "it is not what the step has made, and is left so: /b: expected new, found foreign"
    ]
    again = plan_undo(box, read_snapshot(box), store.journal.entries(), number=1)
    assert [one.sentence for one in again.refusals] == ["it is not as the plan needs it: /b is new"]


def test_a_module_stays_loaded_and_is_no_difference(box: Box, store: Store) -> None:
    missing = Fact("exists", "/sys/bus/pci/drivers/vfio-pci", None)
    load = replace(
        TWO[0], action=Load("vfio-pci"), inverse=None, before=(missing,),
        after=(replace(missing, value="yes"),),
    )  # fmt: skip
    box.does["/b"] = [errno.EINVAL]
    assert run(box, store, plan(load, TWO[1])).ending == "rolled back"


# -- what hangs --


def test_a_write_that_does_not_return_is_stuck_and_left_alone(box: Box, store: Store) -> None:
    unbind = replace(TWO[1], action=Write("/x/unbind", "other"))
    box.put("/x/unbind", "")
    box.put("/proc/77/stack", "[<0>] vfio_unregister_group_dev+0x9e/0x120 [vfio]\n")
    box.does["/x/unbind"] = ["hang"]
    begun = box.time
    result = run(box, store, plan(TWO[0], unbind))
    assert result.ending == "stuck"
    assert box.time - begun >= WAITING
    assert "it does not return (process 77, in vfio_unregister_group_dev)" in (result.trouble or "")
    assert box.read("/a") == b"old"  # Another device: it need not wait.
    assert ("/b", "old") not in box.written
    assert states(store) == {0: "undone", 1: "stuck"}
    assert result.mend[-1].startswith("sdmtop undo 1")


def test_nothing_is_undone_behind_a_write_that_hangs(box: Box, store: Store) -> None:
    same = (step("/a", "new"), step("/b", "new"))
    box.does["/b"] = ["hang"]
    result = run(box, store, plan(*same))
    assert ("/a", "old") not in box.written
    assert result.left == ("/a: expected old, found new",)
    assert result.mend[0] == "echo old > /a"


def test_waiting_is_told_of(box: Box, store: Store) -> None:
    box.does["/a"] = ["hang"]
    told: list[str] = []
    run(box, store, plan(*TWO), tell=lambda one: told.append(one.phase))
    assert told.count("waits") > 5
    assert told[-1] == "stuck"


def test_when_it_returns_late_the_journal_is_told(box: Box, store: Store) -> None:
    box.does["/a"] = ["hang"]
    what = plan(*TWO)
    result = run(box, store, what)
    box.put("/a", "new")
    box.hanging[0].release()
    assert follow(box, result, store, what) == "change /a: returned late, done"
    assert states(store)[0] == "done"


def test_what_hangs_is_followed_and_its_group_let_go_whoever_has_carried_it_out(
    box: Box, store: Store
) -> None:
    box.does["/a"] = ["hang"]
    what = plan(*TWO)
    told: list[str] = []
    returned = threading.Event()

    def late(sentence: str) -> None:
        told.append(sentence)
        returned.set()

    result = execute(box, what, store=store, kept=Kept(box), consent=YES, late=late)
    assert result.ending == "stuck"
    with pytest.raises(RefusedError, match="is at work on it"):
        run(box, store, what)
    box.put("/a", "new")
    box.hanging[0].release()
    assert returned.wait(10)
    assert told == ["change /a: returned late, done"]
    undo = plan_undo(box, read_snapshot(box), store.journal.entries())
    assert run(box, store, undo).ending == "done"
    assert box.read("/a") == b"old"


def test_what_returns_late_and_cannot_be_told_is_told(
    box: Box, store: Store, tmp_path: Path
) -> None:
    box.does["/a"] = ["hang"]
    told: list[str] = []
    returned = threading.Event()

    def late(sentence: str) -> None:
        told.append(sentence)
        returned.set()

    execute(box, plan(*TWO), store=store, kept=Kept(box), consent=YES, late=late)
    store.journal.path = f"{tmp_path}/no/journal"
    box.hanging[0].release()
    assert returned.wait(10)
    assert "returned late" in told[0]
    assert "ENOENT" in told[0]


# -- an operator who has gone --


def test_what_cannot_be_told_ends_no_plan(box: Box, store: Store) -> None:
    def tell(_: Progress) -> None:
        raise OSError(errno.EIO, "the terminal is gone")

    assert run(box, store, plan(*TWO), tell=tell).ending == "done"
    assert states(store) == {0: "done", 1: "done"}


def test_a_terminal_that_goes_and_hangs_up_has_what_was_done_taken_back(
    box: Box, store: Store
) -> None:
    gone = threading.Event()

    def tell(progress: Progress) -> None:
        if gone.is_set() or progress.phase == "done":
            gone.set()
            raise OSError(errno.EIO, "the terminal is gone")

    result = run(box, store, plan(*TWO), tell=tell, stop=gone.is_set)
    assert result.ending == "rolled back"
    assert states(store) == {0: "undone"}
    assert (box.read("/a"), box.read("/b")) == (b"old", b"old")


def test_the_journal_knows_of_a_step_before_the_operator_is_told(box: Box, store: Store) -> None:
    known = []

    def tell(progress: Progress) -> None:
        if progress.phase == "done":
            known.append(states(store)[progress.step])

    run(box, store, plan(*TWO), tell=tell)
    assert known == ["done", "done"]


def test_of_a_step_that_was_never_begun_nothing_is_told(box: Box, store: Store) -> None:
    told: list[Progress] = []
    result = run(box, store, plan(*TWO), tell=told.append, stop=lambda: bool(told))
    assert result.ending == "rolled back"
    assert {one.step for one in told} == {0}
    assert set(store.journal.entries()[0].states) == {0}
