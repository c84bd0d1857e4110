"""What changes a host, in the conversation: on the simulator."""

import errno
import signal
import time

import pytest

from sdmtop.backends.base import Host
from sdmtop.backends.simulator.host import SimulatorHost, open_simulator
from sdmtop.backends.simulator.scenario import Fault
from sdmtop.operations.store import Store
from sdmtop.plain.actions import let_go
from sdmtop.plain.session import Session
from sdmtop.plain.talk import Talk
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.sampler import Sampler
from tests.plain.test_talk import Listener
from tests.tui.still import StillSampler

CARD = "0000:04:00.0"
"""A disk that nothing is mounted from."""
NETWORK = "0000:7d:00.0"
DISK = "0000:01:00.0"
QUEUE = "7a6c6962-0000-4000-8000-00000000dead"


class Operator:
    """One who talks about a simulated host, and answers what is asked as it was given."""

    def __init__(self, *answers: str, host: str = "default") -> None:
        self.host: SimulatorHost = open_simulator(f"{host}?at=0")
        self.sampler = StillSampler(self.host)
        self.session = Session(self.sampler)
        self.sampler.start()
        self.talk = Talk(self.session)
        self.asked: list[str] = []
        self.heard: list[str] = []
        self._answers = iter(answers)
        self.session.say = self.heard.append
        self.session.ask = self._ask

    def _ask(self, question: str) -> str:
        self.asked.append(question)
        return next(self._answers)

    def __call__(self, said: str) -> list[str]:
        return list(self.talk.answer(said))

    @property
    def driver(self) -> str:
        return self.host.readlink(f"/sys/bus/pci/devices/{CARD}/driver").rpartition("/")[2]


def queues(operator: Operator) -> set[str]:
    """The names of all queues."""
    return {line.split()[2].rstrip(",") for line in operator("list queues")}


def test_a_plan_is_told_whole_and_done_after_a_yes() -> None:
    operator = Operator("yes")
    answer = operator(f"attach {CARD}")
    assert answer[0] == f"sdmtop attach {CARD}"
    assert f"2. let only vfio-pci bind to {CARD}" in answer
    assert answer[-1] == f"done: plan 1, sdmtop attach {CARD}"
    assert operator.heard[-1] == f"step 3 of 3, bind {CARD} to vfio-pci, done"
    assert operator.driver == "vfio-pci"


@pytest.mark.parametrize("said", ["", "no", "y", "yes please"])
def test_anything_but_yes_leaves_the_host_alone(said: str) -> None:
    operator = Operator(said)
    assert operator(f"attach {CARD}")[-1] == "not done: not confirmed"
    assert operator.driver == "nvme"


@pytest.mark.parametrize("said", ["attach group 3", "attach group/3"])
def test_a_group_can_be_said_in_two_words(said: str) -> None:
    told = Operator("no")(said)
    assert any("sdmtop attach group/3" in one for one in told)


@pytest.mark.parametrize(
    ("said", "target"), [("04:00.0", CARD), ("enp7s1", "0000:07:01.0"), (QUEUE[:8], QUEUE)]
)
def test_a_thing_is_named_as_on_the_command_line(said: str, target: str) -> None:
    assert Operator().session.line(said).key == target


@pytest.mark.parametrize(
    ("host", "said", "plan"),
    [
        ("no-pasid", "attach 61657300", "attach 61657300-"),
        ("vgpu", "attach group/3", "attach group/3"),
        ("vgpu", "attach group 3", "attach group/3"),
        ("vgpu", "domain-type group 3 identity", "domain-type group/3 identity"),
    ],
)
def test_what_has_no_number_and_no_line_is_named_as_on_the_command_line(
    host: str, said: str, plan: str
) -> None:
    told = Operator("no", host=host)(said)
    assert told[0].startswith(f"sdmtop {plan}")


def test_digits_that_are_a_number_mean_that() -> None:
    operator = Operator("no", host="no-pasid")
    operator("list groups")
    operator.session._numbers["group/1"] = 61657300
    assert operator.session.line("61657300").key == "group/1"


