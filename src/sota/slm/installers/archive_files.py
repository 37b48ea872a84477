"""Unpacks an untrusted tar archive into an empty folder.

Rules kept here:

* only files, folders, symbolic and hard links; an archive with anything else (devices, pipes, sparse files) is refused;
* no name leaves the folder: none is absolute or has ``..``, and nothing is written through a link, because the parent
  of an entry must be a folder that this archive made;
* a symbolic link points down, or up within the folder, never out; a hard link only to a file that was unpacked before;
* files, bytes, depth and the lengths of names are bounded, and so is what is decompressed;
* everything is on disk (fsync) when :func:`unpack` returns.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from sota.kit.files.durable import shared_folder, sync_folder
from sota.slm.installers.tar_stream import HEADER_LIMIT, BadArchive, Bounded

__all__ = ["BadArchive", "Limits", "Tree", "unpack"]

PART = 1 << 16
DEPTH_LIMIT = 64
NAME_LIMIT = 255
PATH_LIMIT = 1024
MODES = 0o755
"""Modes are reduced to this: not writable for others, no set-id bits."""
UNREADABLE = (
    tarfile.TarError,
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    ValueError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of an archive."""

    max_bytes: int
    max_files: int


class Tree:
    """The kind of each path of an archive so far. Without ``folder`` the archive is only checked."""

    def __init__(self, folder: Path | None, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._kinds: dict[tuple[str, ...], str] = {(): "folder"}
        self._bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether it contains only folders."""
        return all(kind == "folder" for kind in self._kinds.values())

    def add(self, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        """Add one entry.

        Raises:
            BadArchive: it is not allowed.
        """
        parts = _parts(member.name)
        if not parts:
            if not member.isdir():
                raise BadArchive("An entry has no name.")
            return
        kind = self._check(parts, member)
        if member.size < 0:
            raise BadArchive(f"{member.name!r} has no size.")
        self._bytes += member.size if kind == "file" else 0
        if self._bytes > self._limits.max_bytes:
            raise BadArchive(f"It unpacks to more than {self._limits.max_bytes} bytes.")
        if kind == "file":
            self._write_file(parts, member, archive)
        elif self._folder is not None:
            self._make(parts, kind, member)
        self._kinds[parts] = kind
        if len(self._kinds) > self._limits.max_files:
            raise BadArchive(f"It holds more than {self._limits.max_files} entries.")

    def _check(self, parts: tuple[str, ...], member: tarfile.TarInfo) -> str:
        kind = _kind(member)
        for length in range(1, len(parts)):
            inner = parts[:length]
            if self._kinds.get(inner, "folder") != "folder":
                raise BadArchive(f"{member.name!r} is not in a folder.")
            if inner not in self._kinds:
                self._kinds[inner] = "folder"
                if self._folder is not None:
                    shared_folder(self._path(inner))
        known = self._kinds.get(parts)
        if known is not None and not (known == kind == "folder"):
            raise BadArchive(f"{member.name!r} is in it twice.")
        if kind == "symlink":
            _check_link(parts, member.linkname)
        if kind == "link" and self._kinds.get(_parts(member.linkname)) != "file":
            raise BadArchive(f"{member.name!r} is a link to something other than a file in it.")
        return kind

    def _write_file(self, parts: tuple[str, ...], member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        source = archive.extractfile(member)
        if source is None:
            raise BadArchive(f"{member.name!r} has no content.")
        mode = 0o755 if member.mode & 0o100 else 0o644
        descriptor = -1
        if self._folder is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            descriptor = os.open(self._path(parts), flags, mode)
        try:
            left = member.size
            while left:
                part = source.read(min(PART, left))
                if not part:
                    raise BadArchive(f"It ends in the middle of {member.name!r}.")
                left -= len(part)
                if descriptor >= 0:
                    _write(descriptor, part)
            if descriptor >= 0:
                os.fchmod(descriptor, mode)
                os.fsync(descriptor)
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def _make(self, parts: tuple[str, ...], kind: str, member: tarfile.TarInfo) -> None:
        path = self._path(parts)
        if kind == "folder":
            shared_folder(path)
        elif kind == "symlink":
            path.symlink_to(_plain(member.linkname))
        else:
            os.link(self._path(_parts(member.linkname)), path, follow_symlinks=False)

    def _path(self, parts: tuple[str, ...]) -> Path:
        return cast(Path, self._folder).joinpath(*parts)

    def sync(self) -> None:
        """Make the folders durable, the innermost first."""
        if self._folder is not None:
            for parts, kind in sorted(self._kinds.items(), key=lambda each: -len(each[0])):
                if kind == "folder":
                    sync_folder(self._path(parts))


def unpack(file: Path, folder: Path | None, limits: Limits) -> None:
    """Unpack an archive (plain, gzip, bzip2 or xz) into an empty folder; without a folder only check it.

    Raises:
        BadArchive: it is not an archive, is damaged, or breaks a rule above. Unpacked files are left in place.
        OSError: the disk is full or fails.
    """
    tree = Tree(folder, limits)
    try:
        with file.open("rb") as raw, _decompressed(raw) as stream:
            bounded = Bounded(stream, limits.max_bytes + limits.max_files * 2048 + (1 << 20))
            with tarfile.open(fileobj=bounded.file, mode="r:") as archive:
                for member in _members(archive):
                    bounded.in_content = True
                    tree.add(member, archive)
                    bounded.in_content = False
                _check_end(bounded.file, archive.offset)
    except UNREADABLE as error:
        if isinstance(error, OSError) and error.errno is not None and folder is not None:
            raise  # an error of the disk
        raise BadArchive(f"It is not a tar archive, or it is damaged: {error}") from None
    if tree.is_empty:
        raise BadArchive("There is no file in it.")
    if folder is not None:
        tree.sync()


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while (member := archive.next()) is not None:
        vars(archive)["members"].clear()  # its own list would grow without a limit
        yield member


def _check_end(stream: IO[bytes], offset: int) -> None:
    """Read to the end: a damaged header looks like the end, and the compression's checksum comes last."""
    stream.seek(offset)
    part = stream.read(tarfile.BLOCKSIZE)
    if len(part) < tarfile.BLOCKSIZE:
        raise BadArchive("It has no end: a part is missing.")
    while part:
        if any(part):
            raise BadArchive("It is damaged: an entry should begin and does not.")
        part = stream.read(HEADER_LIMIT)


def _decompressed(raw: IO[bytes]) -> IO[bytes]:
    begin = raw.read(6)
    raw.seek(0)
    if begin.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw, mode="rb"))
    if begin.startswith(b"BZh"):
        return cast(IO[bytes], bz2.BZ2File(raw))
    if begin == b"\xfd7zXZ\x00":
        return cast(IO[bytes], lzma.LZMAFile(raw))
    return raw


