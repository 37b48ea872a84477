"""Read a large ``message`` request without processing its one large string several times.

A block is one string of more than a hundred kilobytes in an envelope of two hundred bytes. The ordinary way scans it
for the envelope, decodes it for the parameters, and packs it, each time in full. Here a short string replaces it;
the envelope is read as usual, and the string is only checked. It is not copied: the parameters are given in parts,
of which the string is a view. The result is the same either way. Anything unusual (an escape, a string that is a name,
many strings before it, any error) is left to the ordinary way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from sota.rvi.codec import pack
from sota.rvi.message import Part

if TYPE_CHECKING:
    from sota.rvi.edge_requests import MessageRequest

LARGE_BYTES = 16 << 10
"""Requests and strings of at least this size are handled here."""

MAX_TEXTS = 32
"""Strings to skip in search of the large one: a bound on what a hostile request costs."""

KEY_BYTES = 96
"""The length of the start of a string by which checked ones are found."""

_STAND_IN = b"a large text was"
_QUOTED, _PACKED = b'"%b"' % _STAND_IN, pack(_STAND_IN.decode())
_check = msgspec.json.Decoder(msgspec.Raw).decode
_RAW16_BELOW = 1 << 16


@dataclass(frozen=True, slots=True)
class LargeParameters:
    """A large request's parameters, in JSON and in msgpack, each in parts."""

    parameters: Sequence[Part]
    packed: Sequence[Part]


class LargeRequestReader:
    """Reads large requests; remembers strings that it has checked, up to ``kept_bytes``.

    A campaign sends the same block to many vehicles at about the same time. Comparing a string with an earlier one
    costs a fifth of checking it, and all waiting messages share one copy.
    """

    def __init__(self, kept_bytes: int = 0) -> None:
        self._limit = kept_bytes
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._kept_bytes = 0

    def read(
        self, content: bytes | bytearray, decode: Callable[[bytes], MessageRequest]
    ) -> tuple[MessageRequest, LargeParameters] | None:
        """Read a request by ``decode``; returns it and its real parameters, or None to read it the ordinary way."""
        if len(content) < LARGE_BYTES or (found := _find(content)) is None:
            return None
        start, end = found
        rest = b"".join((content[:start], _QUOTED, content[end:]))
        if rest.count(_STAND_IN) != 1:
            return None
        try:
            request = decode(rest)
            parameters = bytes(request.params.parameters)
            before, here, after = parameters.partition(_QUOTED)
            packed_before, here_packed, packed_after = pack(msgspec.json.decode(parameters)).partition(_PACKED)
            if not here or not here_packed:  # it was elsewhere, or in a member that a later one replaces
                return None
            quoted = self._checked(content, start, end)
        except (msgspec.MsgspecError, ValueError, OverflowError, TypeError, RecursionError):
            return None
        text = quoted[1:-1]
        packed = (packed_before + _raw_head(len(text)), text, packed_after)
        return request, LargeParameters((before, quoted, after), packed)

    def _checked(self, content: bytes | bytearray, start: int, end: int) -> memoryview:
        """Check a string and return it, in its quotation marks."""
        key = bytes(content[start : start + KEY_BYTES])
        known = self._kept.get(key)
        if known is not None and len(known) == end - start and content.startswith(known, start):
            self._kept.move_to_end(key)
            return memoryview(known)
        quoted = memoryview(content)[start:end]
        _check(quoted)  # control characters; it does not check UTF-8
        if not content.isascii():
            str(quoted, "utf-8")
        if end - start <= self._limit:
            self._keep(key, bytes(quoted))
        return quoted

    def _keep(self, key: bytes, text: bytes) -> None:
        self._kept_bytes += len(text) - len(self._kept.pop(key, b""))
        self._kept[key] = text
        while self._kept_bytes > self._limit:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest)


def _raw_head(length: int) -> bytes:
    """Return the header of a long string in msgpack of the old specification."""
    return b"\xda" + length.to_bytes(2, "big") if length < _RAW16_BELOW else b"\xdb" + length.to_bytes(4, "big")


def _find(content: bytes | bytearray) -> tuple[int, int] | None:
    """Find a large string, with its quotation marks, if it is a value: the last one or, from the start, the first."""
    if b"\\" in content:
        return None  # without escapes every quotation mark begins or ends a string
    end = content.rfind(b'"')
    start = content.rfind(b'"', 0, max(end, 0))
    if end - start >= LARGE_BYTES and start >= 0 and content.count(b'"', 0, start) % 2 == 0:
        return _as_value(content, start, end)
    end = -1
    for _ in range(MAX_TEXTS):
        start = content.find(b'"', end + 1)
        end = content.find(b'"', start + 1)
        if start < 0 or end < 0:
            return None
        if end - start >= LARGE_BYTES:
            return _as_value(content, start, end)
    return None


def _as_value(content: bytes | bytearray, start: int, end: int) -> tuple[int, int] | None:
    return (start, end + 1) if content[end + 1 : end + 2] in (b",", b"}", b"]") else None
