"""Rings, their completions, interrupts and faults: with the copier, the simplest kind."""

import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers, lists

from sdmtop.backends.simulator.accelerators import make
from sdmtop.backends.simulator.accelerators.memcpy import COPY
from sdmtop.backends.simulator.accelerators.rings import (
    BAD_DESCRIPTOR,
    DEPTH,
    DOORBELL,
    HEADER,
    MAGIC,
    MOST_BYTES,
    OK,
    READ_FAULT,
    SIZE,
    WRITE_FAULT,
    Client,
    Job,
)
from tests.backends.simulator.accelerators.bench import MEMORY, SOURCE, TARGET, Bench, Rings

A_COPY = Job(COPY, 0, SOURCE, TARGET, 16, 16)


def test_a_copy_crosses_pages_and_its_tag_comes_back() -> None:
    rings = Rings("memcpy")
    data = bytes(range(256)) * 40
    rings.put(data)
    rings.client.submit(Job(COPY, 0, SOURCE, TARGET + 100, len(data), len(data), tag=99))
    (completion,) = rings.go()
    assert (completion.status, completion.tag, completion.produced) == (OK, 99, len(data))
    assert rings.bench.memory[TARGET + 100 : TARGET + 100 + len(data)] == data


def test_a_batch_raises_one_interrupt() -> None:
    rings = Rings("memcpy")
    for _ in range(10):
        rings.client.submit(A_COPY)
    assert len(rings.go()) == 10
    assert rings.bench.interrupts == 1
    assert rings.device.jobs == 10


def test_nothing_is_done_before_its_time() -> None:
    rings = Rings("memcpy")
    rings.client.submit(A_COPY)
    assert rings.go(seconds=1e-6) == []
    assert len(rings.go(seconds=1e-3)) == 1


def test_what_is_submitted_during_a_batch_follows_it() -> None:
    rings = Rings("memcpy")
    rings.client.submit(A_COPY)
    rings.go(seconds=1e-6)
    rings.client.submit(A_COPY)
    assert len(rings.go()) == 2
    assert rings.bench.interrupts == 2


@settings(max_examples=20, deadline=None)
@given(lists(integers(1, DEPTH), min_size=1, max_size=12))
def test_the_ring_goes_round_and_round(batches: list[int]) -> None:
    rings = Rings("memcpy")
    tags = iter(range(DEPTH * 12))
    for size in batches:
        expected = [next(tags) for _ in range(size)]
        for tag in expected:
            rings.client.submit(A_COPY._replace(tag=tag))
        assert [completion.tag for completion in rings.go()] == expected
        assert rings.client.room == DEPTH


def test_work_is_done_in_the_address_space_of_the_queue() -> None:
    rings = Rings("memcpy", pasid=12)
    rings.client.submit(A_COPY)
    rings.go()
    assert rings.bench.pasids == {12}


@pytest.mark.parametrize(
    ("job", "status"),
    [
        (A_COPY._replace(source=0), READ_FAULT),
        (A_COPY._replace(extra=0, extra_size=1), READ_FAULT),
        (A_COPY._replace(target=MEMORY - 15), WRITE_FAULT),
        (A_COPY._replace(source_size=MOST_BYTES + 1), BAD_DESCRIPTOR),
        (A_COPY._replace(operation=9), BAD_DESCRIPTOR),
    ],
)
def test_a_job_that_fails_says_how_and_the_next_one_is_done(job: Job, status: int) -> None:
    rings = Rings("memcpy")
    rings.client.submit(job)
    rings.client.submit(A_COPY)
    assert [completion.status for completion in rings.go()] == [status, OK]


def test_a_doorbell_beyond_the_ring_is_one_ring_full() -> None:
    rings = Rings("memcpy")
    DOORBELL.pack_into(rings.queue.doorbell, 0, 0x7FFF_FFFF)
    rings.device.advance(0)
    rings.bench.clock.advance(1e-3)
    assert rings.bench.interrupts == 0  # 1,024 descriptors of nothing take their time.
    rings.queue.stop()
    rings.bench.clock.advance(10)
    assert rings.bench.interrupts == 0


