import errno
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdmtop import bundle
from sdmtop.backends.tree import Link

ODD = os.fsdecode(b"sys/caf\xe9")
ENTRIES: list[tuple[str, bundle.Leaf]] = [
    ("CAPTURE.json", b"{}"),
    ("sys", None),
    ("sys/a", b"text\n"),
    ("sys/empty", None),
    ("sys/link", Link("../../etc/passwd")),
    (ODD, b"odd"),
]
NAMES = ["x.tar.xz", "x.txz", "x.tar", "x", "host.example.net"]


def names(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


@pytest.mark.parametrize("name", ["x.tar.xz", "x.txz", "x.tar"])
def test_an_archive_holds_what_it_was_given_in_that_order(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    size = bundle.write(str(file), ENTRIES, 1_700_000_000, replace=False)
    assert size == file.stat().st_size
    with tarfile.open(file, encoding="utf-8", errors="surrogateescape") as made:
        members = made.getmembers()
        assert [member.name for member in members] == [name for name, _ in ENTRIES]
        assert {member.mtime for member in members} == {1_700_000_000}
        assert {member.mode for member in members} == {0o600, 0o700}
        content = made.extractfile("sys/a")
        assert content is not None
        assert content.read() == b"text\n"
        assert made.getmember("sys/link").linkname == "../../etc/passwd"


def test_the_same_entries_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("1.tar.xz", "2.tar.xz"):
        bundle.write(str(tmp_path / name), ENTRIES, 7, replace=False)
    assert (tmp_path / "1.tar.xz").read_bytes() == (tmp_path / "2.tar.xz").read_bytes()


def test_any_other_name_is_a_directory(tmp_path: Path) -> None:
    bundle.write(str(tmp_path / "host.example"), ENTRIES, 7, replace=False)
    made = tmp_path / "host.example"
    assert (made / "sys" / "a").read_bytes() == b"text\n"
    assert (made / "sys" / "empty").is_dir()
    assert os.readlink(made / "sys" / "link") == "../../etc/passwd"
    assert Path(made, ODD).read_bytes() == b"odd"


@pytest.mark.parametrize("name", NAMES)
def test_nobody_else_can_read_it(tmp_path: Path, name: str) -> None:
    old = os.umask(0)
    try:
        bundle.write(str(tmp_path / name), ENTRIES, 7, replace=False)
    finally:
        os.umask(old)
    mode = (tmp_path / name).stat().st_mode & 0o777
    assert mode == (0o700 if (tmp_path / name).is_dir() else 0o600)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("replace", [False, True])
def test_what_is_there_already_is_not_overwritten_unless_it_is_asked_for(
    tmp_path: Path, name: str, replace: bool
) -> None:
    file = tmp_path / name
    file.write_bytes(b"precious")
    if replace and name.endswith(("xz", "tar")):
        bundle.write(str(file), ENTRIES, 7, replace=True)
        assert file.read_bytes() != b"precious"
    else:
        with pytest.raises(FileExistsError) as caught:
            bundle.write(str(file), ENTRIES, 7, replace=replace)
        assert caught.value.errno == errno.EEXIST
        assert file.read_bytes() == b"precious"
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_directory_is_never_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "precious").touch()
    with pytest.raises(FileExistsError):
        bundle.write(str(tmp_path / name), ENTRIES, 7, replace=True)
    assert names(tmp_path / name) == ["precious"]


def test_a_dangling_link_counts_as_there(tmp_path: Path) -> None:
    (tmp_path / "x.tar").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        bundle.write(str(tmp_path / "x.tar"), ENTRIES, 7, replace=False)
    assert names(tmp_path) == ["x.tar"]


def test_a_name_that_is_taken_meanwhile_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "x.tar"

    def racing() -> Iterator[tuple[str, bundle.Leaf]]:
        yield from ENTRIES
        file.write_bytes(b"precious")

    with pytest.raises(FileExistsError):
        bundle.write(str(file), racing(), 7, replace=False)
    assert file.read_bytes() == b"precious"
    assert names(tmp_path) == ["x.tar"]


def failing() -> Iterator[tuple[str, bundle.Leaf]]:
    yield from ENTRIES
    raise OSError(errno.ENOSPC, "full")


@pytest.mark.parametrize("name", NAMES)
def test_a_failure_half_way_leaves_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match="full"):
        bundle.write(str(tmp_path / name), failing(), 7, replace=False)
    assert names(tmp_path) == []


KILLED = """
import os, signal, sys
from sdmtop import bundle

def entries():
    yield "sys", None
    yield "sys/a", bytes(100_000)
    os.kill(os.getpid(), signal.SIGKILL)

bundle.write(sys.argv[1], entries(), 7, replace=False)
"""


@pytest.mark.parametrize("name", ["x.tar.xz", "x"])
def test_killed_half_way_there_is_nothing_under_the_final_name(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / name)],
        check=False,
        cwd=Path(bundle.__file__).parent.parent,
    )
    assert done.returncode == -9
    assert name not in names(tmp_path)


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tgz", "x.xz", "x.tar.zst"])
def test_an_ending_that_promises_another_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"^a capture is a \.tar\.xz"):
        bundle.check(str(tmp_path / name), replace=False)


def test_a_directory_that_is_not_there_is_told_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        bundle.check(str(tmp_path / "none" / "x.tar"), replace=False)


def test_a_file_system_without_hard_links_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    bundle.write(str(tmp_path / "x.tar"), ENTRIES, 7, replace=False)
    assert names(tmp_path) == ["x.tar"]
    with pytest.raises(FileExistsError):
        bundle.write(str(tmp_path / "x.tar"), ENTRIES, 7, replace=False)
