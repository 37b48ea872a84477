"""A tar archive of plain files in one folder, in a significant order: written and read strictly.

Any tar program can list and unpack one (POSIX ustar). The reader accepts nothing else: no folders, links or extensions,
no duplicate names, complete headers, and exactly the file size that the headers imply. It reads only headers; contents
stay in the file and are read in parts, so a hostile archive costs no memory.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sota.kit.errors import Invalid

BLOCK = 512
PART = 1 << 20
END = bytes(2 * BLOCK)
MAX_ENTRIES = 256
MAX_SIZE = (1 << 33) - 1
"""Limit of one file: eleven octal digits."""
NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]{0,98}\Z")
MAGIC = b"ustar\x0000"


class BadContainer(Invalid):
    """It is not such an archive, or a damaged one."""

    code, title = "bad_container", "Bad Container"


@dataclass(frozen=True, slots=True)
class TarEntry:
    """A file in the archive: where its content begins, and how long it is."""

    name: str
    offset: int
    size: int


def write(target: IO[bytes], entries: Iterable[tuple[str, Path | bytes]]) -> None:
    """Write an archive; the same files in the same order always give the same bytes.

    Raises:
        Invalid: a name or size that such an archive cannot have.
    """
    for name, content in entries:
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        target.write(_header(name, size))
        written = 0
        for part in _parts_of(content):
            written += len(part)
            target.write(part)
        if written != size:
            raise Invalid(f"{name} changed while it was read.")
        target.write(bytes(-size % BLOCK))
    target.write(END)


def read(file: Path) -> list[TarEntry]:
    """Read the headers of an archive.

    Raises:
        BadContainer: :func:`write` could not have written it.
    """
    entries: list[TarEntry] = []
    whole = file.stat().st_size
    with file.open("rb") as stream:
        while (header := stream.read(BLOCK)) != END[:BLOCK]:
            name, size = _read_header(header)
            if any(entry.name == name for entry in entries):
                raise BadContainer(f"{name} is in it twice.")
            entries.append(TarEntry(name, stream.tell(), size))
            if len(entries) > MAX_ENTRIES:
                raise BadContainer(f"It holds more than {MAX_ENTRIES} files.")
            after = stream.tell() + size
            if after + BLOCK > whole:
                raise BadContainer(f"It ends in the middle of {name}.")
            stream.seek(after)
            if any(stream.read(-size % BLOCK)):
                raise BadContainer(f"Something lies behind {name}.")
        if stream.read(BLOCK + 1) != END[BLOCK:]:
            raise BadContainer("It does not end where it should.")
    return entries


def content(file: Path, entry: TarEntry) -> Iterator[bytes]:
    """Yield a file's content part by part.

    Raises:
        BadContainer: the archive became shorter.
    """
    with file.open("rb") as stream:
        stream.seek(entry.offset)
        left = entry.size
        while left:
            part = stream.read(min(PART, left))
            if not part:
                raise BadContainer(f"It ends in the middle of {entry.name}.")
            left -= len(part)
            yield part


def sha256(parts: Iterable[bytes]) -> str:
    """Return the SHA-256 of a file's content, 64 hex digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _parts_of(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as stream:
        while part := stream.read(PART):
            yield part


def _header(name: str, size: int) -> bytes:
    if not NAME.match(name):
        raise Invalid(f"{name!r} cannot be the name of a file in it.")
    if size > MAX_SIZE:
        raise Invalid(f"{name} is larger than {MAX_SIZE} bytes.")
    fields = [
        (name.encode(), 100),
        (b"0000644\0", 8),
        (b"0000000\0", 8),
        (b"0000000\0", 8),
        (b"%011o\0" % size, 12),
        (b"00000000000\0", 12),
        (b" " * 8, 8),
        (b"0", 1),
        (b"", 100),
        (MAGIC, 8),
        (b"", 247),
    ]
    header = b"".join(value.ljust(width, b"\0") for value, width in fields)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _read_header(header: bytes) -> tuple[str, int]:
    """Parse a header: it must equal, byte for byte, what is written for its name and size."""
    try:
        name = header[:100].rstrip(b"\0").decode("ascii")
        size = int(header[124:135], 8)
        if 0 <= size <= MAX_SIZE and header == _header(name, size):
            return name, size
    except (ValueError, Invalid):
        pass
    raise BadContainer("It is no archive of this kind, or a damaged one.")
