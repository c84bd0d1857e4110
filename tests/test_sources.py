import errno
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sdmtop.backends.base import open_host
from sdmtop.backends.tree import TreeHost
from sdmtop.cli import run
from sdmtop.errors import UsageError
from sdmtop.recorder import Recorder
from sdmtop.sources import snapshot_in, snapshot_of
from tests.records import device, snapshot
from tests.samples import CARD, life

TREES = Path(__file__).parent / "trees"


@pytest.fixture
def recording(tmp_path: Path) -> str:
    name = str(tmp_path / "box.recording")
    with Recorder(name, most_bytes=1 << 30, most_seconds=1e9) as recorder:
        for sample in life("irq", "plug", "irq"):
            recorder.add(sample)
    return name


def test_a_moment_of_a_recording_is_a_snapshot_taken_at_that_time(recording: str) -> None:
    before, after = snapshot_of(f"replay:{recording}?at=+1"), snapshot_of(f"replay:{recording}")
    assert CARD not in [one.address for one in before.devices]
    assert CARD in [one.address for one in after.devices]
    assert before.host.read_only
    assert before.taken_at == "2027-01-15T08:00:01.000Z"


@pytest.mark.parametrize("line", [["snapshot", "--format", "tree", "--host"], ["replay"]])
def test_the_heading_of_a_recording_says_that_it_is_one(
    line: list[str], recording: str, capfd: pytest.CaptureFixture[str]
) -> None:
    name = recording if line == ["replay"] else f"replay:{recording}"
    assert run([*line, name]) == 0
    assert capfd.readouterr().out.startswith(" sdmtop  [REPLAY] [READ-ONLY]  box  ")


def test_the_json_of_a_recording_says_what_was_recorded(
    recording: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["snapshot", "--format", "json", "--host", f"replay:{recording}"]) == 0
    assert msgspec.json.decode(capfd.readouterr().out)["host"]["backend"] == "capture"


def test_a_file_is_known_by_what_is_in_it(recording: str, tmp_path: Path) -> None:
    json = tmp_path / "snapshot"
    json.write_bytes(msgspec.json.encode(snapshot(devices=[device("0000:00:09.0")])))
    assert [one.address for one in snapshot_in(str(json)).devices] == ["0000:00:09.0"]
    assert snapshot_in(recording).host.name == "box"
    assert CARD not in [one.address for one in snapshot_in(f"{recording}?at=+0").devices]
    capture = str(TREES / "no-iommu.tar.xz")
    assert snapshot_in(capture).devices == snapshot_in(f"capture:{capture}").devices


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A file that is not read before the end of the test, on the host that every URL names."""
    released = threading.Event()

    def read() -> bytes:
        released.wait(30)
        return b""

    host = TreeHost({"/proc/interrupts": read})
    monkeypatch.setattr("sdmtop.patience.DEADLINE", 0.05)
    for place in (open_host.__module__, "sdmtop.sources"):
        monkeypatch.setattr(f"{place}.open_host", lambda _: host)
    yield "/proc/interrupts"
    assert not released.is_set()
    released.set()


def test_what_hangs_is_unknown_in_one_reading(hung: str) -> None:
    unknown = {one.path: one.errno for one in snapshot_of("linux:").unknown}
    assert unknown[hung] == errno.errorcode[errno.ETIMEDOUT]


@pytest.mark.usefixtures("hung")
@pytest.mark.parametrize("command", ["snapshot", "doctor", "selftest"])
def test_what_hangs_keeps_no_command_waiting(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([command]) in (0, 1, 4)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"schema": "other/1"}', b"\0" * 99])
def test_a_file_that_is_no_snapshot_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=r"no (snapshot|capture)"):
        snapshot_in(str(tmp_path / "x"))


def test_a_name_that_is_neither_file_nor_host_is_an_error_of_usage() -> None:
    with pytest.raises(UsageError, match="no such kind of host"):
        snapshot_in("no-such-file")
