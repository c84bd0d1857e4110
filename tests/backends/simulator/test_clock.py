"""The pace of virtual time."""

import pytest

from sdmtop.backends.simulator.clock import LONGEST_GAP, Pace


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
