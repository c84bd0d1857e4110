from hypothesis import given
from hypothesis import strategies as st

from sdmtop.tape import BEAT, SPEEDS, STILL, Tape

TIMES = st.lists(st.floats(0, 1000), min_size=1, max_size=20).map(sorted)


def tape(*gaps: float, eventful: tuple[int, ...] = (), end: float = 0.0) -> Tape:
    """A tape whose moments are so many seconds apart."""
    times = [100.0]
    for gap in gaps:
        times.append(times[-1] + gap)
    return Tape(times, eventful, end)


def played(made: Tape, *, until: float, beat: float = 0.01) -> list[float]:
    """When each moment came, played from 0."""
    made.play(0.0)
    came, index = [], made.index
    for step in range(1, round(until / beat) + 1):
        made.advance(step * beat)
        if made.index != index:
            came.append(round(step * beat, 6))
            index = made.index
    return came


def test_moments_come_at_the_times_that_they_were_made() -> None:
    assert played(tape(1.0, 2.0, 0.5), until=5.0) == [1.0, 3.0, 3.5]


def test_a_higher_speed_is_so_many_times_as_fast() -> None:
    made = tape(1.0, 2.0)
    assert made.faster(1, 0.0)
    assert made.speed == 2.0
    assert played(made, until=2.0) == [0.5, 1.5]


def test_there_is_a_highest_and_a_lowest_speed() -> None:
    made = tape(1.0)
    assert sum(made.faster(1, 0.0) for _ in SPEEDS) == len(SPEEDS) - 1 - SPEEDS.index(1.0)
    assert sum(made.faster(-1, 0.0) for _ in SPEEDS) == len(SPEEDS) - 1


def test_a_long_time_without_a_change_is_not_waited_for() -> None:
    assert played(tape(86400.0), until=2 * STILL) == [STILL]


def test_a_program_that_was_stopped_does_not_rush_through_what_it_missed() -> None:
    made = tape(*[1.0] * 100)
    made.play(0.0)
    made.advance(3600.0)
    assert made.index == 2


def test_at_the_end_it_stops_and_plays_again_from_the_start() -> None:
    made = tape(1.0, 1.0)
    played(made, until=3.0)
    assert (made.playing, made.index) == (False, 2)
    made.play(9.0)
    assert (made.playing, made.index) == (True, 0)


def test_a_single_moment_cannot_be_played() -> None:
    made = tape()
    made.play(0.0)
    assert not made.playing
    assert made.wait(0.0) is None


def test_played_to_the_end_it_goes_on_with_what_comes() -> None:
    made = tape(1.0)
    played(made, until=2.0)
    assert made.at_end
    made.grow([107.0, 109.0], [3], 110.0)
    assert (made.index, made.begin, made.end) == (3, 100.0, 110.0)
    assert made.at_end
    assert made.line(31)[10:21] == "─────────●─"


def test_stopped_at_the_end_it_stays_there_and_what_comes_is_a_step_away() -> None:
    made = tape(1.0)
    assert made.step(1)
    made.grow([107.0], [2], 0.0)
    assert (made.index, made.at_end) == (1, False)
    assert made.leap(1)
    assert made.index == 2


def test_before_the_end_more_to_play_changes_nothing() -> None:
    made = tape(1.0, 1.0)
    made.play(0.0)
    made.grow([103.0], [], 0.0)
    assert (made.index, made.playing, made.at_end) == (0, True, False)
    made.advance(1.0)
    assert made.index == 1


def test_what_is_deleted_at_the_beginning_is_no_more_to_be_shown() -> None:
    made = tape(1.0, 1.0, 1.0, eventful=(1, 3))
    made.step(2)
    made.grow([104.0], [], 0.0, dropped=1)
    assert (list(made.times), made.index, list(made.eventful)) == ([101, 102, 103, 104], 1, [0, 2])
    made.grow([], [], 0.0, dropped=3)
    assert (list(made.times), made.index, list(made.eventful)) == ([104], 0, [])


def test_steps_and_leaps_stop_it() -> None:
    made = tape(1.0, 1.0, 1.0, 1.0, eventful=(1, 3))
    made.play(0.0)
    assert made.leap(1)
    assert (made.playing, made.index) == (False, 1)
    assert [made.leap(1), made.leap(1), made.index] == [True, False, 3]
    assert [made.leap(-1), made.leap(-1), made.index] == [True, False, 1]
    assert [made.step(-1), made.step(-1), made.index] == [True, False, 0]


def test_a_skip_is_a_part_of_the_whole_but_a_moment_at_least() -> None:
    long = tape(*[1.0] * 100)
    long.skip(1, 0.0)
    assert long.index == 5
    short = tape(1.0, 1.0)
    short.skip(1, 0.0)
    assert short.index == 1
    for _ in range(9):
        short.skip(1, 0.0)
    assert short.index == 2


def test_its_line_shows_from_when_to_when_what_happened_and_where_it_is() -> None:
    made = tape(*[1.0] * 10, eventful=(5,), end=110.0)
    line = made.line(31)
    assert line[10:21] == "●────!─────"
    made.seek(made.at_cell(20, 31), 0.0)
    assert made.index == 10
    assert made.line(31)[10:21] == "─────!────●"


@given(TIMES, st.floats(0, 1e6), st.integers(1, 200), st.integers(-5, 300))
def test_a_line_has_its_width_and_a_click_anywhere_is_a_moment(
    times: list[float], end: float, width: int, cell: int
) -> None:
    made = Tape(times, [len(times) - 1], end)
    assert len(made.line(width)) == max(width, 21)
    made.seek(made.at_cell(cell, width), 0.0)
    assert 0 <= made.index < len(times)


@given(
    TIMES,
    st.lists(st.tuples(st.sampled_from(["play", "pause", "step", "leap", "skip", "faster", "seek",
                                        "grow", "drop"]),
                       st.sampled_from([-1, 1]), st.floats(0, 10))),
)  # fmt: skip
def test_whatever_is_pressed_it_stands_at_a_moment_and_plays_only_before_the_end(
    times: list[float], keys: list[tuple[str, int, float]]
) -> None:
    made = Tape([*times], range(1, len(times), 3), 0.0)
    now = 0.0
    for key, step, seconds in keys:
        now += seconds
        made.advance(now)
        match key:
            case "play":
                made.play(now)
            case "pause":
                made.stop()
            case "grow":
                made.grow([made.end + seconds], [len(made.times)], 0.0)
            case "drop":
                made.grow([], [], 0.0, dropped=len(made.times) // 2)
            case "step":
                made.step(step)
            case "leap":
                made.leap(step)
            case "skip":
                made.skip(step, now)
            case "faster":
                made.faster(step, now)
            case "seek":
                made.seek(made.begin + seconds * 100, now)
        assert 0 <= made.index < len(made.times)
        assert all(0 <= index < len(made.times) for index in made.eventful)
        assert not made.at_end or made.index == len(made.times) - 1
        assert not (made.at_end and made.playing)
        wait = made.wait(now)
        assert (wait is not None) == made.playing
        assert wait is None or wait >= BEAT
