"""Find where one packet ends and the next begins: a data link has no lengths, only complete values back to back.

Both splitters read every byte once, however small the pieces in which it arrives. They reserve no memory for a length
whose bytes have not arrived. Nothing is decoded here. A splitter serves several values, one after the other.
"""

from __future__ import annotations

import re

import msgpack

MAX_DEPTH = 100


class CodecError(Exception):
    """Invalid bytes on a link: its connection ends, and no other."""


class JsonSplitter:
    """Objects and arrays of JSON. Brackets are counted, strings are skipped."""

    _OUTSIDE = re.compile(rb'["{}\[\]]')
    _INSIDE = re.compile(rb'["\\]')

    def __init__(self) -> None:
        self._seen = 0  # how far it has read, from the start of the value
        self._depth = 0
        self._in_string = False

    def find_end(self, buffer: bytes | bytearray, start: int) -> int | None:
        """Return the position behind the value, or None if more bytes are needed.

        Raises:
            CodecError: no value begins so.
        """
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
                if byte == 0x5C:  # a backslash: the next byte belongs to it, even if it has not arrived yet
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


class MsgpackSplitter:
    """Values of msgpack, of the old specification (raw) and the new one (str8, bin)."""

    def __init__(self) -> None:
        # It skips values without building them, and remembers its place.
        self._unpacker = msgpack.Unpacker(read_size=4096, max_buffer_size=0)
        self._fed = self._passed = 0

    def find_end(self, buffer: bytes | bytearray, start: int) -> int | None:
        """Return the position behind the value, or None if more bytes are needed; raises as the other one does."""
        try:
            with memoryview(buffer) as view:
                self._unpacker.feed(view[start + self._fed :] if start + self._fed else view)
            self._fed = len(buffer) - start
            self._unpacker.skip()
        except msgpack.OutOfData:
            return None
        except (msgpack.UnpackException, ValueError) as error:
            raise CodecError(f"not a msgpack value: {error or 'no value begins with this byte'}") from None
        end = start + int(self._unpacker.tell()) - self._passed
        self._passed = int(self._unpacker.tell())
        self._fed -= end - start
        return end


Splitter = JsonSplitter | MsgpackSplitter
