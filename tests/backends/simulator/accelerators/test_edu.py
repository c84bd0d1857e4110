"""QEMU's `edu`, as its specification and our guests have it."""

import math

import pytest
from hypothesis import given
from hypothesis.strategies import binary, integers

from sdmtop.backends.simulator.accelerators.edu import (
    BUFFER,
    BUFFER_SIZE,
    COMPUTING,
    DMA_COMMAND,
    DMA_COUNT,
    DMA_DONE,
    DMA_INTERRUPT,
    DMA_SOURCE,
    DMA_TARGET,
    FACTORIAL,
    FACTORIAL_DONE,
    ID,
    IDENTITY,
    INTERRUPT_WHEN_DONE,
    IRQ_ACK,
    IRQ_RAISE,
    IRQ_STATUS,
    LIVENESS,
    START,
    STATUS,
    TO_MEMORY,
    Edu,
)
from tests.backends.simulator.accelerators.bench import SOURCE, TARGET, Bench


class Card:
    """An edu and its bench."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.edu = Edu(self.bench, 2)

    def read(self, register: int, size: int = 4) -> int:
        return int.from_bytes(self.edu.read_register(register, size), "little")

    def write(self, register: int, value: int, size: int = 4) -> None:
        self.edu.write_register(register, value.to_bytes(size, "little"))

    def transfer(self, source: int, target: int, count: int, command: int) -> None:
        self.write(DMA_SOURCE, source, 8)
        self.write(DMA_TARGET, target, 8)
        self.write(DMA_COUNT, count, 8)
        self.write(DMA_COMMAND, command | START, 8)
        self.pass_time()

    def pass_time(self, seconds: float = 1.0) -> None:
        self.bench.clock.advance(self.bench.clock.now + seconds)


def test_it_says_what_it_is() -> None:
    assert Card().read(ID) == IDENTITY


@given(integers(0, 0xFFFF_FFFF))
def test_liveness_is_the_complement_of_what_was_written(value: int) -> None:
    card = Card()
    card.write(LIVENESS, value)
    assert card.read(LIVENESS) == value ^ 0xFFFF_FFFF


@given(integers(0, 200))
def test_factorials_are_those_of_mathematics_in_32_bits(number: int) -> None:
    card = Card()
    card.write(FACTORIAL, number)
    assert card.read(STATUS) & COMPUTING
    card.pass_time()
    assert not card.read(STATUS) & COMPUTING
    assert card.read(FACTORIAL) == math.factorial(number) % (1 << 32)


def test_while_it_computes_no_other_number_is_taken() -> None:
    card = Card()
    card.write(FACTORIAL, 5)
    card.write(FACTORIAL, 6)
    card.pass_time()
    assert card.read(FACTORIAL) == 120


@pytest.mark.parametrize(("wanted", "interrupts"), [(INTERRUPT_WHEN_DONE, 1), (0, 0)])
def test_a_factorial_interrupts_if_that_is_wanted(wanted: int, interrupts: int) -> None:
    card = Card()
    card.write(STATUS, wanted)
    card.write(FACTORIAL, 3)
    card.pass_time()
    assert card.bench.interrupts == interrupts
    assert card.read(IRQ_STATUS) == interrupts * FACTORIAL_DONE


def test_an_interrupt_is_raised_to_order_until_it_is_acknowledged() -> None:
    card = Card()
    card.write(IRQ_RAISE, 0x30)
    assert (card.bench.interrupts, card.read(IRQ_STATUS)) == (1, 0x30)
    card.write(IRQ_ACK, 0x10)
    assert card.read(IRQ_STATUS) == 0x20


@given(binary(min_size=1, max_size=BUFFER_SIZE))
def test_dma_there_and_back_keeps_the_data(data: bytes) -> None:
    card = Card()
    card.bench.memory[SOURCE : SOURCE + len(data)] = data
    card.transfer(SOURCE, BUFFER, len(data), 0)
    assert card.bench.interrupts == 0
    card.transfer(BUFFER, TARGET, len(data), TO_MEMORY | DMA_INTERRUPT)
    assert card.bench.memory[TARGET : TARGET + len(data)] == data
    assert (card.bench.interrupts, card.read(IRQ_STATUS)) == (1, DMA_DONE)
    assert not card.read(DMA_COMMAND, 8) & START


def test_dma_takes_a_tenth_of_a_second() -> None:
    card = Card()
    card.write(DMA_TARGET, BUFFER, 8)
    card.write(DMA_COMMAND, START, 8)
    card.pass_time(0.09)
    assert card.read(DMA_COMMAND, 8) & START


@pytest.mark.parametrize("target", [BUFFER - 1, BUFFER + 1])
def test_dma_outside_of_the_buffer_moves_nothing(target: int) -> None:
    card = Card()
    card.bench.memory[SOURCE : SOURCE + BUFFER_SIZE] = b"x" * BUFFER_SIZE
    card.transfer(SOURCE, target, BUFFER_SIZE, 0)
    card.transfer(BUFFER, TARGET, BUFFER_SIZE, TO_MEMORY)
    assert card.bench.memory[TARGET : TARGET + BUFFER_SIZE] == bytes(BUFFER_SIZE)


def test_dma_that_faults_ends_as_if_nothing_were_wrong() -> None:
    card = Card()
    card.transfer(0, BUFFER, 16, DMA_INTERRUPT)
    assert card.read(IRQ_STATUS) == DMA_DONE


@pytest.mark.parametrize(("register", "size"), [(0x0C, 4), (ID, 8), (ID, 2), (0x100, 4)])
def test_where_there_is_no_register_there_are_ones(register: int, size: int) -> None:
    assert Card().edu.read_register(register, size) == b"\xff" * size


def test_reset_forgets_everything() -> None:
    card = Card()
    card.write(LIVENESS, 1)
    card.write(IRQ_RAISE, 1)
    card.write(FACTORIAL, 3)
    card.edu.reset()
    card.pass_time()
    assert [card.read(register) for register in (LIVENESS, IRQ_STATUS, FACTORIAL, STATUS)] == [
        0
    ] * 4


def test_a_queue_computes_when_it_is_rung_not_when_its_page_changes() -> None:
    card = Card()
    queue = card.edu.queue(1)
    queue.start(None)
    queue.doorbell[:4] = (9).to_bytes(4, "little")
    card.edu.advance(0)
    card.pass_time()
    assert card.bench.interrupts == 0
    queue.ring()
    card.pass_time()
    assert int.from_bytes(queue.doorbell[4:8], "little") == math.factorial(9)
    assert (card.bench.interrupts, queue.is_updated()) == (1, True)
