"""A simulated host on disk: other programs, and our own readers, see the same host there."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from sdmtop.backends.base import open_host
from sdmtop.backends.simulator.host import scenario_names
from sdmtop.exporting import export
from sdmtop.model import Snapshot
from sdmtop.readers.snapshot import read_snapshot

SMALL = [name for name in scenario_names() if name != "large"]


def as_read_there(snapshot: Snapshot) -> bytes:
    """All but what kind of host it was read from, and when."""
    info = replace(snapshot.host, backend="simulator", read_only=True)
    return msgspec.json.format(
        msgspec.json.encode(replace(snapshot, taken_at="", host=info)), indent=1
    )


@pytest.fixture(params=SMALL)
def moment(request: pytest.FixtureRequest) -> str:
    return f"sim:{request.param}?seed=3&at=25"


def test_the_tree_on_disk_reads_as_the_host_itself(moment: str, tmp_path: Path) -> None:
    host = open_host(moment)
    export(host, str(tmp_path / "tree"))
    there = read_snapshot(open_host(f"linux:{tmp_path / 'tree'}"))
    assert as_read_there(there) == as_read_there(read_snapshot(host))


def test_so_it_does_as_a_capture(moment: str, tmp_path: Path) -> None:
    host = open_host(moment)
    export(host, str(tmp_path / "tree"))
    there = open_host(f"capture:{tmp_path / 'tree'}")
    assert as_read_there(read_snapshot(there)) == as_read_there(read_snapshot(host))
    assert there.kernel_log() == host.kernel_log()


def test_other_programs_find_their_way_in_it(tmp_path: Path) -> None:
    export(open_host("sim:edu?at=1"), str(tmp_path / "tree"))
    sys = tmp_path / "tree/sys"
    device = sys / "kernel/iommu_groups/2/devices/0000:01:00.0"
    assert device.resolve() == sys / "devices/pci0000:00/0000:00:01.0/0000:01:00.0"
    assert (device / "driver").resolve() == sys / "bus/pci/drivers/sdmdev_edu"
    assert (device / "vendor").read_text() == "0x1234\n"


def test_it_says_what_it_has_written(tmp_path: Path) -> None:
    report = export(open_host("sim:edu?at=1"), str(tmp_path / "tree"))
    found = [*(tmp_path / "tree").rglob("*")]
    links = [path for path in found if path.is_symlink()]
    files = [path for path in found if path.is_file() and not path.is_symlink()]
    # CAPTURE.json is besides.
    assert (report.links, report.files) == (len(links), len(files) - 1)
    assert report.sentence().startswith(f"{tmp_path}/tree: {report.files:,} files and")


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        export(open_host("sim:edu"), str(tmp_path))