def test_what_was_done_stands_in_the_journal_and_can_be_undone() -> None:
    operator = Operator("yes", "yes")
    operator(f"attach {CARD}")
    assert "sdmtop attach" in operator("journal")[0]
    assert operator("undo")[-1] == "done: plan 2, sdmtop undo 1"
    assert operator.driver == "nvme"


def test_what_is_in_use_has_to_be_typed_in_full() -> None:
    operator = Operator("yes", NETWORK)
    assert operator(f"attach {NETWORK}")[-1] == "not done: not confirmed"
    assert operator(f"attach {NETWORK}")[-1].startswith("done: ")
    assert operator.asked == ["type it in full to go on> "] * 2


def test_what_is_refused_is_not_asked_about() -> None:
    operator = Operator()
    answer = operator(f"attach {DISK}")
    assert "This is refused: no confirmation helps." in answer
    assert answer[-1].startswith(f"not done: {DISK}: ")


def test_a_queue_is_held_until_the_conversation_ends() -> None:
    operator = Operator("yes")
    assert operator(f"attach {QUEUE}")[-1].startswith("done")
    assert list(let_go(operator.session)) == [f"done: plan 2, sdmtop detach {QUEUE}"]


def test_a_queue_that_the_conversation_holds_is_attached_already() -> None:
    operator = Operator("yes")
    operator(f"attach {QUEUE}")
    assert operator(f"attach {QUEUE}") == [f"not done: {QUEUE}: attached already"]
    assert list(let_go(operator.session)) == [f"done: plan 2, sdmtop detach {QUEUE}"]


def test_a_queue_whose_device_is_gone_is_let_go_and_so_are_the_others() -> None:
    operator = Operator("yes", "yes")
    operator("attach hisi_hpre-0")
    operator(f"attach {QUEUE}")
    operator.host.inject(Fault(kind="removal", target="0000:79:00.0"))
    assert "hisi_hpre-0" not in {one.id for one in read_snapshot(operator.host).sdmdevs}
    assert list(let_go(operator.session)) == [
        "done: plan 3, sdmtop detach hisi_hpre-0",
        f"done: plan 4, sdmtop detach {QUEUE}",
    ]
    assert not operator.session.operations.kept.plans


def test_of_queues_that_are_let_go_one_that_fails_keeps_no_other() -> None:
    operator = Operator("yes", "yes")
    operator("attach hisi_hpre-0")
    operator(f"attach {QUEUE}")
    doing = operator.session.operations
    with doing.store.locked(["hisi_hpre-0"], "sdmtop reset"):
        refused, done = let_go(operator.session)
    assert refused.startswith("hisi_hpre-0: not detached: hisi_hpre-0: process ")
    assert done == f"done: plan 3, sdmtop detach {QUEUE}"


def test_a_mediated_device_is_made_and_removed() -> None:
    operator = Operator("yes", "yes")
    before = queues(operator)
    type_ = operator("create")[0].partition(",")[0]
    made = operator(f"create {type_}")
    assert made[-1].startswith("done: plan 1")
    (uuid,) = queues(operator) - before
    assert operator(f"remove {uuid}")[-1].startswith("done: plan 2")
    assert queues(operator) == before


def test_the_next_answer_knows_what_was_just_done() -> None:
    sampler = Sampler(open_simulator("default?at=0"), interval=3600.0)
    session = Session(sampler)
    session.ask = lambda _question: "yes"
    sampler.start()
    talk = Talk(session)
    told = list(talk.answer(f"sriov {NETWORK} 1"))
    assert f"done: plan 1, sdmtop sriov {NETWORK} 1" in told
    assert session.line("0000:7d:00.1").key == "0000:7d:00.1"
    told = list(talk.answer(f"attach {QUEUE}"))
    assert f"done: plan 2, sdmtop attach {QUEUE}" in told
    assert any(told.startswith("state: started") for told in talk.answer(f"show {QUEUE}"))
    list(let_go(session))
    sampler.stop()


def test_a_device_is_given_to_a_driver_of_choice() -> None:
    operator = Operator("yes")
    plan = f"sdmtop attach {CARD} --driver vfio-pci"
    assert operator(f"attach {CARD} to vfio-pci")[-1] == f"done: plan 1, {plan}"
    assert operator.driver == "vfio-pci"


