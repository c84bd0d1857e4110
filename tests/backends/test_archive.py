import gzip
import io
import lzma
import os
import tarfile
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sdmtop.backends import archive
from sdmtop.backends.archive import members
from sdmtop.backends.tree import Directory, Entry, Link

LONG = "/".join(["a-directory-with-a-long-name"] * 12)
ONE_LINE = r"^no capture: [^\n]+$"


def member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def tar(*found: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(
        fileobj=stream, mode="w", format=form, encoding="utf-8", errors="surrogateescape"
    ) as made:
        for info, data in found:
            made.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def read(data: bytes) -> list[tuple[str, Entry]]:
    fd = os.memfd_create("archive")
    try:
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        return list(members(fd))
    finally:
        os.close(fd)


SMALL = tar(
    member("sys/", type=tarfile.DIRTYPE),
    member("./sys/a", b"text\n"),
    member("sys/b", type=tarfile.SYMTYPE, linkname="../../etc/passwd"),
    member("sys/c", type=tarfile.LNKTYPE, linkname="sys/a"),
)
FOUND = [
    ("sys", Directory()),
    ("sys/a", b"text\n"),
    ("sys/b", Link("../../etc/passwd")),
    ("sys/c", b"text\n"),
]


@pytest.mark.parametrize("pack", [bytes, lzma.compress, gzip.compress])
def test_members_are_read_plain_or_compressed(pack: Callable[[bytes], bytes]) -> None:
    assert read(pack(SMALL)) == FOUND


def test_two_xz_streams_in_a_row_are_one_archive() -> None:
    assert read(lzma.compress(SMALL[:700]) + b"\0" * 8 + lzma.compress(SMALL[700:])) == FOUND


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read_in_every_format(form: int) -> None:
    data = tar(
        member(f"{LONG[:200]}/f", b"1"),
        member("next", b"2"),
        form=form,
    )
    assert read(data) == [(f"{LONG[:200]}/f", b"1"), ("next", b"2")]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_that_are_very_long_or_not_utf_8_survive(form: int) -> None:
    odd = "sys/\udcff\udc80é"
    data = tar(
        member(LONG, b"1"), member(odd, type=tarfile.SYMTYPE, linkname=LONG + odd), form=form
    )
    assert read(data) == [(LONG, b"1"), (odd, Link(LONG + odd))]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (member("/etc/passwd", b"x"), "/etc/passwd leads out of it"),
        (member("sys/../../etc/passwd", b"x"), "leads out of it"),
        (member("..", type=tarfile.DIRTYPE), "leads out of it"),
        (member("sys/h", type=tarfile.LNKTYPE, linkname="sys/none"), "hard link to what is not"),
        (member("sys/h", type=tarfile.LNKTYPE, linkname="../etc/passwd"), "leads out of it"),
        (member("dev/mem", type=tarfile.CHRTYPE), "neither file, link nor directory"),
        (member("dev/sda", type=tarfile.BLKTYPE), "neither file, link nor directory"),
        (member("sys/pipe", type=tarfile.FIFOTYPE), "neither file, link nor directory"),
        (member("sys/s", type=tarfile.GNUTYPE_SPARSE), "neither file, link nor directory"),
        (member("a\x1b]0;\nb", type=tarfile.FIFOTYPE), r"a\\x1b\]0;\\x0ab is neither"),
    ],
)
def test_what_does_not_belong_in_a_capture_is_refused(
    bad: tuple[tarfile.TarInfo, bytes], why: str
) -> None:
    with pytest.raises(ValueError, match=ONE_LINE) as caught:
        read(tar(member("sys/a", b"x"), bad))
    assert caught.match(why)


def test_a_name_that_is_too_long_is_not_called_a_file() -> None:
    with pytest.raises(ValueError, match="a name in it has more than 16 KiB"):
        read(tar(member(f"sys/{'a' * 17_000}", b"x")))


@pytest.mark.parametrize("length", [1, 511, 512, 1023, 1500, 2048])
def test_an_archive_that_is_cut_short_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=ONE_LINE):
        read(SMALL[:length])


