"""Self-tests in the conversation: on models that may lie."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sdmtop.plain.session import Session
from sdmtop.plain.talk import Talk
from sdmtop.readers.snapshot import read_snapshot
from sdmtop.recorder import Recorder
from sdmtop.replay import Replayer
from tests.plain.test_talk import Listener
from tests.samples import life
from tests.selftests.liar import LyingHost
from tests.tui.still import StillSampler

EDU = "0000:01:00.0"


class Examiner:
    """One who talks about a host with an `edu`, and says the same to all that is asked."""

    def __init__(self, consent: str = "yes", scenario: str = "edu") -> None:
        self.host = LyingHost(scenario)
        sampler = StillSampler(self.host)
        self.session = Session(sampler)
        self.session.ask = lambda _question: consent
        self._talk = Talk(self.session)
        sampler.start()

    def __call__(self, said: str) -> list[str]:
        return list(self._talk.answer(said))


def test_tests_are_told_with_what_they_take_before_anything_is_done() -> None:
    tester = Examiner("no")
    before = read_snapshot(tester.host).devices
    answer = tester(f"test {EDU}")
    assert any(line.startswith(f"edu.dma on {EDU}: ") for line in answer)
    assert "this is taken first, and given back after" in answer
    assert f"sdmtop selftest {EDU}" in answer
    assert answer[-1] == "not tested: not confirmed"
    assert read_snapshot(tester.host).devices == before


@pytest.mark.parametrize(
    ("scenario", "uuid", "words"),
    [
        ("default", "7a6c6962-0000-4000-8000-00000000dead",
         "7a6c6962-0000-4000-8000-00000000dead is left alone: its parent 0000:75:00.0 is tested, "
         "on queues made for that"),
        ("vgpu", "b3f51c52-f4c2-11e6-90f6-000000000001",
         "not tested: no test applies to a mediated device itself: test its parent, 0000:00:02.0"),
    ],
)  # fmt: skip
def test_what_is_tested_in_the_place_of_a_mediated_device_is_told(
    scenario: str, uuid: str, words: str
) -> None:
    assert Examiner("no", scenario)(f"test {uuid}")[0] == words


def test_each_result_is_a_line_and_all_is_as_before() -> None:
    tester = Examiner()
    before = read_snapshot(tester.host).devices
    answer = tester(f"test {EDU}")
    assert any(line.startswith(f"pass: edu.dma on {EDU}, ") for line in answer)
    assert any(line.startswith(f"skip: iommufd.bind on {EDU}, ") for line in answer)
    assert " passed, 0 failed, " in answer[-1]
    assert read_snapshot(tester.host).devices == before


def test_a_failure_is_told_with_its_evidence() -> None:
    tester = Examiner()
    tester.host.reads = lambda at, data: b"\xff" * 4 if at & 0xFFFFF == 0 else data
    answer = tester(f"test {EDU}")
    at = next(at for at, line in enumerate(answer) if line.startswith("fail: edu.identity"))
    assert "0xffffffff (expected 0x010000ed)" in answer[at + 1]


def test_what_came_of_the_last_run_is_told_before_the_next() -> None:
    tester = Examiner()
    tester(f"test {EDU}")
    assert any(line.startswith(f"edu.dma on {EDU}, pass ") for line in tester(f"test {EDU}"))


def interrupt(tester: Examiner, number: int) -> None:
    """Have a signal come while the first page of the device is read, once it is noticed."""

    def reads(_offset: int, data: bytes) -> bytes:
        os.kill(os.getpid(), number)
        while signal.getsignal(number) != signal.SIG_DFL:
            time.sleep(0.001)
        tester.host.reads = lambda _offset, data: data
        return data

    tester.host.reads = reads


def test_ctrl_c_cancels_the_run_and_not_the_conversation() -> None:
    tester = Examiner()
    before = read_snapshot(tester.host).devices
    interrupt(tester, signal.SIGINT)
    answer = tester(f"test {EDU}")
    assert f"skip: edu.dma on {EDU}, cancelled" in answer
    assert " 0 failed, " in answer[-1]
    assert not tester.session.ended
    assert read_snapshot(tester.host).devices == before


def test_a_termination_ends_the_program_once_all_is_given_back() -> None:
    tester = Examiner()
    before = read_snapshot(tester.host).devices
    ended: list[bool] = []
    old = signal.signal(
        signal.SIGTERM, lambda *_: ended.append(read_snapshot(tester.host).devices == before)
    )
    try:
        interrupt(tester, signal.SIGTERM)
        tester(f"test {EDU}")
    finally:
        signal.signal(signal.SIGTERM, old)
    assert ended == [True]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("test", "of what? say a number, as list tells them"),
        ("test nobody", "there is no nobody here"),
        ("test group/0", "not tested: no test applies to group/0"),
    ],
)
def test_what_cannot_be_tested_is_one_sentence(said: str, answer: str) -> None:
    assert Examiner()(said) == [answer]


@pytest.mark.parametrize("make", [lambda: Examiner("no", "no-pasid"), Listener])
def test_the_host_itself_is_examined_unasked_with_what_to_do(
    make: Callable[[], Examiner | Listener],
) -> None:
    answer = make()("test host")
    verdicts = [line.partition(": ")[0] for line in answer]
    assert verdicts.index("fail") < verdicts.index("pass") < verdicts.index("skip")
    assert verdicts.count("fail") == verdicts.count("why") == verdicts.count("do")
    assert " passed, " in answer[-1]


def test_the_host_of_a_recording_is_not_there_to_be_examined(tmp_path: Path) -> None:
    name = str(tmp_path / "box.recording")
    with Recorder(name, most_bytes=1 << 30, most_seconds=1e9) as recorder:
        for sample in life("irq", "plug"):
            recorder.add(sample)
    replayer = Replayer(f"replay:{name}?at=-0")
    say = Talk(Session(replayer))
    replayer.start()
    try:
        assert [*say.answer("test host")][-1] == "not tested: a recording is only looked at"
    finally:
        replayer.stop()


def test_a_host_that_is_only_read_is_not_tested() -> None:
    assert Listener()("test 0000:00:02.0")[-1].startswith("not tested: ")
