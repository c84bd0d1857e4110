"""Channels, through a module that says what it found in the kernel log only."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdmtop.backends.tree import Entry, TreeHost
from sdmtop.operations.recovery import give_back_leftovers
from sdmtop.selftests.dmatest import CLASS, PARAMETERS, TESTS, Summary, settings, summaries
from sdmtop.selftests.lease import Lender
from sdmtop.selftests.records import Result
from sdmtop.selftests.registry import jobs
from sdmtop.selftests.runner import Need, Run
from tests.records import snapshot

CHANNEL = "dma0chan0"
LINE = (
    b"6,10,5000,-;dmatest: dma0chan0-copy0: summary 100 tests, 0 failures 6127.45 iops "
    b"50245 KB/s (0)\n"
)
DEFAULTS = {
    "iterations": "0", "timeout": "3000", "test_buf_size": "16384", "threads_per_chan": "1",
    "max_channels": "0", "noverify": "N", "verbose": "Y", "channel": "", "run": "N",
}  # fmt: skip


def test_a_summary_is_read_from_the_kernel_log() -> None:
    other = LINE.replace(b"dma0chan0", b"dma0chan1")
    assert summaries([b"6,9,4,-;something else\n", LINE, other], CHANNEL) == [
        Summary("copy0", 100, 0, 6127.45, 50245.0, 0)
    ]


@given(st.lists(st.binary()))
def test_any_log_is_read_without_a_traceback(records: list[bytes]) -> None:
    assert isinstance(summaries(records, CHANNEL), list)


class Done:
    """A write that has ended."""

    pid = None

    def __init__(self, number: int = 0) -> None:
        self._number = number

    def wait(self, _seconds: float) -> bool:
        return True

    def result(self) -> None:
        if self._number:
            raise OSError(self._number, "no")


class DmaHost(TreeHost):
    """A box with a channel; `finds` is what the module says when it has run."""

    def __init__(self, finds: bytes = LINE, *, loaded: bool = True, in_use: str = "0") -> None:
        entries: dict[str, Entry] = {f"{CLASS}/{CHANNEL}/in_use": f"{in_use}\n", "/dev/kmsg": b""}
        super().__init__(entries)
        self.finds = finds
        self.has_module = True
        self.clock = 0.0
        self.writes: list[tuple[str, str]] = []
        if loaded:
            self._load()

    def _load(self) -> None:
        for name, value in DEFAULTS.items():
            self.put(f"{PARAMETERS}/{name}", f"{value}\n")

    def refusal(self) -> str | None:
        return None

    def load_module(self, name: str) -> Done:
        assert name == "dmatest"
        if not self.has_module:
            return Done(errno.ENOENT)
        self._load()
        return Done()

    def write(self, path: str, data: bytes) -> Done:
        name = path.removeprefix(f"{PARAMETERS}/")
        self.writes.append((name, data.decode()))
        self.put(path, data + b"\n")
        if (name, data) == ("run", b"1"):
            self.put("/dev/kmsg", self.finds)
        return Done()

    def now(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        self.clock += seconds

    def settings(self) -> dict[str, str]:
        names = [name for name in DEFAULTS if name not in ("channel", "run")]
        return {name: self.read(f"{PARAMETERS}/{name}").decode().strip() for name in names}


def run(host: DmaHost) -> Result:
    made = jobs(TESTS, host, snapshot(), CHANNEL)
    (result, *_) = Run(host, snapshot(), made, lender=Lender(host, confirmed=True))
    assert isinstance(result, Result)
    return result


@pytest.mark.parametrize("loaded", [True, False])
def test_copies_without_a_difference_pass(loaded: bool) -> None:
    result = run(DmaHost(loaded=loaded))
    assert (result.result, result.reason) == ("pass", "100 copies of up to 16384 bytes")


def test_iterations_are_set_before_it_runs_and_everything_is_as_before_afterwards() -> None:
    host = DmaHost()
    run(host)
    began = host.writes.index(("run", "1"))
    assert host.writes.index(("iterations", "100")) < began
    assert host.writes.index(("channel", CHANNEL)) < began
    assert ("run", "0") in host.writes[began:]
    assert host.settings() == {name: DEFAULTS[name] for name in host.settings()}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"0 failures", b"3 failures", "failures: expected 0, got 3"),
        (b"100 tests", b"40 tests", "tests: expected 100, got 40"),
        (b"(0)", b"(-110)", "error: expected 0, got -110"),
    ],
)
def test_what_the_summary_tells_is_a_failure(old: bytes, new: bytes, words: str) -> None:
    result = run(DmaHost(LINE.replace(old, new)))
    assert result.result == "fail"
    assert result.reason is not None
    assert words in result.reason


def test_no_summary_is_a_failure_and_the_channel_is_freed() -> None:
    host = DmaHost(b"6,1,2,-;nothing\n")
    result = run(host)
    assert (result.result, result.reason) == ("fail", "no summary in the kernel log within 8 s")
    assert host.writes[-1][0] != "run" or host.writes[-1] == ("run", "0")
    assert ("run", "0") in host.writes


def test_a_kernel_without_the_module_is_a_skip() -> None:
    host = DmaHost(loaded=False)
    host.has_module = False
    result = run(host)
    assert result.result == "skip"
    assert result.reason is not None
    assert "load dmatest (CONFIG_DMATEST): no (ENOENT)" in result.reason


def test_settings_are_shown_and_nothing_is_written_without_a_yes() -> None:
    host = DmaHost()
    plan = settings(host, snapshot(), CHANNEL)
    assert "set iterations of dmatest to 100" in [step.title for step in plan.steps]
    made = jobs(TESTS, host, snapshot(), CHANNEL)
    (result,) = Run(host, snapshot(), made, lender=Lender(host))
    assert isinstance(result, Result)
    assert result.result == "skip"
    assert host.writes == []


def test_settings_that_a_killed_run_has_left_come_back_with_the_next_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = DmaHost()
    lender = Lender(host, confirmed=True)
    with monkeypatch.context() as killed:
        killed.setattr("sdmtop.operations.journal.os.getpid", lambda: 1 << 23)
        lender.lend(snapshot(), CHANNEL, Need(plan=settings))
    assert host.settings()["iterations"] == "100"
    ((kind, _),) = give_back_leftovers(host, lender.store)
    assert kind == "changed"
    assert host.settings() == {name: DEFAULTS[name] for name in host.settings()}


def test_a_channel_in_use_is_left_alone() -> None:
    host = DmaHost(in_use="1")
    assert run(host).result == "skip"
    assert host.writes == []


def test_somebody_elses_test_is_left_alone() -> None:
    host = DmaHost()
    host.put(f"{PARAMETERS}/run", "Y\n")
    assert run(host).result == "skip"
    assert host.writes == []


def test_where_there_is_no_channel_there_is_no_test() -> None:
    assert jobs(TESTS, TreeHost({}), snapshot(), None) == []
