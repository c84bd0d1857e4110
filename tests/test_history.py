import time

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sdmtop.collector import Sample
from sdmtop.counters import Counters
from sdmtop.differences import share
from sdmtop.history import History, Playhead
from sdmtop.model import Interrupt, Snapshot
from sdmtop.timeline import Happening
from tests.records import device, snapshot


def sample(at: float, snap: Snapshot | None = None, *, happened: int = 0) -> Sample:
    """A sample in which so many things have happened."""
    return Sample(
        at=at,
        snapshot=snap or snapshot(),
        counters=Counters([(at, [0])]),
        per_cpu={1: (5, 6)},
        happenings=_HAPPENINGS[:happened],
        details=None,
        complete=True,
        read_at={},
    )


_HAPPENINGS = tuple(
    Happening(at=float(number), kind="added", key=None, text=str(number)) for number in range(9)
)


def row(irq: int, cpus: int) -> Interrupt:
    return Interrupt(
        irq=str(irq),
        chip=None,
        hwirq=None,
        trigger=None,
        actions=(),
        per_cpu=tuple(range(cpus)),
        total=1,
        device=None,
        shared_by=(),
        affinity=None,
    )


def kept(history: History) -> list[float]:
    return [history.sample(n)[1].at for n in range(history.first, history.last + 1)]


def shown(history: History) -> tuple[Playhead, list[float]]:
    """A playhead, and the times of the samples that it has shown."""
    times: list[float] = []
    playhead = Playhead(history)
    playhead.show = lambda sample: times.append(sample.at)
    return playhead, times


@given(st.integers(min_value=1, max_value=9), st.integers(min_value=1, max_value=30))
def test_the_newest_samples_are_kept_and_no_more(most: int, count: int) -> None:
    history = History(most)
    for at in range(count):
        history.add(sample(float(at)))
    assert kept(history) == [float(at) for at in range(max(count - most, 0), count)]


def test_samples_of_one_snapshot_are_many_those_of_large_ones_few() -> None:
    history = History(most=100, most_bytes=1_000_000)
    for at in range(100):
        history.add(sample(at, snapshot(interrupts=[row(irq, 256) for irq in range(50)])))
    assert 1 <= len(kept(history)) < 5
    still = snapshot(interrupts=[row(irq, 256) for irq in range(50)])
    for at in range(100, 200):
        history.add(sample(at, still))
    assert len(kept(history)) > 90


def test_a_record_that_did_not_change_weighs_nothing() -> None:
    before = snapshot(devices=[device(f"0000:00:{n:02x}.0") for n in range(200)])
    history = History(most_bytes=250_000)
    for at in range(50):
        after = snapshot(devices=[device(f"0000:00:{n:02x}.0") for n in range(200)])
        after = replace(after, taken_at=str(at))
        before = share(before, after)
        history.add(sample(at, before))
    assert len(kept(history)) == 50


def test_half_a_reading_makes_way_for_the_whole_one() -> None:
    history = History()
    history.add(sample(1.0))
    half = replace(sample(2.0, snapshot(devices=(device("0000:00:01.0"),))), complete=False)
    history.add(half)
    assert kept(history) == [1.0, 2.0]
    history.add(sample(3.0, snapshot(devices=(device("0000:00:02.0"),))))
    assert kept(history) == [1.0, 3.0]
    assert (history.first, history.last) == (0, 1)


def test_the_newest_is_kept_complete_for_the_way_back_to_it() -> None:
    history = History()
    history.add(sample(1.0))
    assert history.newest is not None
    assert history.newest.per_cpu == {1: (5, 6)}
    assert history.sample(0)[1].per_cpu == {}


def test_what_is_read_for_a_selection_makes_no_new_moment() -> None:
    history = History()
    first = sample(1.0)
    history.add(first)
    history.add(replace(first, at=2.0, details=("group/1", ())))
    assert kept(history) == [1.0]
    assert history.sample(0)[1].details == ("group/1", ())


def test_before_the_first_sample_there_is_nothing_to_hold() -> None:
    playhead, times = shown(History())
    playhead.toggle()
    assert not playhead.frozen
    assert not playhead.step(-1)
    assert not playhead.leap(-1)
    assert times == []


def test_frozen_means_the_same_sample_whatever_comes_and_the_newest_when_it_ends() -> None:
    history = History()
    history.add(sample(1.0))
    playhead, times = shown(history)
    frozen = []
    for _ in range(2):
        playhead.toggle()
        frozen.append(playhead.frozen)
        history.add(sample(2.0))
        history.add(sample(3.0))
    assert frozen == [True, False]
    assert times == [1.0, 3.0]


def test_a_step_back_freezes_and_steps_go_no_further_than_what_is_kept() -> None:
    history = History()
    for at in range(3):
        history.add(sample(float(at)))
    playhead, times = shown(history)
    assert [playhead.step(-1) for _ in range(3)] == [True, True, False]
    assert playhead.frozen
    assert [playhead.step(1) for _ in range(3)] == [True, True, False]
    assert times == [1.0, 0.0, 1.0, 2.0]


def test_a_moment_that_is_forgotten_while_it_is_shown_is_followed_by_the_oldest_one_kept() -> None:
    history = History(most=2)
    history.add(sample(0.0))
    playhead, times = shown(history)
    playhead.toggle()
    for at in range(1, 9):
        history.add(sample(float(at)))
    assert not playhead.step(-1)
    assert playhead.step(1)
    assert times == [0.0, 8.0]


def test_leaps_go_from_event_to_event() -> None:
    history = History()
    for at, happened in enumerate((0, 0, 1, 1, 3, 3)):
        history.add(sample(float(at), happened=happened))
    playhead, times = shown(history)
    assert [playhead.leap(-1) for _ in range(3)] == [True, True, False]
    assert [playhead.leap(1) for _ in range(2)] == [True, False]
    assert times == [4.0, 2.0, 4.0]


def test_behind_counts_from_the_moment_that_is_shown() -> None:
    history = History()
    now = time.time()
    history.add(sample(now - 100))
    history.add(sample(now - 40))
    playhead, _ = shown(history)
    assert playhead.state() == ""
    playhead.toggle()
    assert playhead.state().endswith(", 0 s behind")
    playhead.step(-1)
    assert playhead.state().endswith(", 100 s behind")


@given(
    st.lists(st.sampled_from(["add", "happen", "toggle", "back", "on", "before", "after"])),
    st.integers(min_value=1, max_value=4),
)
def test_whatever_is_pressed_only_samples_that_are_kept_are_shown(
    keys: list[str], most: int
) -> None:
    history = History(most)
    playhead, times = shown(history)
    happened = 0
    for at, key in enumerate(keys):
        if key in ("add", "happen"):
            happened = min(happened + (key == "happen"), 8)
            history.add(sample(float(at), happened=happened))
            continue
        count = len(times)
        match key:
            case "toggle":
                playhead.toggle()
            case "back" | "on":
                playhead.step(-1 if key == "back" else 1)
            case _:
                playhead.leap(-1 if key == "before" else 1)
        if len(times) > count:
            assert times[-1] in kept(history)
