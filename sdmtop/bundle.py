"""Writes a tree to disk as an archive or a directory: whole under its name, or not at all."""

import errno
import io
import os
import shutil
import tarfile
from collections.abc import Iterable
from typing import Literal

from sdmtop.backends.tree import Link
from sdmtop.errors import UsageError
from sdmtop.places import flush_directory

Leaf = bytes | Link | None
"""What is at a path; None is a directory."""

_ARCHIVES: dict[str, Literal["w:xz", "w"]] = {".tar.xz": "w:xz", ".txz": "w:xz", ".tar": "w"}
_OTHER_ARCHIVES = (".gz", ".tgz", ".bz2", ".zst", ".xz", ".zip", ".7z")


def check(file: str, *, replace: bool) -> None:
    """Raise what `write` would raise for the name, before there is anything to write.

    `FileExistsError` if it is taken; `UsageError` for an ending that promises another format.
    """
    if _archive_mode(file) is None and file.endswith(_OTHER_ARCHIVES):
        raise UsageError("a capture is a .tar.xz, a .tar, or a directory (any other name)")
    directory = os.path.dirname(os.path.abspath(file))
    if not os.access(directory, os.W_OK):
        os.stat(directory)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), file)
    if os.path.lexists(file) and (not replace or not _is_replaceable(file)):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), file)


def write(file: str, entries: Iterable[tuple[str, Leaf]], when: int, *, replace: bool) -> int:
    """Write the entries, by path without a leading slash, in that order; returns bytes on disk.

    Only the owner can read it. It is made under another name beside the final one, so that a
    program killed half-way leaves nothing under that; an existing directory is never replaced.
    `when` is the time of all entries, seconds since 1970. Raises `OSError`.
    """
    check(file, replace=replace)
    final = os.path.abspath(file)
    part = f"{os.path.dirname(final)}/.{os.path.basename(final)}.{os.getpid()}.part"
    mode = _archive_mode(file)
    try:
        if mode is None:
            size = _write_directory(part, entries)
            os.rename(part, final)
        else:
            size = _write_archive(part, entries, mode, when)
            _take_name(part, final, replace=replace)
    except BaseException:
        _discard(part)
        raise
    flush_directory(os.path.dirname(final))
    return size


def _archive_mode(file: str) -> Literal["w:xz", "w"] | None:
    return next((mode for ending, mode in _ARCHIVES.items() if file.endswith(ending)), None)


def _is_replaceable(file: str) -> bool:
    return os.path.isfile(file) and _archive_mode(file) is not None


def _write_archive(
    part: str, entries: Iterable[tuple[str, Leaf]], mode: Literal["w:xz", "w"], when: int
) -> int:
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as stream:
        with tarfile.open(
            fileobj=stream,
            mode=mode,
            format=tarfile.GNU_FORMAT,
            encoding="utf-8",
            errors="surrogateescape",
        ) as archive:
            for path, leaf in entries:
                _add(archive, path, leaf, when)
                archive.members = []  # type: ignore[attr-defined] # It would keep them all.
        stream.flush()
        os.fsync(fd)
        return os.fstat(fd).st_size


def _add(archive: tarfile.TarFile, path: str, leaf: Leaf, when: int) -> None:
    member = tarfile.TarInfo(path)
    member.mtime = when
    member.mode = 0o600
    if leaf is None:
        member.type, member.mode = tarfile.DIRTYPE, 0o700
        archive.addfile(member)
    elif isinstance(leaf, Link):
        member.type, member.linkname = tarfile.SYMTYPE, leaf.text
        archive.addfile(member)
    else:
        member.size = len(leaf)
        archive.addfile(member, io.BytesIO(leaf))


def _write_directory(part: str, entries: Iterable[tuple[str, Leaf]]) -> int:
    os.mkdir(part, 0o700)
    size = 0
    for path, leaf in entries:
        target = f"{part}/{path}"
        os.makedirs(target if leaf is None else os.path.dirname(target), 0o700, exist_ok=True)
        if isinstance(leaf, Link):
            os.symlink(leaf.text, target)
        elif leaf is not None:
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as stream:
                size += stream.write(leaf)
    return size


def _take_name(part: str, final: str, *, replace: bool) -> None:
    """Give the file its name; a name that has been taken meanwhile stays as it is."""
    if replace:
        os.replace(part, final)
        return
    try:
        os.link(part, final)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP) or os.path.lexists(final):
            raise
        os.rename(part, final)  # A file system without hard links.
    else:
        os.unlink(part)


def _discard(part: str) -> None:
    if os.path.isdir(part):
        shutil.rmtree(part, ignore_errors=True)
    elif os.path.lexists(part):
        os.unlink(part)
