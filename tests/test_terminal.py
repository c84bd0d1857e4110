"""What is said of the terminal."""

import pytest

from sdmtop.terminal import way_of_a_copy


@pytest.mark.parametrize(
    ("environment", "word"),
    [
        ({"TERM": "linux"}, "does not know"),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/x", "SSH_TTY": "/dev/pts/1"}, "set-clipboard"),
        ({"TERM": "xterm", "SSH_TTY": "/dev/pts/1"}, "your end of ssh"),
        ({"TERM": "xterm"}, "if the terminal allows"),
    ],
)
def test_the_way_of_a_copy_names_what_it_may_meet(environment: dict[str, str], word: str) -> None:
    assert "OSC 52" in way_of_a_copy(environment)
    assert word in way_of_a_copy(environment)
