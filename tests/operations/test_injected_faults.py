"""Every operation beside every kind of fault that a simulated kernel can be told to have."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from sdmtop.backends.simulator.host import SimulatorHost
from sdmtop.backends.simulator.scenario import Fault, FaultKind, read_scenario
from sdmtop.backends.simulator.syscalls import IOCTLS
from sdmtop.operations.execute import Consent, Progress, Result, begin
from sdmtop.operations.plan import Call, Open, Write
from tests.operations.bench import NIC, OPERATIONS, SCENARIO, ZIP, Bench
from tests.operations.test_on_the_simulator import each_step, named

if TYPE_CHECKING:
    from sdmtop.operations.plan import Action, Plan, Step

pytestmark = pytest.mark.long

ERRNOS = ("EBUSY", "EIO")
"""For the moment, and for good."""

OTHERS = sorted(set(get_args(FaultKind)) - {"errno", "hang", "kill", "removal"})


def simulated() -> tuple[Bench, SimulatorHost]:
    host = SimulatorHost(read_scenario(SCENARIO, "bench.toml"))
    return Bench(host), host


def run(bench: Bench, host: SimulatorHost, plan: Plan, at: int, fault: Fault) -> Result:
    """Carry a plan out, with a fault from the beginning of this step on."""

    def tell(progress: Progress) -> None:
        if (progress.step, progress.phase) == (at, "begins"):
            host.inject(fault)

    consent = Consent(confirmed=True, typed=plan.phrase)
    return begin(host, plan, store=bench.store, kept=bench.kept, consent=consent, tell=tell)


def operation_of(action: Action) -> str:
    """How the simulator calls it: a file that is written, `open`, or an ioctl."""
    if isinstance(action, Write):
        return action.path.rpartition("/")[2]
    if isinstance(action, Open):
        return "open"
    request = action.request if isinstance(action, Call) else ""
    return next((name for name in IOCTLS if request.endswith(name)), "")


def check(bench: Bench, step: Step, result: Result, before: object) -> None:
    """What failed or hung has left nothing, or it is named."""
    after = bench.snapshot()
    if result.ending == "done":
        assert operation_of(step.action) == "reset" or after != before
    elif result.ending == "rolled back":
        assert after == before
    else:
        assert result.left
        assert result.trouble


@pytest.mark.parametrize("number", ERRNOS)
@pytest.mark.parametrize(("name", "at"), each_step())
def test_a_step_that_the_kernel_refuses(name: str, at: int, number: str) -> None:
    bench, host = simulated()
    before = bench.snapshot()
    plan = OPERATIONS[name](bench)
    operation = operation_of(plan.steps[at].action)
    if operation:
        fault = Fault(kind="errno", operation=operation, errno=number, times=1)
        result = run(bench, host, plan, at, fault)
        assert result.ending == ("done" if retried(plan.steps[at], number) else "rolled back")
        check(bench, plan.steps[at], result, before)


def retried(step: Step, number: str) -> bool:
    return number == "EBUSY" and isinstance(step.action, Write)


@pytest.mark.parametrize(("name", "at"), each_step())
def test_a_write_that_hangs(name: str, at: int) -> None:
    bench, host = simulated()
    before = bench.snapshot()
    plan = OPERATIONS[name](bench)
    step = plan.steps[at]
    if isinstance(step.action, Write):
        result = run(bench, host, plan, at, Fault(kind="hang", operation=operation_of(step.action)))
        assert result.ending == "stuck"
        assert named(before, bench.snapshot(), result.left)


@pytest.mark.parametrize(("name", "at"), each_step())
def test_a_device_that_is_pulled_as_a_step_begins(name: str, at: int) -> None:
    bench, host = simulated()
    plan = OPERATIONS[name](bench)
    devices = {one.address for one in bench.snapshot().devices}
    subject = plan.steps[at].subject
    pulled = subject if subject in devices else ZIP
    result = run(bench, host, plan, at, Fault(kind="removal", target=pulled))
    (entry,) = bench.store.journal.entries()
    assert entry.ended is not None
    assert entry.ended.ending == result.ending
    if subject in devices:
        assert result.ending == "left"
        assert pulled in " ".join(result.left)


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_else_goes_wrong_meanwhile(name: str, kind: FaultKind) -> None:
    bench, host = simulated()
    before = bench.snapshot()
    plan = OPERATIONS[name](bench)
    target = NIC if "interrupt" in kind else "" if kind == "pasid-exhaustion" else ZIP
    result = run(bench, host, plan, 0, Fault(kind=kind, target=target, lasts=1.0))
    check(bench, plan.steps[0], result, before)
