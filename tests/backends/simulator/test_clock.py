"""The pace of virtual time."""

import pytest

from sdmtop.backends.simulator.clock import LONGEST_GAP, LONGEST_SLICE, Clock, Pace


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Real time, as the test says."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_time_passes_at_its_rate(real: list[float]) -> None:
    pace = Pace(5.0, 10.0)
    assert pace.now() == 5.0
    real[0] += 2
    assert pace.now() == 25.0


def test_at_another_rate_it_goes_on_from_where_it_is(real: list[float]) -> None:
    pace = Pace(0.0, 1.0)
    real[0] += 4
    pace.change(pace.now(), 100.0)
    real[0] += 1
    assert pace.now() == 104.0


def test_a_program_that_was_stopped_does_not_live_through_all_of_it(real: list[float]) -> None:
    pace = Pace(0.0, 1.0)
    real[0] += 3600
    assert pace.now() == LONGEST_GAP
    real[0] += 1
    assert pace.now() == LONGEST_GAP + 1


def busy(real: list[float], costs: float) -> Clock:
    """A clock on which something happens every second that takes so much real time."""
    clock = Clock()

    def happen() -> None:
        real[0] += costs
        clock.after(1.0, happen)

    happen()
    return clock


def test_a_pace_that_the_machine_cannot_keep_is_as_fast_as_it_can(real: list[float]) -> None:
    clock = busy(real, 0.01)
    pace = Pace(0.0, 1000.0)
    real[0] += 1
    looked = real[0]
    pace.catch_up(clock)
    assert 0.25 <= real[0] - looked < 0.3
    reached, looked = clock.now, real[0]
    assert 20 < reached < 30
    assert pace.is_behind
    pace.catch_up(clock)  # It rests: whoever looks now is not kept.
    assert (real[0], clock.now, pace.is_behind) == (looked, reached, True)
    real[0] += 0.5
    pace.catch_up(clock)
    assert reached < clock.now < reached + 30


def test_after_a_long_gap_at_a_hopeless_pace_the_host_answers_soon(real: list[float]) -> None:
    clock = busy(real, 0.01)
    pace = Pace(0.0, 1000.0)
    real[0] += LONGEST_GAP
    looked = real[0]
    pace.catch_up(clock)
    assert real[0] - looked < LONGEST_SLICE + 0.02


def test_a_pace_that_can_be_kept_is_kept_to_the_second(real: list[float]) -> None:
    clock = busy(real, 0.01)
    start, pace = real[0], Pace(0.0, 10.0)
    for _ in range(20):
        real[0] += 1
        wanted = (real[0] - start) * 10
        pace.catch_up(clock)
        assert (clock.now, pace.is_behind) == (wanted, False)
