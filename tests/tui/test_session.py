"""The terminal that tests look at behaves as one."""

from benchmarks.ttybench import Emulator


def test_a_sequence_that_was_cut_off_is_ended_by_the_next() -> None:
    screen = Emulator(80, 24)
    screen.feed(b"\x1b[?1049h\x1b[?1000h\x1b[38;5;248;48;5")
    screen.feed(b"\x1b[?1000l\x1b[?1049l")
    assert not screen.private[1000]
    assert (screen.alt_entered, screen.alt_left) == (1, 1)
