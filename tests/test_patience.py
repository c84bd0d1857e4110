import errno
import threading
import time

import pytest

from sdmtop.backends.base import Host
from sdmtop.backends.tree import TreeHost
from sdmtop.patience import MOST_HUNG, PatientHost, patiently

DEADLINE = 0.05


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdmtop.patience.DEADLINE", DEADLINE)


class Stuck:
    """Files whose reading does not return before the end of the test."""

    def __init__(self, *names: str) -> None:
        self.released = threading.Event()
        self.host = TreeHost({"/sys/a": b"a", **{f"/sys/{name}": self.read for name in names}})

    def read(self) -> bytes:
        self.released.wait(30)
        return b"late"


def test_answers_and_errors_come_through() -> None:
    host = TreeHost({"/sys/a": b"a"})
    patient = PatientHost(host, DEADLINE)
    assert patient.call(host.read, "/sys/a") == b"a"
    with pytest.raises(FileNotFoundError):
        patient.call(host.read, "/sys/none")
    with pytest.raises(ZeroDivisionError):
        patient.call(lambda: 1 // 0)
    patient.close()


def test_a_read_that_hangs_is_left_behind_and_not_tried_again() -> None:
    stuck = Stuck("bad")
    patient = PatientHost(stuck.host, DEADLINE)
    for _ in range(2):
        with pytest.raises(TimeoutError) as caught:
            patient.call(stuck.host.read, "/sys/bad")
        assert caught.value.errno == errno.ETIMEDOUT
    assert patient.hung == ["/sys/bad"]
    assert patient.call(stuck.host.read, "/sys/a") == b"a"
    stuck.released.set()
    patient.close()


def test_of_a_directory_only_what_hangs_is_lost() -> None:
    stuck = Stuck("bad", "worse")
    patient = PatientHost(stuck.host, DEADLINE)
    files = ("bad", "a", "worse")
    bad, fine, worse = patient.call_for("/sys", stuck.host.look, "/sys", files)
    assert isinstance(bad, TimeoutError)
    assert fine == b"a"
    assert isinstance(worse, TimeoutError)
    assert patient.hung == ["/sys/bad", "/sys/worse"]
    stuck.released.set()
    patient.close()


def test_a_file_that_answers_late_is_not_avoided_any_more() -> None:
    stuck = Stuck("bad")
    assert patiently(stuck.host, answer_of, stuck.host, "/sys/bad") == "ETIMEDOUT"
    assert stuck.host.avoid == {"/sys/bad"}
    stuck.released.set()
    for _ in range(1000):
        if not stuck.host.avoid:
            break
        time.sleep(0.01)
    assert patiently(stuck.host, answer_of, stuck.host, "/sys/bad") == "late"


def answer_of(host: Host, path: str) -> str:
    try:
        return host.read(path).decode()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def test_many_slow_reads_in_one_call_are_not_a_hang() -> None:
    def slow() -> bytes:
        time.sleep(0.1)
        return b"slow"

    names = [str(index) for index in range(6)]
    host = TreeHost({f"/sys/{name}": slow for name in names})
    patient = PatientHost(host, 0.5)
    assert patient.call_for("/sys", host.look, "/sys", names) == [b"slow"] * 6
    assert patient.hung == []
    patient.close()


def test_after_too_many_hangs_nothing_more_is_tried() -> None:
    names = [str(index) for index in range(MOST_HUNG)]
    stuck = Stuck(*names)
    patient = PatientHost(stuck.host, DEADLINE)
    for name in names:
        with pytest.raises(TimeoutError):
            patient.call(stuck.host.read, f"/sys/{name}")
    with pytest.raises(OSError, match="too many") as caught:
        patient.call(stuck.host.read, "/sys/a")
    assert caught.value.errno == errno.ENODATA
    stuck.released.set()
    patient.close()


def test_no_thread_is_left_where_nothing_hung() -> None:
    before = threading.active_count()
    host = TreeHost({"/sys/a": b"a"})
    patient = PatientHost(host, DEADLINE)
    patient.call(host.read, "/sys/a")
    patient.close()
    for _ in range(100):
        if threading.active_count() <= before:
            return
        time.sleep(0.01)
    pytest.fail("the reading thread has not ended")
