"""Bounded reading of an untrusted tar archive, with a check of its extended headers.

Python's ``tarfile`` parses extended (pax) headers with expressions whose time grows with the square of a hostile
header's length. So each header is checked in one pass before ``tarfile`` reads it: its size, its records, and the
number of consecutive digits.
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
    """It is not a tar archive, is damaged, or is refused."""

    code, title = "bad_archive", "Bad Archive"


class Bounded:
    """The decompressed archive: limits the size of each read and of the whole."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._extended = 0  # size of the extended header that the last block announces
        self.in_content = False
        """Whether a file's content is being read: it may look like a header."""

    @property
    def file(self) -> IO[bytes]:
        """The archive as a file for ``tarfile``."""
        return cast(IO[bytes], self)

    def read(self, size: int = -1) -> bytes:
        """Read a block, or a part of a file."""
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
        """Move to a position within the limit."""
        if whence != os.SEEK_SET or offset > self._limit:
            raise BadArchive("It holds more than is allowed.")
        self._extended = 0
        return self._stream.seek(offset)

    def tell(self) -> int:
        """Return the position."""
        return self._stream.tell()


class Forward:
    """A pipe that knows its position and can be moved forward."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe, self._at = pipe, 0

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes."""
        content = self._pipe.read(size)
        self._at += len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Read up to a later position."""
        if whence != os.SEEK_SET or offset < self._at:
            raise BadArchive("It would have to be read backwards.")
        while self._at < offset and self.read(min(HEADER_LIMIT, offset - self._at)):
            pass
        return self._at

    def tell(self) -> int:
        """Return the number of bytes read."""
        return self._at


def check_extended(content: bytes) -> None:
    """Check an extended header in one pass: consecutive records ``LENGTH NAME=VALUE\\n`` up to its end.

    Raises:
        BadArchive: it has another form, or too many consecutive digits.
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
    """Return the size of the extended header that follows a block; 0 if none does."""
    if block[TYPE] not in EXTENDED or block[MAGIC] != b"ustar":
        return 0
    try:
        size = tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape").size
    except tarfile.HeaderError:
        return 0
    if size > EXTENDED_LIMIT:
        raise BadArchive("An extended header in it is too long.")
    return size
