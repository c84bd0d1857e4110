"""Properties made once, each by whoever asks for it."""

import threading

from sdmtop.operations.blast.lazy import lazy


class Slow:
    def __init__(self, *waiting: threading.Event) -> None:
        self.waiting = waiting
        self.begun = threading.Event()
        self.made = 0

    @lazy
    def value(self) -> int:
        self.begun.set()
        for event in self.waiting:
            event.wait(30)
        self.made += 1
        return self.made


def test_it_is_made_once() -> None:
    slow = Slow()
    assert (slow.value, slow.value) == (1, 1)


def test_one_that_waits_keeps_no_other_waiting() -> None:
    released = threading.Event()
    waits = Slow(released)
    thread = threading.Thread(target=lambda: waits.value, daemon=True)
    thread.start()
    assert waits.begun.wait(30)
    assert Slow().value == 1
    assert thread.is_alive()
    released.set()
    thread.join(30)
