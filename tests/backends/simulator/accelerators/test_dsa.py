"""Intel's DSA: descriptors, completion records, faults."""

import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers

from sdmtop.backends.simulator.accelerators.dsa import (
    BAD_OPCODE,
    BAD_SIZE,
    COMPARE,
    DESCRIPTOR,
    DRAIN,
    FILL,
    MEMMOVE,
    MOST_BYTES,
    NOOP,
    PAGE_FAULT,
    RECORD,
    RECORD_VALID,
    REQUEST_INTERRUPT,
    REQUEST_RECORD,
    SUCCESS,
    Dsa,
)
from tests.backends.simulator.accelerators.bench import EXTRA, SOURCE, TARGET, Bench

WITH_RECORD = RECORD_VALID | REQUEST_RECORD


class Engine:
    """A DSA with one queue that is started."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.dsa = Dsa(self.bench, 1)
        self.queue = self.dsa.queue(0)
        self.portal = self.queue.open(3)

    def submit(
        self,
        opcode: int,
        source: int = SOURCE,
        target: int = TARGET,
        size: int = 0,
        flags: int = WITH_RECORD,
        slot: int = 0,
    ) -> None:
        descriptor = DESCRIPTOR.pack(0, flags | opcode << 24, EXTRA, source, target, size, 0, 0)
        self.portal.page[slot * 64 : slot * 64 + 64] = descriptor
        self.dsa.advance(0)

    def do(
        self,
        opcode: int,
        source: int = SOURCE,
        target: int = TARGET,
        size: int = 0,
        flags: int = WITH_RECORD,
    ) -> tuple[int, int, int, int]:
        """Status, result, bytes completed, address of a fault."""
        self.submit(opcode, source, target, size, flags)
        self.bench.clock.advance(self.bench.clock.now + 1)
        status, result, _, done, fault = RECORD.unpack_from(self.bench.memory, EXTRA)
        return status, result, done, fault


@pytest.mark.parametrize("opcode", [NOOP, DRAIN])
def test_nothing_to_do_succeeds(opcode: int) -> None:
    assert Engine().do(opcode) == (SUCCESS, 0, 0, 0)


@given(binary(min_size=1, max_size=10_000))
def test_memory_is_moved(data: bytes) -> None:
    engine = Engine()
    engine.bench.memory[SOURCE : SOURCE + len(data)] = data
    assert engine.do(MEMMOVE, size=len(data)) == (SUCCESS, 0, len(data), 0)
    assert engine.bench.memory[TARGET : TARGET + len(data)] == data
    assert engine.bench.pasids == {3}


@given(integers(0, (1 << 64) - 1), integers(1, 100))
def test_memory_is_filled_with_a_pattern_of_eight_bytes(pattern: int, size: int) -> None:
    engine = Engine()
    engine.do(FILL, source=pattern, size=size)
    expected = (pattern.to_bytes(8, "little") * 13)[:size]
    assert engine.bench.memory[TARGET : TARGET + size] == expected


@given(binary(min_size=1, max_size=50), integers(0, 49))
def test_memory_is_compared_up_to_the_first_difference(data: bytes, at: int) -> None:
    engine = Engine()
    engine.bench.memory[SOURCE : SOURCE + len(data)] = data
    engine.bench.memory[TARGET : TARGET + len(data)] = data
    assert engine.do(COMPARE, size=len(data)) == (SUCCESS, 0, len(data), 0)
    if at < len(data):
        engine.bench.memory[TARGET + at] ^= 0xFF
        assert engine.do(COMPARE, size=len(data)) == (SUCCESS, 1, at, 0)


@pytest.mark.parametrize(
    ("opcode", "source", "target", "size", "expected"),
    [
        (0x55, SOURCE, TARGET, 8, (BAD_OPCODE, 0, 0, 0)),
        (MEMMOVE, SOURCE, TARGET, 0, (BAD_SIZE, 0, 0, 0)),
        (MEMMOVE, SOURCE, TARGET, MOST_BYTES + 1, (BAD_SIZE, 0, 0, 0)),
        (MEMMOVE, 16, TARGET, 8, (PAGE_FAULT, 0, 0, 16)),
        (MEMMOVE, SOURCE, 32, 8, (PAGE_FAULT, 0, 0, 32)),
        (FILL, 0, 48, 8, (PAGE_FAULT, 0, 0, 48)),
    ],
)
def test_failures_are_told_in_the_record(
    opcode: int, source: int, target: int, size: int, expected: tuple[int, int, int, int]
) -> None:
    assert Engine().do(opcode, source, target, size) == expected


def test_without_a_request_only_failures_write_a_record() -> None:
    engine = Engine()
    assert engine.do(NOOP, flags=RECORD_VALID)[0] == 0
    assert engine.do(0x55, flags=RECORD_VALID)[0] == BAD_OPCODE


def test_a_record_that_cannot_be_written_stops_nothing() -> None:
    engine = Engine()
    descriptor = DESCRIPTOR.pack(0, WITH_RECORD, 8, 0, 0, 0, 0, 0)
    engine.portal.submit(descriptor)
    assert engine.do(NOOP)[0] == SUCCESS


def test_an_interrupt_comes_for_whoever_asks() -> None:
    engine = Engine()
    engine.do(NOOP)
    assert engine.bench.interrupts == 0
    engine.do(NOOP, flags=WITH_RECORD | REQUEST_INTERRUPT)
    assert engine.bench.interrupts == 1


def test_every_slot_of_the_portal_takes_a_descriptor() -> None:
    engine = Engine()
    for slot in range(64):
        engine.submit(NOOP, slot=slot)
    engine.bench.clock.advance(1)
    assert engine.dsa.jobs == 64


def test_a_queue_drains_until_its_last_descriptor_is_done() -> None:
    engine = Engine()
    engine.submit(NOOP)
    pending = [engine.queue.pending]
    engine.bench.clock.advance(1)
    pending.append(engine.queue.pending)
    assert pending == [1, 0]


def test_a_stalled_queue_keeps_what_it_has_accepted() -> None:
    engine = Engine()
    engine.queue.is_stalled = True
    assert engine.do(NOOP)[0] == 0
    engine.queue.is_stalled = False
    engine.dsa.advance(0)
    engine.bench.clock.advance(2)
    assert engine.dsa.jobs == 1


def test_a_closed_portal_runs_nothing_more() -> None:
    engine = Engine()
    engine.submit(NOOP)
    engine.queue.close(engine.portal)
    engine.bench.clock.advance(1)
    assert engine.dsa.jobs == 0


def test_each_who_opens_a_shared_queue_works_in_his_own_address_space() -> None:
    engine = Engine()
    other = engine.queue.open(4)
    engine.submit(NOOP)
    engine.bench.clock.advance(1)
    assert engine.bench.pasids == {3}
    other.submit(DESCRIPTOR.pack(0, WITH_RECORD, EXTRA, 0, 0, 0, 0, 0))
    engine.bench.clock.advance(2)
    assert engine.bench.pasids == {3, 4}


def test_a_queue_is_started_while_somebody_has_it_open() -> None:
    engine = Engine()
    other = engine.queue.open(4)
    engine.queue.close(engine.portal)
    assert engine.dsa.started == {0: engine.queue}
    engine.queue.close(other)
    assert engine.dsa.started == {}


def test_a_portal_can_be_closed_after_a_reset() -> None:
    engine = Engine()
    engine.dsa.reset()
    engine.queue.close(engine.portal)
    assert engine.dsa.queue(0).open(5).pending == 0