@pytest.mark.parametrize(
    ("said", "plan"),
    [
        (f"affinity {CARD} 1", f"sdmtop affinity {CARD} 1"),
        ("affinity irq/32 1", "sdmtop affinity irq/32 1"),
        ("domain-type group 3 identity", "sdmtop domain-type group/3 identity"),
        (f"reset {CARD}", f"sdmtop reset {CARD}"),
        (f"sriov {CARD} 1", f"sdmtop sriov {CARD} 1"),
    ],
)
def test_what_else_can_be_set_is_planned_as_on_the_command_line(said: str, plan: str) -> None:
    assert Operator("no")(said)[0] == plan


def test_of_a_plan_that_was_done_there_is_no_rest() -> None:
    operator = Operator("yes")
    operator(f"attach {CARD}")
    assert operator("finish 1")[-1].endswith("it was done to the end")


def test_a_host_that_is_only_read_is_not_changed_and_nobody_is_asked() -> None:
    answer = Listener()("attach 0000:00:02.0")
    assert answer[-1].startswith("not done: ")
    operator = Operator()
    operator.host.disarmed = "the program was started with --read-only"
    assert operator(f"attach {CARD}")[-1] == "not done: the program was started with --read-only"
    assert operator.asked == []


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("attach", "of what? say a number, as list tells them"),
        ("undo it", "undo takes the number of a plan: say journal"),
        pytest.param(
            f"undo {'9' * 5000}", "undo takes the number of a plan: say journal", id="long undo"
        ),
        (f"finish {'9' * 10}", "finish takes the number of a plan: say journal"),
        pytest.param(f"events {'9' * 5000}", "events takes a number", id="long events"),
        ("attach 99999999", "there is no number 99999999 yet: say list"),
        ("undo", "not done: the journal has nothing to undo since this host was booted"),
        ("create chair", "not done"),
        ("finish it", "finish takes the number of a plan: say journal"),
        ("finish", "finish takes the number of a plan: say journal"),
        ("sriov group/3", "say sriov N COUNT; N is a number, as list tells them"),
        ("affinity 2 0-3, 8", "say affinity N CPUS"),
        ("domain-type 1", "say domain-type N TYPE, which is one of identity, DMA, DMA-FQ, auto"),
        (f"attach {CARD} to", "say attach N to DRIVER"),
        (f"attach {CARD} to a b", "say attach N to DRIVER"),
        (f"sriov {CARD} some", "not done: 'some' is no number of VFs"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(said: str, answer: str) -> None:
    assert Operator()(said)[-1].startswith(answer)


def test_a_journal_that_cannot_be_opened_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_host: Host) -> Store:
        raise PermissionError(errno.EACCES, "no", "/var/lib/sdmtop")

    monkeypatch.setattr("sdmtop.operations.session.open_store", refuse)
    (answer,) = Operator()("journal")
    assert answer.startswith("the journal: ")
    assert "EACCES" in answer


def test_a_step_that_hangs_and_returns_can_be_undone_in_the_same_conversation() -> None:
    operator = Operator("yes", "yes")
    operator.host.inject(Fault(kind="hang", operation="unbind", target=CARD, lasts=60.0))
    assert any(line.startswith("stuck: plan 1, ") for line in operator(f"attach {CARD}"))
    end = time.monotonic() + 10
    while not operator.session.late and time.monotonic() < end:
        time.sleep(0.01)
    answer = operator("undo")
    assert answer[0] == f"unbind {CARD} from nvme: returned late, done"
    assert answer[-1] == "done: plan 2, sdmtop undo 1"
    assert operator.driver == "nvme"


def test_a_signal_between_two_steps_takes_back_what_was_done() -> None:
    operator = Operator("yes")
    driver = operator.driver

    def say(line: str) -> None:
        operator.heard.append(line)
        if line.startswith("step 1 ") and line.endswith("done"):
            signal.raise_signal(signal.SIGINT)

    operator.session.say = say
    answer = operator(f"attach {CARD}")
    assert f"failed; all of it was undone: plan 1, sdmtop attach {CARD}" in answer
    assert operator.driver == driver
