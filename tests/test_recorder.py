"""Writing recordings, and reading back what was written."""

import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from sdmtop import recorder as recorder_module
from sdmtop.backends.base import Host
from sdmtop.cli import run
from sdmtop.collector import Sample
from sdmtop.recorder import Recorder
from sdmtop.recording import Recording
from sdmtop.text import fact, printable
from tests.samples import BEGIN, life

FOREVER = 1e9


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "box.recording")


def write(path: str, samples: list[Sample], *, size: int = 1 << 30, age: float = FOREVER) -> None:
    with Recorder(path, most_bytes=size, most_seconds=age) as recorder:
        for sample in samples:
            recorder.add(sample)


def times(path: str) -> list[float]:
    """The times of all moments, each of which can be read."""
    recording = Recording(path)
    numbers = range(recording.first, recording.last + 1)
    found = [recording.sample(number).at for number in numbers]
    assert found == list(recording.extent().times)
    recording.close()
    return found


def test_every_sample_is_read_back_whole_in_any_order(path: str) -> None:
    samples = life("irq", "plug", "irq", "irq", "unplug", "irq")
    write(path, samples)
    recording = Recording(path)
    for number in (0, 3, 1, 6, 6, 2, 5, 4):
        assert recording.sample(number).snapshot == samples[number].snapshot
        assert recording.sample(number).happenings == samples[number].happenings
        assert recording.sample(number).at == samples[number].at
    assert recording.extent().eventful == [2, 5]


