import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sdmtop.backends.base import Event
from sdmtop.backends.tree import TreeHost
from sdmtop.collector import Collector, Sample
from sdmtop.sampler import Sampler
from tests.hosts import NIC, box, stat

PATIENCE = 10.0


class Listener:
    """Remembers every sample, and can wait for one that fits."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self._came = threading.Condition()

    def __call__(self, sample: Sample) -> None:
        with self._came:
            self.samples.append(sample)
            self._came.notify_all()

    def wait_for(self, fits: Callable[[Sample], bool]) -> Sample:
        with self._came:
            assert self._came.wait_for(lambda: any(map(fits, self.samples)), PATIENCE), (
                "no such sample came"
            )
            return next(filter(fits, self.samples))


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def start(listener: Listener) -> Iterator[Callable[[TreeHost], Sampler]]:
    started: list[Sampler] = []

    def run(host: TreeHost) -> Sampler:
        sampler = Sampler(host, interval=0.05)
        sampler.start()
        sampler.subscribe(listener)
        started.append(sampler)
        return sampler

    yield run
    for sampler in started:
        sampler.stop()


def hanging(release: threading.Event) -> TreeHost:
    """A box in which reading one attribute does not return until it is released."""

    def hang() -> bytes:
        release.wait(PATIENCE)
        return b"(null)\n"

    host = box()
    host.put(f"/sys/devices/pci0000:00/{NIC}/driver_override", hang)
    return host


def wait_until(true: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)


def test_a_sample_comes_without_being_asked_for(
    start: Callable[[TreeHost], Sampler], listener: Listener
) -> None:
    start(box())
    assert listener.wait_for(lambda sample: sample.complete).snapshot.host.name == "box"


def test_who_subscribes_late_gets_the_latest_at_once(start: Callable[[TreeHost], Sampler]) -> None:
    sampler = start(box())
    wait_until(lambda: sampler._latest)
    late = Listener()
    sampler.subscribe(late)
    assert len(late.samples) == 1


def test_no_sample_comes_while_nothing_changes(
    start: Callable[[TreeHost], Sampler], listener: Listener
) -> None:
    start(box())
    listener.wait_for(lambda sample: sample.complete)
    time.sleep(0.2)
    count = len(listener.samples)
    time.sleep(0.5)
    assert len(listener.samples) == count


def test_a_change_comes_within_two_intervals(
    start: Callable[[TreeHost], Sampler], listener: Listener
) -> None:
    host = box()
    start(host)
    listener.wait_for(lambda sample: sample.complete)
    host.put("/proc/stat", stat(0, 1000, 0, 0))
    listener.wait_for(lambda sample: sample.counters.total(1) == 1000)


def test_who_hurries_can_wait_for_what_is_read_then_whether_or_not_it_is_new(
    listener: Listener,
) -> None:
    host = box()
    sampler = Sampler(host, interval=3600.0)
    sampler.start()
    sampler.subscribe(listener)
    listener.wait_for(lambda sample: sample.complete)
    host.put("/proc/stat", stat(0, 1000, 0, 0))
    assert sampler.hurry().wait(PATIENCE)
    assert listener.samples[-1].counters.total(1) == 1000
    assert sampler.hurry().wait(PATIENCE)
    sampler.stop()


def test_a_read_that_hangs_is_named_and_the_rest_goes_on(
    start: Callable[[TreeHost], Sampler], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdmtop.sampler.DEADLINE", 0.1)
    release = threading.Event()
    sampler = start(hanging(release))
    wait_until(sampler.watch)
    stall = sampler.watch()
    assert stall is not None
    assert stall.paths == (f"/sys/devices/pci0000:00/{NIC}/driver_override",)
    sample = listener.wait_for(lambda sample: sample.complete)
    assert [(entry.errno, entry.what) for entry in sample.snapshot.unknown
            if entry.path == stall.paths[0]] == [("ETIMEDOUT", "driver override")]  # fmt: skip
    assert any("does not answer" in happening.text for happening in sampler.timeline.all())
    release.set()


def test_a_read_under_way_is_suspect_until_it_returns(
    start: Callable[[TreeHost], Sampler], listener: Listener
) -> None:
    release = threading.Event()
    sampler = start(hanging(release))
    assert not sampler.suspects
    wait_until(lambda: sampler.watch() or sampler.suspects)
    release.set()
    listener.wait_for(lambda sample: sample.complete)
    wait_until(lambda: sampler.watch() or not sampler.suspects)


def test_a_hung_read_that_returns_is_forgiven(
    start: Callable[[TreeHost], Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdmtop.sampler.DEADLINE", 0.1)
    release = threading.Event()
    sampler = start(hanging(release))
    wait_until(sampler.watch)
    release.set()
    wait_until(lambda: sampler.watch() is None)
    assert sampler.host.avoid == frozenset()


def test_one_read_that_returns_does_not_forgive_another(
    start: Callable[[TreeHost], Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdmtop.sampler.DEADLINE", 0.1)
    first, second = threading.Event(), threading.Event()
    host = hanging(first)

    def hang() -> bytes:
        second.wait(PATIENCE)
        return b"0\n"

    host.put(f"/sys/devices/pci0000:00/{NIC}/numa_node", hang)
    sampler = start(host)

    def hung() -> int:
        stall = sampler.watch()
        return len(stall.paths) if stall else 0

    wait_until(lambda: hung() == 2)
    first.set()
    wait_until(lambda: hung() == 1)
    assert sampler.host.avoid == {f"/sys/devices/pci0000:00/{NIC}/numa_node"}
    second.set()


def test_after_too_many_hung_reads_no_more_threads_are_started(
    start: Callable[[TreeHost], Sampler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdmtop.sampler.DEADLINE", 0.05)
    monkeypatch.setattr("sdmtop.sampler.MOST_HUNG", 1)
    release = threading.Event()
    sampler = start(hanging(release))
    wait_until(sampler.watch)
    before = threading.active_count()
    for _ in range(5):
        time.sleep(0.06)
        sampler.watch()
    assert threading.active_count() == before
    assert "too many reads hang: nothing more is read" in [
        happening.text for happening in sampler.timeline.all()
    ]
    release.set()
    wait_until(lambda: sampler.watch() is None)


def test_a_failure_of_our_own_is_told_and_reading_begins_anew(
    start: Callable[[TreeHost], Sampler], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdmtop.sampler.RECOVERY", 0.01)
    host = box()
    failures = iter([RuntimeError("a mistake of ours")])

    def tick(self: Collector, *arguments: Any) -> bool:
        if self._host is host:
            for failure in failures:
                raise failure
        return original(self, *arguments)

    original = Collector.tick
    monkeypatch.setattr(Collector, "tick", tick)
    sampler = start(host)
    sample = listener.wait_for(lambda sample: sample.complete)
    assert [one.text for one in sample.happenings if one.kind == "trouble"] == [
        "reading failed, begun anew: a mistake of ours"
    ]
    assert sampler.watch() is None


def test_stopping_does_not_wait_for_a_hung_read(start: Callable[[TreeHost], Sampler]) -> None:
    release = threading.Event()
    sampler = start(hanging(release))
    time.sleep(0.1)
    began = time.monotonic()
    sampler.stop()
    assert time.monotonic() - began < 0.1
    release.set()


class Overflowing:
    """A stream of events that has another descriptor after each time it is drained."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self.drained = threading.Semaphore(0)

    def fileno(self) -> int:
        return self._reader

    def come(self) -> None:
        os.write(self._writer, b"x")

    def drain(self) -> list[Event]:
        another = os.pipe()
        self.close()
        self._reader, self._writer = another
        self.drained.release()
        return []

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


def test_events_are_heard_from_the_descriptor_that_they_come_from_now() -> None:
    host, stream = box(), Overflowing()
    host.events = lambda: stream  # type: ignore[method-assign]
    sampler = Sampler(host, interval=60.0)
    sampler.start()
    try:
        for _ in range(2):
            stream.come()
            assert stream.drained.acquire(timeout=PATIENCE)
            assert not stream.drained.acquire(timeout=0.5), "drained without an event"
    finally:
        sampler.stop()
