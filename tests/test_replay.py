"""A recording in the place of a sampler, with its thread."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdmtop.collector import Sample
from sdmtop.errors import UsageError
from sdmtop.recorder import Recorder
from sdmtop.replay import Replayer
from tests.samples import CARD, life
from tests.test_sampler import Listener, wait_until

SAMPLES = life("irq", "plug", "irq", "unplug", "irq")


@pytest.fixture
def path(tmp_path: Path) -> str:
    name = str(tmp_path / "box.recording")
    with Recorder(name, most_bytes=1 << 30, most_seconds=1e9) as recorder:
        for sample in SAMPLES:
            recorder.add(sample)
    return name


def replaying(path: str) -> Iterator[Callable[[str], tuple[Replayer, Listener]]]:
    """What plays a recording, from a time if one is given, until the end of the test."""
    started = []

    def run(at: str) -> tuple[Replayer, Listener]:
        replayer, listener = Replayer(f"replay:{path}{at}"), Listener()
        replayer.subscribe(listener)
        replayer.start()
        started.append(replayer)
        return replayer, listener

    yield run
    for replayer in started:
        replayer.stop()


@pytest.fixture
def start(path: str) -> Iterator[Callable[[str], tuple[Replayer, Listener]]]:
    yield from replaying(path)


def showing(number: int) -> Callable[[Sample], bool]:
    return lambda sample: sample.at == SAMPLES[number].at


def test_it_plays_from_the_first_moment(
    start: Callable[[str], tuple[Replayer, Listener]],
) -> None:
    replayer, listener = start("")
    assert listener.wait_for(showing(0)).snapshot == SAMPLES[0].snapshot
    while replayer.faster(1):
        pass
    listener.wait_for(showing(5))
    wait_until(lambda: replayer.paused)
    assert replayer.state().startswith("PAUSED at ")


def test_begun_at_a_time_it_waits_there(
    start: Callable[[str], tuple[Replayer, Listener]],
) -> None:
    replayer, listener = start("?at=+2")
    listener.wait_for(showing(2))
    assert replayer.paused
    replayer.toggle()
    listener.wait_for(showing(3))


def test_leaps_go_to_what_happened(start: Callable[[str], tuple[Replayer, Listener]]) -> None:
    replayer, listener = start("?at=+0")
    assert replayer.leap(1)
    assert f"{CARD} appeared" in [one.text for one in listener.wait_for(showing(2)).happenings]
    assert replayer.leap(1)
    listener.wait_for(showing(4))
    assert not replayer.leap(1)
    assert replayer.leap(-1)
    assert replayer.step(-1)
    listener.wait_for(showing(1))


def test_a_moment_that_is_damaged_is_told_and_the_others_are_shown(
    path: str, start: Callable[[str], tuple[Replayer, Listener]]
) -> None:
    import sqlite3

    with sqlite3.connect(path) as database:
        database.execute("UPDATE moments SET body = x'00' WHERE number = 3")
    replayer, listener = start("?at=+2")
    listener.wait_for(showing(2))
    replayer.step(1)
    wait_until(lambda: "damaged recording: moment 3" in replayer.state())
    replayer.step(-2)
    listener.wait_for(showing(1))
    assert replayer.state().startswith("PAUSED at ")


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """One that has written three moments of a second each to `growing`, and keeps few of them."""
    monkeypatch.setattr("sdmtop.recorder.MOST_MOMENTS", 0)
    with Recorder(f"{tmp_path}/growing", most_bytes=1 << 30, most_seconds=1.5) as writing:
        for sample in SAMPLES[:3]:
            writing.add(sample)
        yield writing


@pytest.fixture
def growing(
    recorder: Recorder, tmp_path: Path
) -> Iterator[Callable[[str], tuple[Replayer, Listener]]]:
    del recorder  # It has begun.
    yield from replaying(f"{tmp_path}/growing")


def test_played_to_the_end_it_follows_the_recorder_that_is_still_writing(
    recorder: Recorder, growing: Callable[[str], tuple[Replayer, Listener]]
) -> None:
    replayer, listener = growing("")
    while replayer.faster(1):
        pass
    listener.wait_for(showing(2))
    recorder.nothing_new(SAMPLES[2].at + 0.5)
    wait_until(lambda: replayer.state().startswith("FOLLOWING at "))
    assert not replayer.paused
    for number in (3, 4):
        recorder.add(SAMPLES[number])
        listener.wait_for(showing(number))
    replayer.toggle()
    assert replayer.state().startswith("PAUSED at ")


def test_where_it_stands_it_stays_and_what_comes_can_be_gone_to(
    recorder: Recorder, growing: Callable[[str], tuple[Replayer, Listener]]
) -> None:
    replayer, listener = growing("?at=+1")
    listener.wait_for(showing(1))
    before = replayer.line(80)
    recorder.nothing_new(SAMPLES[2].at + 30)
    wait_until(lambda: replayer.line(80) != before)
    recorder.add(SAMPLES[3])
    wait_until(lambda: replayer.step(2))
    listener.wait_for(showing(3))
    assert replayer.paused


def test_a_moment_that_is_deleted_meanwhile_gives_way_to_the_oldest_there_is(
    recorder: Recorder, growing: Callable[[str], tuple[Replayer, Listener]]
) -> None:
    replayer, listener = growing("?at=+0")
    listener.wait_for(lambda sample: sample.at < SAMPLES[2].at)
    for sample in SAMPLES[3:5]:
        recorder.add(sample)
    listener.wait_for(lambda sample: sample.at >= SAMPLES[2].at)
    assert replayer.paused
    assert replayer.step(1)


def test_stopped_it_reads_no_more(start: Callable[[str], tuple[Replayer, Listener]]) -> None:
    replayer, listener = start("?at=+0")
    listener.wait_for(showing(0))
    replayer.stop()
    wait_until(lambda: not any(t.name == "sdmtop-replay" for t in threading.enumerate()))


def test_a_file_that_is_deleted_is_played_on_and_told(
    path: str, start: Callable[[str], tuple[Replayer, Listener]]
) -> None:
    replayer, listener = start("?at=+0")
    listener.wait_for(showing(0))
    assert not replayer.state().endswith("gone")
    Path(path).unlink()
    Path(path).write_bytes(b"another")
    wait_until(lambda: replayer.state().endswith(", its file is gone"))
    replayer.step(1)
    listener.wait_for(showing(1))


def test_a_recording_cannot_be_changed(path: str) -> None:
    assert Replayer(f"replay:{path}").host.refusal() == "a recording is only looked at"


def test_a_time_that_is_none_is_an_error_of_usage(path: str) -> None:
    with pytest.raises(UsageError, match="noon is no time"):
        Replayer(f"replay:{path}?at=noon")
