"""Load curves, and the interrupts that drivers take."""

from random import Random

import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers, lists, sampled_from

from sdmtop.backends.simulator.loads import Counter, rate_at
from sdmtop.backends.simulator.scenario import Load
from tests.backends.simulator.machines import machine, text, to_vfio, write

SHAPES = ("flat", "sine", "square", "saw", "burst")


@pytest.mark.parametrize(
    ("shape", "rates"),
    [
        ("flat", (30, 30, 30, 30)),
        ("sine", (10, 20, 30, 20)),
        ("square", (30, 30, 10, 10)),
        ("saw", (10, 15, 20, 25)),
        ("burst", (30, 10, 10, 10)),
    ],
)
def test_a_curve_has_its_shape_once_a_period(shape: str, rates: tuple[float, ...]) -> None:
    load = Load("l", high=30, low=10, shape=shape, period=40)  # type: ignore[arg-type]
    for lap in (0, 40, 400):
        assert [rate_at(load, lap + at) for at in (0, 10, 20, 30)] == pytest.approx(rates)


@given(sampled_from(SHAPES), floats(0, 1e6))
def test_a_rate_is_between_low_and_high(shape: str, seconds: float) -> None:
    load = Load("l", high=30, low=10, shape=shape, period=7)  # type: ignore[arg-type]
    assert 10 <= rate_at(load, seconds) <= 30


@given(lists(floats(0.01, 5), min_size=1, max_size=50), integers(0, 100))
def test_however_time_is_cut_no_event_is_lost(steps: list[float], seed: int) -> None:
    counter = Counter(Load("l", high=100), Random(seed), 0.0)
    now, total = 0.0, 0
    for step in steps:
        now += step
        total += counter.take(now)
    assert abs(total - 100 * now) <= 1


def test_noise_is_of_the_seed() -> None:
    def counts(seed: int) -> list[int]:
        counter = Counter(Load("l", high=50, noise=0.5), Random(seed), 0.0)
        return [counter.take(second) for second in range(1, 20)]

    assert counts(1) == counts(1)
    assert counts(1) != counts(2)
    assert all(24 <= count <= 77 for count in counts(1))


BUSY = """
title = "A busy card"
[[unit]]
name = "dmar0"
[[load]]
name = "busy"
high = 100
[[device]]
address = "0000:01:00.0"
unit = "dmar0"
driver = "nic"
vendor = 1
interrupts = { kind = "msix", actions = ["rx", "tx", "link"], load = "busy" }
"""


def total_of(irqs: str) -> int:
    """The sum of the counts of a device's rows in /proc/interrupts."""
    rows = [row.split() for row in irqs.splitlines() if "0000:01:00.0" in row]
    return sum(int(cell) for row in rows for cell in row[1:5])


def test_a_bound_device_interrupts_at_the_rate_of_its_load() -> None:
    host = machine(BUSY)
    host.step(10)
    ten = total_of(text(host, "/proc/interrupts"))
    # Of a device's own weight, from half to one and a half times the load.
    assert 490 <= ten <= 1510
    host.step(10)
    assert total_of(text(host, "/proc/interrupts")) == pytest.approx(2 * ten, abs=20)


def test_all_vectors_take_part() -> None:
    host = machine(BUSY)
    host.step(10)
    rows = [row for row in text(host, "/proc/interrupts").splitlines() if "0000:01:00.0" in row]
    assert len(rows) == 3
    assert all(any(int(cell) for cell in row.split()[1:5]) for row in rows)


def test_without_a_driver_nothing_interrupts() -> None:
    host = machine(BUSY)
    write(host, "/sys/bus/pci/drivers/nic/unbind", "0000:01:00.0")
    host.step(10)
    assert total_of(text(host, "/proc/interrupts")) == 0


def test_a_device_that_was_removed_and_found_again_goes_on() -> None:
    host = machine(BUSY)
    write(host, "/sys/bus/pci/devices/0000:01:00.0/remove", "1")
    write(host, "/sys/bus/pci/rescan", "1")
    host.step(10)
    assert total_of(text(host, "/proc/interrupts")) > 0


def test_on_vfio_pci_nothing_interrupts_before_somebody_asks_for_it() -> None:
    host = machine(BUSY)
    to_vfio(host, "0000:01:00.0")
    host.step(10)
    assert "0000:01:00.0" not in text(host, "/proc/interrupts")
