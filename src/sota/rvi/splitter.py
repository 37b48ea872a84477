"""Where one packet ends and the next begins: a data link has no lengths, only complete values back to back.

Both splitters look at every byte once, however small the pieces in which it comes, and believe no length before its
bytes are there: a few bytes cannot make the node reserve memory. Nothing is decoded here.
"""

from __future__ import annotations

import re
from typing import Protocol

MAX_DEPTH = 100
MAX_VALUES = 200_000


class CodecError(Exception):
    """What came is not what this link speaks: the connection ends, and nothing else does."""


class Splitter(Protocol):
    """Finds the end of a value, and remembers how far it looked until it has found it."""

    def find_end(self, buffer: bytes | bytearray, start: int) -> int | None:
        """Give the position behind the value, or None if more bytes are needed.

        Raises:
            CodecError: no such value can come of these bytes.
        """
        ...


class JsonSplitter:
    """Objects and arrays of JSON. Brackets are counted, strings are skipped."""

    _OUTSIDE = re.compile(rb'["{}\[\]]')
    _INSIDE = re.compile(rb'["\\]')

    def __init__(self) -> None:
        self._seen = 0  # how far it looked, from the start of the value
        self._depth = 0
        self._in_string = False

    def find_end(self, buffer: bytes | bytearray, start: int) -> int | None:
        """Give the position behind the value, or None if more bytes are needed."""
        position = start + self._seen
        depth = self._depth
        while True:
            found = (self._INSIDE if self._in_string else self._OUTSIDE).search(buffer, position)
            if found is None:
                self._seen, self._depth = max(position, len(buffer)) - start, depth
                return None
            position = found.end()
            byte = buffer[position - 1]
            if self._in_string:
                if byte == 0x5C:  # a backslash: whatever follows belongs to it, even if it has not come yet
                    position += 1
                else:
                    self._in_string = False
            elif byte == 0x22:
                self._in_string = True
            elif byte in b"{[":
                depth += 1
                if depth > MAX_DEPTH:
                    raise CodecError("nested too deep")
            else:
                depth -= 1
                if depth <= 0:
                    self._seen = self._depth = 0
                    return position


def _msgpack_tables() -> tuple[list[int], list[int], list[tuple[int, int] | None]]:
    """For each first byte: its own size, how many values follow, and how to read a length (bytes, values per unit)."""
    sizes, children = [1] * 256, [0] * 256
    lengths: list[tuple[int, int] | None] = [None] * 256
    for low in range(16):
        children[0x80 + low], children[0x90 + low] = 2 * low, low
    for low in range(32):
        sizes[0xA0 + low] = 1 + low
    for byte, size in {
        0xCA: 5,
        0xCB: 9,
        0xCC: 2,
        0xCD: 3,
        0xCE: 5,
        0xCF: 9,
        0xD0: 2,
        0xD1: 3,
        0xD2: 5,
        0xD3: 9,
    }.items():
        sizes[byte] = size
    for byte in (0xC1, 0xC7, 0xC8, 0xC9, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8):  # never used, and extension types
        sizes[byte] = 0
    for byte, width in {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}.items():
        lengths[byte] = (width, 0)
    for byte, width, per_unit in ((0xDC, 2, 1), (0xDD, 4, 1), (0xDE, 2, 2), (0xDF, 4, 2)):
        lengths[byte] = (width, per_unit)
    return sizes, children, lengths


_SIZES, _CHILDREN, _LENGTHS = _msgpack_tables()


class MsgpackSplitter:
    """Values of msgpack, of the old specification (raw) and the new one (str8, bin). Extension types are refused."""

    def __init__(self) -> None:
        self._seen = 0
        self._pending = 1
        self._values = 0

    def find_end(self, buffer: bytes | bytearray, start: int) -> int | None:
        """Give the position behind the value, or None if more bytes are needed."""
        position, pending, available = start + self._seen, self._pending, len(buffer)
        while pending and position < available:
            byte = buffer[position]
            length = _LENGTHS[byte]
            if length is None:
                size, more = _SIZES[byte], _CHILDREN[byte]
                if size == 0:
                    raise CodecError(f"byte 0x{byte:02x} begins no value that is spoken here")
            else:
                width, per_unit = length
                if position + 1 + width > available:
                    break
                units = int.from_bytes(buffer[position + 1 : position + 1 + width], "big")
                size, more = (1 + width, units * per_unit) if per_unit else (1 + width + units, 0)
            position += size
            pending += more - 1
            self._values += 1
            if pending + self._values > MAX_VALUES:
                raise CodecError("too many values in one packet")
        if pending == 0 and position <= available:
            self._seen, self._pending, self._values = 0, 1, 0
            return position
        self._seen, self._pending = position - start, pending
        return None