def test_rates_and_their_history_are_there_wherever_one_begins(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MOST_MOMENTS", 10)
    samples = life(*["irq"] * 100)
    write(path, samples)
    for number in (95, 64):
        found = Recording(path).sample(number).counters
        assert found.history(1, 60) == samples[number].counters.history(1, 60)


def test_a_recording_is_for_its_owner_only(path: str) -> None:
    write(path, life())
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_recording_is_continued_with_a_moment_that_stands_by_itself(path: str) -> None:
    samples = life("irq", "plug", "irq", "irq")
    write(path, samples[:3])
    write(path, samples[3:])
    assert times(path) == [sample.at for sample in samples]


def test_beyond_its_age_the_oldest_moments_are_deleted(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MOST_MOMENTS", 4)
    write(path, life(*["irq"] * 50), age=20)
    kept = times(path)
    assert kept[-1] == BEGIN + 50
    assert 20 <= kept[-1] - kept[0] <= 30


def test_beyond_its_size_the_oldest_moments_are_deleted_and_the_file_stays_small(
    path: str,
) -> None:
    samples = life(*["plug", "irq", "unplug", "irq"] * 100)
    write(path, samples, size=100_000)
    kept = times(path)
    assert kept[-1] == samples[-1].at
    assert len(kept) < len(samples)
    assert os.stat(path).st_size < 200_000


def test_the_events_of_deleted_moments_are_deleted_too(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "MOST_MOMENTS", 4)
    write(path, life("plug", *["irq"] * 50), age=20)
    assert Recording(path).sample(Recording(path).last).happenings == ()


def test_where_nothing_changed_the_recording_says_until_when(path: str) -> None:
    samples = life("irq")
    with Recorder(path, most_bytes=1 << 30, most_seconds=FOREVER) as recorder:
        recorder.add(samples[0])
        recorder.nothing_new(BEGIN + 60)
    recording = Recording(path)
    assert recording.end == BEGIN + 60
    assert recording.number("-0") == 0


def test_what_is_being_recorded_can_be_read(path: str) -> None:
    samples = life("irq", "irq")
    with Recorder(path, most_bytes=1 << 30, most_seconds=FOREVER) as recorder:
        recorder.add(samples[0])
        recording = Recording(path)
        assert recording.last == 0
        recorder.add(samples[1])
        assert recording.last == 1
        assert recording.sample(1).snapshot == samples[1].snapshot


@pytest.mark.parametrize("name", [b"n\xff.rec", b"n%41?#.rec", b":memory:"])
def test_a_file_may_have_any_name(
    name: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = os.fsdecode(name)
    assert run(["record", "--host", "sim:", "--for", "1", path]) == 0
    told = printable(fact(name))
    assert capfd.readouterr().out.endswith(f" moments recorded in {told}\n")
    assert os.listdir(os.fsencode(tmp_path)) == [name]
    assert run(["snapshot", "--host", f"replay:{path}"]) == 0
    capfd.readouterr()
    assert run(["diff", "--format", "json", path, f"/{tmp_path}/{path}?at=+0"]) in (0, 4)
    found = msgspec.json.decode(capfd.readouterr().out)
    assert found["from"]["name"] == fact(name)
    assert run(["diff", path, f"/{tmp_path}/{path}?at=+0"]) in (0, 4)
    assert capfd.readouterr().out.startswith(f"--- {told}: ")


@contextmanager
def nothing_written_into(directory: str) -> Iterator[None]:
    """Have a directory be as on a read-only medium, also for root."""
    was_root = os.geteuid() == 0
    for name in os.listdir(directory):
        os.chmod(f"{directory}/{name}", 0o444)
    os.chmod(directory, 0o555)
    if was_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if was_root:
            os.seteuid(0)
        os.chmod(directory, 0o700)


@pytest.fixture
def medium() -> Iterator[str]:
    """A directory that others can reach, too."""
    with tempfile.TemporaryDirectory() as directory:
        yield directory


@pytest.mark.parametrize("readers", [0, 1])
def test_a_recording_that_was_closed_is_read_where_nothing_can_be_written(
    medium: str, readers: int
) -> None:
    """Also one that somebody was reading when it was closed."""
    path, samples = f"{medium}/rec", life("irq", "irq")
    with Recorder(path, most_bytes=1 << 30, most_seconds=FOREVER) as recorder:
        deque(map(recorder.add, samples), maxlen=0)
        opened = [Recording(path) for _ in range(readers)]
    if readers:
        assert os.stat(f"{path}-wal").st_size == 0
        os.unlink(f"{path}-shm")
    with nothing_written_into(medium):
        assert times(path) == [sample.at for sample in samples]
    for recording in opened:
        assert recording.last == 2
        recording.close()


def test_reading_what_was_closed_leaves_nothing_beside_it(path: str) -> None:
    write(path, life("irq"))
    recording = Recording(path)
    assert recording.last == 1
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
    # Who reads it sees what is added by the next recorder.
    write(path, life("irq"))
    assert recording.last == 3


def test_what_a_recorder_had_begun_that_was_killed_while_it_closed_is_taken_back(
    path: str, medium: str
) -> None:
    samples = life("irq", "plug")
    write(path, samples)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN")
        database.execute("UPDATE moments SET body = zeroblob(100000)")
        for end in ("", "-journal"):
            Path(f"{medium}/rec{end}").write_bytes(Path(f"{path}{end}").read_bytes())
    assert os.stat(f"{medium}/rec-journal").st_size > 4096
    assert times(f"{medium}/rec") == [sample.at for sample in samples]


def test_a_recording_that_was_not_closed_says_why_it_is_not_read_where_nothing_can_be_written(
    path: str, medium: str
) -> None:
    with Recorder(path, most_bytes=1 << 30, most_seconds=FOREVER) as recorder:
        deque(map(recorder.add, life("irq")), maxlen=0)
        for end in ("", "-wal"):
            Path(f"{medium}/rec{end}").write_bytes(Path(f"{path}{end}").read_bytes())
    with (
        nothing_written_into(medium),
        pytest.raises(ValueError, match=r"not closed .* -wal .* copy both to one that can"),
    ):
        Recording(f"{medium}/rec")


def test_two_recorders_do_not_write_one_file(path: str) -> None:
    with (
        Recorder(path, most_bytes=1 << 30, most_seconds=FOREVER),
        pytest.raises(ValueError, match="another recorder"),
    ):
        Recorder(path, most_bytes=1 << 30, most_seconds=FOREVER)


@pytest.mark.parametrize("readers", [0, 1])
def test_a_recording_that_is_moved_keeps_what_was_written_and_the_recorder_says_so(
    path: str, readers: int
) -> None:
    samples = life("irq", "irq")
    recorder = Recorder(path, most_bytes=1 << 30, most_seconds=FOREVER)
    recorder.add(samples[0])
    recorder.add(samples[1])
    opened = [Recording(path) for _ in range(readers)]
    os.rename(path, f"{path}.1")
    # It would share the log of the first.
    with pytest.raises(ValueError, match="another recorder"):
        Recorder(path, most_bytes=1 << 30, most_seconds=FOREVER)
    assert not os.path.exists(path)
    with pytest.raises(FileNotFoundError, match="moved or deleted"):
        recorder.add(samples[2])
    with pytest.raises(FileNotFoundError, match="moved or deleted"):
        recorder.nothing_new(samples[1].at + 1)
    with pytest.raises(FileNotFoundError, match="moved or deleted"):
        recorder.__exit__(None, None, None)
    for recording in opened:
        recording.close()
    write(path, samples[2:])
    assert times(f"{path}.1") == [samples[0].at, samples[1].at]
    assert times(path) == [samples[2].at]


def test_a_recording_that_is_deleted_is_no_success(
    path: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(_host: Host, recorder: Recorder, **_: object) -> None:
        recorder.add(life()[0])
        os.unlink(path)

    monkeypatch.setattr(recorder_module, "record", record)
    assert run(["record", "--host", "sim:", path]) == 1
    told = capfd.readouterr()
    assert told.out == ""
    assert "it was moved or deleted while it was recorded (ENOENT)" in told.err


def test_a_moment_that_stands_by_itself_is_in_the_file_at_once(path: str, tmp_path: Path) -> None:
    samples = life("irq")
    with Recorder(path, most_bytes=1 << 30, most_seconds=FOREVER) as recorder:
        deque(map(recorder.add, samples), maxlen=0)
        alone = tmp_path / "without-its-log"
        alone.write_bytes(Path(path).read_bytes())
        assert times(str(alone)) == [samples[0].at]


@pytest.mark.parametrize("content", [b"precious", b"SQLite format 3\0but no more"])
def test_a_file_that_is_something_else_is_refused_and_left_alone(path: str, content: bytes) -> None:
    Path(path).write_bytes(content)
    with pytest.raises(ValueError, match="recording"):
        Recorder(path, most_bytes=1 << 30, most_seconds=FOREVER)
    assert Path(path).read_bytes() == content


@pytest.fixture(params=["FIFO", "directory", "device"])
def irregular(request: pytest.FixtureRequest, path: str) -> Iterator[str]:
    """A name that leads to what is no regular file; the device is a terminal of our own."""
    held: tuple[int, ...] = ()
    if request.param == "FIFO":
        os.mkfifo(path)
    elif request.param == "directory":
        os.mkdir(path)
    else:
        held = os.openpty()
        os.symlink(os.ttyname(held[1]), path)
    yield path
    for fd in held:
        os.close(fd)


def test_what_is_no_regular_file_is_not_recorded_into(
    irregular: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["record", "--host", "sim:", "--for", "0", irregular]) == 1
    assert re.search("no regular file|Is a directory", capfd.readouterr().err)
    assert os.listdir(os.path.dirname(irregular)) == [os.path.basename(irregular)]


@pytest.mark.parametrize("line", [["snapshot", "--host"], ["diff", "sim:"]])
def test_what_is_no_regular_file_is_not_played_nor_waited_for(
    line: list[str], irregular: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([*line, f"replay:{irregular}"]) == 1
    assert "no recording: it is no regular file" in capfd.readouterr().err


def test_the_database_of_another_program_is_refused(path: str) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE bookmarks (url TEXT)")
    for opened in (Recording, lambda path: Recorder(path, most_bytes=1, most_seconds=1)):
        with pytest.raises(ValueError, match="the database of another program"):
            opened(path)


@pytest.mark.parametrize(("version", "age"), [(99, "a newer"), (0, "an older")])
def test_a_recording_of_another_version_is_refused(path: str, version: int, age: str) -> None:
    write(path, life())
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {version}")
    for opened in (Recording, lambda path: Recorder(path, most_bytes=1, most_seconds=1)):
        with pytest.raises(ValueError, match=f"a recording of {age} version of sdmtop"):
            opened(path)


def test_a_recording_that_ended_before_its_first_moment_is_refused(path: str) -> None:
    write(path, [])
    with pytest.raises(ValueError, match="an empty recording"):
        Recording(path)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM moments WHERE number = 0",
        "DELETE FROM moments WHERE number = 2",
        "UPDATE moments SET body = x'00'",
        "UPDATE moments SET body = 7",
        "UPDATE moments SET at = 'noon'",
        "UPDATE moments SET at = 1e300",
        "UPDATE happenings SET kind = 'rumour'",
        "UPDATE happenings SET at = -1",
        "UPDATE happenings SET text = x'ff'",
        "DROP TABLE happenings",
    ],
)
def test_a_damaged_recording_is_refused_with_a_sentence(path: str, damage: str) -> None:
    write(path, life("irq", "plug", "irq"))
    with sqlite3.connect(path) as database:
        database.execute(damage)
    with pytest.raises(ValueError, match=r"^a damaged recording: "):
        Recording(path).sample(3)


def test_of_a_file_that_was_cut_off_no_moment_is_made_up(path: str) -> None:
    samples = life("irq", "plug", "irq")
    write(path, samples)
    content = Path(path).read_bytes()
    refused = 0
    for length in range(16, len(content), 1000):
        Path(path).write_bytes(content[:length])
        try:
            found = Recording(path).sample(3)
        except ValueError:
            refused += 1
            continue
        assert found.snapshot == samples[3].snapshot
    assert refused > 10


def test_a_full_disk_is_an_error_of_the_system(path: str) -> None:
    with Recorder(path, most_bytes=1 << 30, most_seconds=FOREVER) as recorder:
        recorder._database.execute("PRAGMA max_page_count = 8")
        samples = life(*["plug", "unplug"] * 50)
        with pytest.raises(OSError, match="No space left on device"):
            deque(map(recorder.add, samples), maxlen=0)


@pytest.mark.parametrize("moments", [3, 8])
def test_a_recorder_that_is_killed_loses_no_more_than_the_last_interval(
    path: str, moments: int
) -> None:
    """Killed while it reads a real host; what it had said to have written is there."""
    recorder = subprocess.Popen(
        [sys.executable, "-m", "sdmtop", "record", path, "--interval", "0.1"],
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        seen = 0
        while seen < moments and time.monotonic() < deadline:
            time.sleep(0.05)
            if os.path.exists(path) and os.stat(path).st_size:
                seen = _moments_of(path)
        recorder.send_signal(signal.SIGKILL)
    finally:
        recorder.kill()
        recorder.wait()
    killed = time.time()
    assert seen >= moments
    assert len(times(path)) >= seen
    assert killed - Recording(path).end < 1.0
    write(path, life("irq"))
    assert len(times(path)) >= seen + 2


def _moments_of(path: str) -> int:
    try:
        return Recording(path).last + 1
    except ValueError:
        return 0  # It has only just begun.