@pytest.mark.parametrize("lost", [1, 8, 30])
@pytest.mark.parametrize("pack", [lzma.compress, gzip.compress])
def test_a_compressed_archive_that_is_cut_short_is_refused(
    pack: Callable[[bytes], bytes], lost: int
) -> None:
    with pytest.raises(ValueError, match="cut short"):
        read(pack(SMALL)[:-lost])


GARBAGE = [b"", b"hello", bytes(range(256)) * 16, b"PK\x03\x04" + b"x" * 600,
           b"\xfd7zXZ\0" + b"x" * 100, b"\x1f\x8b" + b"x" * 100]  # fmt: skip


@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=ONE_LINE):
        read(data)


def test_damage_after_the_last_member_is_found() -> None:
    data = bytearray(lzma.compress(SMALL + os.urandom(1 << 20)))
    data[-(1 << 19)] ^= 0xFF
    with pytest.raises(ValueError, match="damaged"):
        read(bytes(data))


def bomb(blocks: Iterable[bytes]) -> bytes:
    packer = lzma.LZMACompressor(preset=0)
    return b"".join([*map(packer.compress, blocks), packer.flush()])


def test_a_decompression_bomb_is_stopped_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 8 << 20)
    began = time.process_time()
    for head in (b"", tar(member("sys/a", b"x"))[:1024]):
        with pytest.raises(ValueError, match="holds more than 8 MiB"):
            read(bomb([head, *[bytes(1 << 20)] * 64]))
    assert time.process_time() - began < 5


def test_a_length_that_is_only_claimed_is_refused_before_it_is_read() -> None:
    for kind in (tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE):
        info = tarfile.TarInfo("sys/a")
        info.type, info.size = kind, 1 << 40
        for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            with pytest.raises(ValueError, match=ONE_LINE):
                read(info.tobuf(form))


def test_a_dictionary_of_gigabytes_is_not_allocated() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 20}]
    data = bytearray(lzma.compress(SMALL, filters=filters, check=lzma.CHECK_NONE))
    # The block header: size, flags, filter id, properties length, dictionary size, padding, CRC.
    assert data[14:16] == b"\x21\x01"
    data[16] = 40  # 4 GiB
    data[20:24] = zlib.crc32(data[12:20]).to_bytes(4, "little")
    with pytest.raises(ValueError, match=r"[Mm]emory"):
        read(bytes(data))


@settings(max_examples=200)
@given(st.binary(max_size=2000))
@example(b"\xfd7zXZ\0")
def test_any_bytes_are_refused_with_one_sentence_or_read(data: bytes) -> None:
    try:
        assert isinstance(read(data), list)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017


@settings(max_examples=200)
@given(
    st.integers(0, len(SMALL) - 1),
    st.binary(min_size=1, max_size=40),
    st.booleans(),
)
def test_a_damaged_header_is_refused_with_one_sentence_or_read(
    at: int, patch: bytes, mended: bool
) -> None:
    data = bytearray(SMALL)
    data[at : at + len(patch)] = patch
    if mended:  # A stranger can make a checksum that fits.
        start = at // 512 * 512
        data[start + 148 : start + 156] = b" " * 8
        total = sum(data[start : start + 512])
        data[start + 148 : start + 156] = b"%06o\0 " % total
    try:
        assert isinstance(read(bytes(data)), list)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_pax_records_without_end_cost_no_time() -> None:
    record = b"6 a=b\n"
    body = record * 2700
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(body)
    header = info.tobuf(tarfile.USTAR_FORMAT) + body.ljust(-(-len(body) // 512) * 512, b"\0")
    began = time.process_time()
    assert read(header * 200 + SMALL) == FOUND
    assert time.process_time() - began < 5


def test_the_captured_hosts_are_read_as_tarfile_reads_them() -> None:
    for path in sorted((Path(__file__).parent.parent / "trees").glob("*.tar.xz")):
        with tarfile.open(path) as theirs:
            expected = [
                (
                    info.name,
                    Directory() if info.isdir()
                    else Link(info.linkname) if info.issym()
                    else theirs.extractfile(info).read(),  # type: ignore[union-attr]
                )
                for info in theirs
            ]  # fmt: skip
        assert read(path.read_bytes()) == expected
