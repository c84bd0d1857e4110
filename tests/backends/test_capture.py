import errno
import io
import json
import os
import socket
import stat
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdmtop.backends import capture
from sdmtop.backends.base import open_host
from sdmtop.backends.capture import NOTES, CaptureHost

TREES = Path(__file__).parent.parent / "trees"
SDMDEV = TREES / "debian-6.12-intel-sdmdev.tar.xz"
ONE_LINE = r"^no capture: [^\n]+$"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "captured"
    (made / "sys").mkdir(parents=True)
    (made / "sys" / "a").write_bytes(b"a\n")
    return made


def note(root: Path, **notes: Any) -> CaptureHost:
    """The host of a directory whose CAPTURE.json says this of the files of /sys."""
    found = {f"/sys/{name}": why for name, why in notes.items()}
    (root / NOTES).write_text(json.dumps({"notes": found}))
    return CaptureHost(str(root))


def errno_of(host: CaptureHost, path: str) -> int | None:
    with pytest.raises(OSError, match=r".") as caught:
        host.read(path)
    return caught.value.errno


@pytest.mark.parametrize(
    ("why", "expected"),
    [
        ("write-only", errno.EACCES),
        ("read errno 5", errno.EIO),
        ("read errno 22", errno.EINVAL),
        ("read errno 2", errno.ENOENT),
        ("read timed out", errno.ETIMEDOUT),
        ("skipped", errno.ENODATA),
        ("a reason of a later version", errno.ENODATA),
        ("absent", errno.ENOENT),
    ],
)
def test_what_could_not_be_read_fails_as_it_did(root: Path, why: str, expected: int) -> None:
    host = note(root, gone=why)
    assert errno_of(host, "/sys/gone") == expected
    assert ("gone" in host.list("/sys")) == (why != "absent")


def test_a_file_that_can_only_be_written_says_so_in_its_mode(root: Path) -> None:
    host = note(root, bind="write-only")
    assert stat.S_IMODE(host.mode("/sys/bind")) == 0o200


def test_a_directory_that_was_not_entered_is_there_and_unknown(root: Path) -> None:
    (root / "sys" / "debug").mkdir()
    host = note(root, debug="read errno 1", hugepages="directory not entered")
    assert sorted(host.list("/sys")) == ["a", "debug", "hugepages"]
    with pytest.raises(PermissionError):
        host.list("/sys/hugepages")
    assert errno_of(host, "/sys/hugepages/free") == errno.EACCES
    with pytest.raises(PermissionError) as caught:
        host.list("/sys/debug")
    assert caught.value.errno == errno.EPERM


def test_a_note_outweighs_a_file_of_the_same_name(root: Path) -> None:
    assert errno_of(note(root, a="read errno 5"), "/sys/a") == errno.EIO


def test_paths_in_notes_are_in_the_escaped_form_of_facts(root: Path) -> None:
    (root / NOTES).write_text(json.dumps({"notes": {"/sys/\\xff\\x5cx": "skipped"}}))
    host = CaptureHost(str(root))
    assert errno_of(host, "/sys/\udcff\\x") == errno.ENODATA


def test_the_kernel_is_told_by_the_notes_where_no_file_does(root: Path) -> None:
    (root / NOTES).write_text(json.dumps({"kernel": "6.12.95-lab", "notes": {}}))
    host = CaptureHost(str(root))
    assert host.kernel == "6.12.95-lab"
    assert host.read("/proc/sys/kernel/osrelease") == b"6.12.95-lab\n"
    (root / "proc").mkdir()
    (root / "proc" / "version").write_text("Linux version 6.1\n")
    assert errno_of(CaptureHost(str(root)), "/proc/sys/kernel/osrelease") == errno.ENOENT


def test_the_number_of_a_descriptor_is_kept_in_the_notes(root: Path) -> None:
    (root / "proc" / "7" / "fd").mkdir(parents=True)
    (root / "proc" / "7" / "fd" / "3").symlink_to("/dev/vfio/8")
    (root / NOTES).write_text(json.dumps({"numbers": {"/proc/7/fd/3": 128000}}))
    host = CaptureHost(str(root))
    assert host.device_number("/proc/7/fd/3") == 128000
    assert host.readlink("/proc/7/fd/3") == "/dev/vfio/8"


def test_a_capture_without_notes_is_a_capture(root: Path) -> None:
    host = CaptureHost(str(root))
    assert host.read("/sys/a") == b"a\n"
    assert (host.backend, host.kernel, host.url) == ("capture", None, f"capture:{root}")
    assert "CAPTURE.json" not in host.list("/")


BROKEN = [
    "",
    "{",
    "[]",
    "null",
    "\xff",
    '{"notes": []}',
    '{"notes": {"/sys/a": 1}}',
    '{"notes": {"/sys/a": "read errno"}}' * 2,
    '{"notes": {"/sys/a": "read errno x"}}',
    '{"notes": {"/sys/a": "read errno 0"}}',
    '{"notes": {"/sys/a": "read errno 99999999999"}}',
    '{"notes": {"sys/a": "skipped"}}',
    '{"notes": {"": "skipped"}}',
    '{"notes": {"/../etc": "skipped"}}',
    '{"notes": {"/sys/a/../../b": "skipped"}}',
    '{"notes": {"/sys/a/b": "skipped"}}',
    '{"notes": {"/sys/\\\\xzz": "skipped"}}',
    '{"numbers": {"/sys/a": 1}}',
    '{"numbers": {"/sys/none": 1}}',
    '{"numbers": {"/sys/a": "x"}}',
    "[" * 100_000,
    '{"x":' * 100_000,
]


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_broken_notes_are_refused(root: Path, text: str) -> None:
    (root / NOTES).write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        CaptureHost(str(root))