def _kind(member: tarfile.TarInfo) -> str:
    if member.type in {tarfile.REGTYPE, tarfile.AREGTYPE} and member.sparse is None:
        return "file"
    kinds = {tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "symlink", tarfile.LNKTYPE: "link"}
    if member.type not in kinds:
        raise BadArchive(f"{member.name!r} is neither a file nor a folder nor a link.")
    return kinds[member.type]


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of a name.

    >>> _parts("./bin/tool")
    ('bin', 'tool')
    """
    if len(name) > PATH_LIMIT or name.startswith("/"):
        raise BadArchive(f"{name[:80]!r} is not a valid name.")
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    for part in parts:
        if part == ".." or "\0" in part or len(os.fsencode(part)) > NAME_LIMIT:
            raise BadArchive(f"{name[:80]!r} is not a valid name.")
    if len(parts) > DEPTH_LIMIT:
        raise BadArchive(f"{name[:80]!r} is nested too deeply.")
    return parts


def _check_link(parts: tuple[str, ...], target: str) -> None:
    """Refuse a symbolic link that could leave the folder.

    ``..`` is allowed only at its beginning, where it goes up real folders. After a name, which may be a link too, its
    target would be unknown.
    """
    if not target or target.startswith("/") or "\0" in target or len(target) > PATH_LIMIT:
        raise BadArchive(f"{'/'.join(parts)!r} links to {target[:80]!r}.")
    steps = _plain(target).split("/")
    up = next((number for number, step in enumerate(steps) if step != ".."), len(steps))
    if up > len(parts) - 1 or ".." in steps[up:]:
        raise BadArchive(f"{'/'.join(parts)!r} links to {target[:80]!r}, out of its folder.")


def _plain(target: str) -> str:
    """Return a link's target in normal form: a reader that joins paths would take ``a//b`` for ``/b``.

    >>> _plain("./a//b/")
    'a/b'
    """
    return "/".join(step for step in target.split("/") if step not in {"", "."}) or "."


def _write(descriptor: int, part: bytes) -> None:
    while part:
        part = part[os.write(descriptor, part) :]
