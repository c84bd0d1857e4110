from hypothesis import given
from hypothesis import strategies as st

from sdmtop.counters import RING, CounterRing, Counters

U32 = 1 << 32


def ring(*readings: tuple[float, list[int]]) -> Counters:
    made = CounterRing()
    for at, totals in readings:
        made.add(at, totals)
    return made.view()


def test_one_reading_has_totals_but_no_rate() -> None:
    counters = ring((0.0, [5, 7]))
    assert counters.total(1) == 7
    assert counters.rate(1) is None


def test_a_rate_is_per_second_not_per_reading() -> None:
    assert ring((10.0, [100]), (12.0, [300])).rate(0) == 100.0


def test_a_counter_that_wraps_at_32_bits_keeps_its_rate() -> None:
    assert ring((0.0, [U32 - 10]), (1.0, [20])).rate(0) == 30.0


def test_a_counter_that_began_anew_has_no_rate_of_billions() -> None:
    assert ring((0.0, [1000]), (1.0, [0])).rate(0) == 0.0


def test_an_interrupt_that_came_later_has_no_rate_yet() -> None:
    counters = ring((0.0, [1]), (1.0, [1, 9]))
    assert counters.total(1) == 9
    assert counters.rate(1) is None
    assert counters.total(2) is None


def test_rates_of_several_interrupts_add_up() -> None:
    counters = ring((0.0, [0, 0]), (1.0, [3, 4]))
    assert counters.rates([0, 1]) == 7.0
    assert counters.rates([8]) is None
    assert counters.rates([]) is None


def test_history_is_oldest_first_and_no_longer_than_asked() -> None:
    counters = ring((0.0, [0]), (1.0, [1]), (2.0, [3]), (3.0, [6]))
    assert counters.history(0, 2) == [2.0, 3.0]
    assert counters.history(0, 99) == [1.0, 2.0, 3.0]


@given(st.integers(min_value=0, max_value=3 * RING))
def test_the_ring_never_grows_beyond_its_bound(count: int) -> None:
    made = CounterRing()
    for at in range(count):
        made.add(float(at), [at])
    assert len(made.view().history(0, 10 * RING)) <= RING


def test_a_view_does_not_change_when_the_ring_does() -> None:
    made = CounterRing()
    made.add(0.0, [1])
    view = made.view()
    made.add(1.0, [5])
    assert view.rate(0) is None