def test_a_stopped_queue_forgets_what_it_was_asked_for() -> None:
    rings = Rings("memcpy")
    rings.client.submit(A_COPY)
    rings.go(seconds=0)
    rings.queue.stop()
    rings.bench.clock.advance(1)
    assert (rings.bench.interrupts, rings.device.jobs) == (0, 0)
    rings.queue.start(None)
    assert rings.queue.memory[4096:SIZE] == bytes(SIZE - 4096)


def test_a_queue_is_started_once() -> None:
    rings = Rings("memcpy")
    with pytest.raises(OSError, match="has been started"):
        rings.queue.start(None)


def test_there_is_no_queue_beyond_the_last() -> None:
    with pytest.raises(OSError, match="there is no queue 4: there are 4"):
        Rings("memcpy").device.queue(4)


def test_news_is_told_once() -> None:
    rings = Rings("memcpy")
    rings.client.submit(A_COPY)
    rings.go()
    assert [rings.queue.is_updated(), rings.queue.is_updated()] == [True, False]


def test_a_stalled_queue_works_again_when_it_is_let() -> None:
    rings = Rings("memcpy")
    rings.queue.is_stalled = True
    rings.client.submit(A_COPY)
    assert rings.go(seconds=100) == []
    assert rings.queue.pending == 1
    rings.queue.is_stalled = False
    assert len(rings.go()) == 1
    assert rings.queue.pending == 0


def test_a_lost_interrupt_leaves_its_completion() -> None:
    rings = Rings("memcpy")
    rings.device.lost = 1
    rings.client.submit(A_COPY)
    assert len(rings.go()) == 1
    assert rings.bench.interrupts == 0
    rings.client.submit(A_COPY)
    rings.go()
    assert rings.bench.interrupts == 1


def test_a_wrong_result_is_wrong_in_one_bit_once() -> None:
    rings = Rings("memcpy")
    rings.device.wrong = 1
    data = b"right"
    assert rings.job(COPY, 0, data)[1] == bytes([data[0] ^ 1]) + data[1:]
    assert rings.job(COPY, 0, data)[1] == data


def test_reset_stops_every_queue_and_every_fault() -> None:
    rings = Rings("memcpy")
    rings.device.lost = rings.device.wrong = 5
    rings.queue.is_stalled = True
    rings.device.reset()
    assert not rings.device.started
    rings.device.queue(0).start(None)
    client = Client(rings.device.queue(0).doorbell, rings.device.queue(0).memory)
    client.submit(A_COPY)
    client.ring()
    rings.device.advance(0)
    rings.bench.clock.advance(1)
    assert [completion.status for completion in client.completions()] == [OK]
    assert rings.bench.interrupts == 1


def test_queues_share_the_engine_one_after_the_other() -> None:
    bench = Bench()
    device = make("memcpy", bench, 2)
    times: list[float] = []
    bench.on_interrupt = lambda: times.append(bench.clock.now)
    for number in range(2):
        device.queue(number).start(None)
        client = Client(device.queue(number).doorbell, device.queue(number).memory)
        client.submit(A_COPY._replace(source_size=0x4_0000, target_size=0x4_0000))
        client.ring()
    device.advance(0)
    bench.clock.advance(1)
    assert times[1] == pytest.approx(2 * times[0])


def test_the_memory_describes_itself() -> None:
    memory = make("memcpy", Bench(), 3).queue(2).memory
    magic, version, queue, depth, *_ = HEADER.unpack_from(memory)
    assert (magic, version, queue, depth) == (MAGIC, 1, 2, DEPTH)


def test_in_a_common_page_each_queue_has_its_own_doorbell() -> None:
    bench = Bench()
    device = make("memcpy", bench, 3, common_doorbell=True)
    for number in (1, 2):
        device.queue(number).start(number)
    first, second = (device.queue(number) for number in (1, 2))
    assert first.doorbell is second.doorbell
    client = Client(second.doorbell, second.memory)
    client.submit(A_COPY)
    client.ring()
    device.advance(0)
    bench.clock.advance(1)
    assert [first.is_updated(), second.is_updated()] == [False, True]
    assert bench.pasids == {2}
