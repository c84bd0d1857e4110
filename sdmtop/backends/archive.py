"""Members of a tar archive that a stranger made, as it streams by; nothing is unpacked to disk.

Not `tarfile`: that takes ten times as long over a capture's many small files, and holds whatever
length an archive claims in memory. Formats: ustar, GNU and pax; plain, xz or gzip.
"""

import lzma
import os
import zlib
from collections.abc import Iterator
from typing import NoReturn

from sdmtop.backends.tree import Directory, Entry, Link
from sdmtop.text import fact, printable

MOST_BYTES = 512 * 1024 * 1024
"""Bytes of an archive when it is decompressed, or of all files of a directory together."""

MOST_IN_A_FILE = 16 * 1024 * 1024
"""Bytes of one file: /proc/interrupts of 256 CPUs has 6 million."""

_MOST_IN_A_NAME = 16 * 1024
_PIECE = 256 * 1024
_XZ_MEMORY = 256 * 1024 * 1024
_BLOCK = 512
_END = bytes(_BLOCK)
_FILE, _OLD_FILE, _CONTIGUOUS = b"0", b"\0", b"7"
_HARD_LINK, _SYMLINK, _DIRECTORY = b"1", b"2", b"5"
_LONG_LINK, _LONG_NAME, _PAX, _PAX_GLOBAL = b"K", b"L", b"x", b"g"


def members(fd: int) -> Iterator[tuple[str, Entry]]:
    """Path (relative, without `.` and `..`) and content of each member; hard links as copies.

    Raises `ValueError` (a sentence) for anything but a whole archive of files, directories and
    symbolic links whose names stay in it, and for one that is larger than a host can be.
    """
    stream = _Stream(_decompressed(fd))
    files: dict[str, bytes] = {}
    given: dict[bytes, bytes] = {}
    first = True
    while (block := stream.take(_BLOCK)) != _END:
        if not _is_header(block):
            _refuse("it is no tar archive" if first else "it is damaged")
        first = False
        kind = block[156:157]
        size = _number(given[b"size"]) if b"size" in given else _octal(block[124:136])
        if kind in (_LONG_NAME, _LONG_LINK):
            text = _text(stream, size, _MOST_IN_A_NAME, "a name").partition(b"\0")[0]
            given[b"path" if kind == _LONG_NAME else b"linkpath"] = text
        elif kind == _PAX:
            given.update(_pax(_text(stream, size, _MOST_IN_A_NAME, "a header")))
        elif kind == _PAX_GLOBAL:
            _text(stream, size, _MOST_IN_A_NAME, "a header")
        else:
            path = _path(given.get(b"path") or _name(block))
            target = given.get(b"linkpath") or block[157:257].partition(b"\0")[0]
            given = {}
            if kind in (_FILE, _OLD_FILE, _CONTIGUOUS):
                files[path] = data = _text(stream, size, MOST_IN_A_FILE, "a file")
                yield path, data
            elif kind == _DIRECTORY:
                yield path, Directory()
            elif kind == _SYMLINK:
                yield path, Link(os.fsdecode(target))
            elif kind == _HARD_LINK and (other := files.get(_path(target))) is not None:
                yield path, other
            elif kind == _HARD_LINK:
                _refuse(f"{shown(path)} is a hard link to what is not in it")
            else:
                _refuse(f"{shown(path)} is neither file, link nor directory")
    stream.drain()


class _Stream:
    """Bytes that come in pieces, taken in other pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._buffer = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        """Exactly so many bytes."""
        end = self._at + size
        if end > len(self._buffer):
            parts, have = [self._buffer[self._at :]], len(self._buffer) - self._at
            while have < size:
                piece = next(self._pieces, b"")
                if not piece:
                    _refuse("it is cut short")
                parts.append(piece)
                have += len(piece)
            self._buffer, self._at, end = b"".join(parts), 0, size
        data = self._buffer[self._at : end]
        self._at = end
        return data

    def drain(self) -> None:
        """Take the rest, so that damage after the last member is found."""
        for _ in self._pieces:
            pass


def _decompressed(fd: int) -> Iterator[bytes]:
    """The archive in pieces, none of them empty."""
    head = os.pread(fd, 6, 0)
    total = 0
    unpack = _unxz if head == b"\xfd7zXZ\0" else _gunzip if head[:2] == b"\x1f\x8b" else _plain
    try:
        for piece in unpack(fd):
            total += len(piece)
            if total > MOST_BYTES:
                _refuse(f"it holds more than {MOST_BYTES >> 20} MiB")
            if piece:
                yield piece
    except (lzma.LZMAError, zlib.error) as error:
        raise ValueError(f"no capture: it is damaged ({error})") from error


def _plain(fd: int) -> Iterator[bytes]:
    while data := os.read(fd, _PIECE):
        yield data


def _unxz(fd: int) -> Iterator[bytes]:
    data = b""
    while data := data or os.read(fd, _PIECE):
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        while not decoder.eof:
            if decoder.needs_input and not data and not (data := os.read(fd, _PIECE)):
                _refuse("it is cut short")
            yield decoder.decompress(data, _PIECE)
            data = b""
        # Another stream may follow, after padding.
        data = decoder.unused_data.lstrip(b"\0")


def _gunzip(fd: int) -> Iterator[bytes]:
    data = b""
    while data := data or os.read(fd, _PIECE):
        decoder = zlib.decompressobj(wbits=31)
        while not decoder.eof:
            if not data and not (data := os.read(fd, _PIECE)):
                _refuse("it is cut short")
            yield decoder.decompress(data, _PIECE)
            data = decoder.unconsumed_tail
        data = decoder.unused_data.lstrip(b"\0")


def _is_header(block: bytes) -> bool:
    """Whether the block's checksum is right; its own field counts as eight blanks."""
    return sum(block) - sum(block[148:156]) + 256 == _octal(block[148:156])


def _octal(field: bytes) -> int:
    """A number field: octal, or binary if its first bit is set; -1 if it is neither."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else -1
    return _number(field.strip(b" \0") or b"0", 8)


def _number(digits: bytes, base: int = 10) -> int:
    try:
        return int(digits, base)
    except ValueError:
        return -1


def _text(stream: _Stream, size: int, limit: int, what: str) -> bytes:
    """The content of a member, without its padding."""
    if not 0 <= size <= limit:
        _refuse(f"{what} in it has more than {limit >> 10} KiB" if size > 0 else "it is damaged")
    return stream.take(-(-size // _BLOCK) * _BLOCK)[:size] if size else b""


def _name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and block[345]:
        return block[345:500].partition(b"\0")[0] + b"/" + name
    return name


def _path(name: bytes) -> str:
    """The member's path; refused if it leads out of the archive."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if name.startswith(b"/") or b".." in parts:
        _refuse(f"{shown(os.fsdecode(name))} leads out of it")
    return os.fsdecode(b"/".join(parts))


def _pax(text: bytes) -> dict[bytes, bytes]:
    r"""The records of a pax header: `length key=value\n`."""
    found = {}
    start = 0
    while start < len(text):
        blank = text.find(b" ", start, start + 8)
        end = start + _number(text[start:blank])
        if not start < blank < end <= len(text):
            _refuse("it is damaged")
        key, _, value = text[blank + 1 : end].rstrip(b"\n").partition(b"=")
        if key.startswith(b"GNU.sparse"):
            _refuse("a file in it is sparse")
        found[key] = value
        start = end
    return found


def shown(path: str) -> str:
    """A path for a sentence, on one line."""
    return printable(fact(path))[:80]


def _refuse(why: str) -> NoReturn:
    raise ValueError(f"no capture: {why}")
