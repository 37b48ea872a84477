"""What a tar reader reads of an archive that nobody vouches for: bounded, and its extended headers checked first.

Python's ``tarfile`` takes extended (pax) headers apart with expressions whose time grows with the square of a hostile
header's length. So each is checked in one pass before ``tarfile`` sees it: its size, its records, and how many digits
stand in a row.
"""

from __future__ import annotations

import os
import re
import tarfile
from typing import IO, cast

from sota.kit.errors import Invalid

HEADER_LIMIT = 1 << 16
EXTENDED_LIMIT = 1 << 14
EXTENDED = frozenset({tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE})
TYPE, SIZE, MAGIC = slice(156, 157), slice(124, 136), slice(257, 262)
LENGTH = re.compile(rb"([1-9][0-9]{0,4}) ")
MANY_DIGITS = re.compile(rb"[0-9]{65}")


class BadArchive(Invalid):
    """It is no tar archive, is damaged, or is not one that is unpacked here."""

    code, title = "bad_archive", "Bad Archive"


class Bounded:
    """The decompressed archive: reads no part larger than a header may be, and ends where ``limit`` does."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._extended = 0  # the size of the extended header that the block read last announces
        self.in_content = False
        """Whether a file's content is read: what looks like a header there is none."""

    @property
    def file(self) -> IO[bytes]:
        """The archive as the file that ``tarfile`` reads."""
        return cast(IO[bytes], self)

    def read(self, size: int = -1) -> bytes:
        """Read a block, or a part of a content."""
        if not 0 <= size <= HEADER_LIMIT:
            raise BadArchive("A header in it is too long.")
        if self._stream.tell() + size > self._limit:
            raise BadArchive("It holds more than is allowed.")
        content = self._stream.read(size)
        if self._extended and size == -(-self._extended // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE:
            check_extended(content[: self._extended])
        self._extended = _announced(content) if size == tarfile.BLOCKSIZE and not self.in_content else 0
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place within the limit."""
        if whence != os.SEEK_SET or offset > self._limit:
            raise BadArchive("It holds more than is allowed.")
        self._extended = 0
        return self._stream.seek(offset)

    def tell(self) -> int:
        """Return the place."""
        return self._stream.tell()


class Forward:
    """A pipe that can be told its place, and be moved forward."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe, self._at = pipe, 0

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        content = self._pipe.read(size)
        self._at += len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Read on to a later place."""
        if whence != os.SEEK_SET or offset < self._at:
            raise BadArchive("It would have to be read backwards.")
        while self._at < offset and self.read(min(HEADER_LIMIT, offset - self._at)):
            pass
        return self._at

    def tell(self) -> int:
        """Return how much was read."""
        return self._at


def check_extended(content: bytes) -> None:
    """Check an extended header in one pass: records ``LENGTH NAME=VALUE\\n`` that follow each other to its end.

    Raises:
        BadArchive: it has another form, or a row of digits that is no number.
    """
    if len(content) > EXTENDED_LIMIT or MANY_DIGITS.search(content):
        raise BadArchive("An extended header in it is too long.")
    at = 0
    while at < len(content):
        found = LENGTH.match(content, at)
        length = int(found[1]) if found else 0
        record = content[at : at + length]
        is_whole = found is not None and len(record) == length and b"=" in record[found.end() - at :]
        if not is_whole or not record.endswith(b"\n"):
            raise BadArchive("An extended header in it is damaged.")
        at += length


def _announced(block: bytes) -> int:
    """Return the size of the extended header that follows a block, 0 where none does."""
    if block[TYPE] not in EXTENDED or block[MAGIC] != b"ustar":
        return 0
    try:
        size = tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape").size
    except tarfile.HeaderError:
        return 0
    if size > EXTENDED_LIMIT:
        raise BadArchive("An extended header in it is too long.")
    return size