def test_links_are_taken_as_they_are_and_lead_nowhere_outside(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (root / "sys" / "up").symlink_to("../../secret")
    (root / "sys" / "root").symlink_to(tmp_path)
    (root / "sys" / "self").symlink_to("self")
    (root / "sys" / "back").symlink_to(".")
    host = CaptureHost(str(root))
    assert host.readlink("/sys/up") == "../../secret"
    assert errno_of(host, "/sys/up") == errno.ENOENT
    assert errno_of(host, "/sys/root/secret") == errno.ENOENT
    assert errno_of(host, "/sys/self") == errno.ELOOP
    assert host.read("/sys/back/back/a") == b"a\n"


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_pipes_and_sockets_in_a_directory_are_refused_and_never_opened(
    root: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "sys" / kind
    if kind == "pipe":
        os.mkfifo(path)
    else:
        monkeypatch.chdir(path.parent)  # The path of a socket is short.
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(kind)
    with pytest.raises(ValueError, match=f"sys/{kind} is neither file, link nor directory"):
        CaptureHost(str(root))


def test_what_is_no_capture_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello\n" * 1000)
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    for name in ("", "text", "empty", "pipe"):
        with pytest.raises(ValueError, match=ONE_LINE):
            CaptureHost(str(tmp_path / name))
    with pytest.raises(ValueError, match="neither a directory nor an archive"):
        CaptureHost("/dev/zero")
    with pytest.raises(FileNotFoundError):
        CaptureHost(str(tmp_path / "none"))


def test_an_archive_whose_member_is_below_a_link_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.tar"
    with tarfile.open(file, "w") as made:
        link = tarfile.TarInfo("sys/out")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        made.addfile(link)
        made.addfile(tarfile.TarInfo("sys/out/planted"), io.BytesIO(b""))
    with pytest.raises(ValueError, match="a directory, and something else too"):
        CaptureHost(str(file))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.tar"]


def test_too_much_in_a_directory_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(4):
        (root / "sys" / str(index)).write_bytes(bytes(1000))
    monkeypatch.setattr(capture, "MOST_BYTES", 3000)
    with pytest.raises(ValueError, match="holds more than"):
        CaptureHost(str(root))
    monkeypatch.setattr(capture, "MOST_IN_A_FILE", 999)
    with pytest.raises(ValueError, match="sys/0 has more than"):
        CaptureHost(str(root))


def test_directories_without_end_are_refused(root: Path) -> None:
    deep = root / "sys" / "/".join("d" * 200)
    deep.mkdir(parents=True)
    with pytest.raises(ValueError, match=r"^no capture: more than 128 directories"):
        CaptureHost(str(root))


def test_an_archive_of_directories_without_end_is_refused_in_the_same_words(root: Path) -> None:
    archive = root / "deep.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("sys/" + "/".join("d" * 130) + "/file"))
    with pytest.raises(ValueError, match=r"^no capture: more than 128 directories"):
        CaptureHost(str(archive))


def test_names_that_are_not_utf_8_survive(root: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    (root / "sys" / name).write_bytes(b"x")
    host = CaptureHost(str(root))
    assert name in host.list("/sys")
    assert host.read(f"/sys/{name}") == b"x"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_we_may_not_read_keeps_its_errno(root: Path) -> None:
    (root / "sys" / "a").chmod(0)
    assert errno_of(CaptureHost(str(root)), "/sys/a") == errno.EACCES


def test_a_captured_host_answers_as_its_notes_say() -> None:
    host = open_host(f"capture:{SDMDEV}")
    assert isinstance(host, CaptureHost)
    assert host.kernel == "6.12.95+deb12-amd64"
    assert host.read("/sys/bus/pci/devices/0000:01:00.0/vendor") == b"0x1234\n"
    config = "/sys/devices/pci0000:00/0000:00:01.0/config"
    assert errno_of(host, config) == errno.ENODATA
    assert errno_of(host, "/sys/bus/pci/drivers/8250_mid/bind") == errno.EACCES
    with pytest.raises(PermissionError):
        host.list("/sys/devices/system/node/node0/hugepages")


def test_a_capture_opens_in_well_under_half_a_second() -> None:
    began = time.process_time()
    CaptureHost(str(SDMDEV))
    assert time.process_time() - began < 0.5


@settings(max_examples=100)
@given(st.binary(max_size=1500))
def test_any_bytes_as_an_archive_are_refused_with_one_line(data: bytes) -> None:
    fd = os.memfd_create("capture")
    try:
        os.write(fd, data)
        with pytest.raises((OSError, ValueError), match=r"^[^\n]+$"):
            CaptureHost(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


@settings(max_examples=150)
@given(st.binary(max_size=300))
def test_any_bytes_as_notes_are_refused_with_one_line_or_read(data: bytes) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        for name, content in ((NOTES, data), ("sys/a", b"a")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    fd = os.memfd_create("capture")
    try:
        os.write(fd, stream.getvalue())
        assert CaptureHost(f"/proc/self/fd/{fd}").list("/sys") == ["a"]
    except ValueError as error:
        assert str(error).startswith("no capture: its CAPTURE.json is broken")  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
    finally:
        os.close(fd)
