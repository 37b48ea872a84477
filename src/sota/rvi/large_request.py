"""A large ``message`` request, read without looking twice at the text that makes it large.

A block is one text of more than a hundred kilobytes in an envelope of two hundred bytes. Read as any other request it
would be scanned for the envelope, decoded for its parameters, and packed, each time in full. Here that text is taken
out, and a short one put in its place; the envelope is read as any other, the text alone is checked, and put back. It
is not copied for that: a large request is given in parts, and the text is a view of what came. Which requests are
accepted, and what becomes of them, is the same either way: whatever is not plainly of this kind (an escape, a text that
is a name, many texts before it, anything wrong) is left to the ordinary way.
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
"""A request from here on is looked at, and a text from here on is taken out."""

MAX_TEXTS = 32
"""So many texts are passed over in search of the large one; a hostile request shall not cost more than that."""

KEY_BYTES = 96
"""By so much of its beginning a text is looked for among those that were checked."""

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
    """Reads large requests; remembers texts that it has checked, up to ``kept_bytes``.

    A campaign sends the same block to many vehicles at about the same time. To see that a text is the same as one
    before costs a fifth of checking it, and those of all messages that wait are then one.
    """

    def __init__(self, kept_bytes: int = 0) -> None:
        self._limit = kept_bytes
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._kept_bytes = 0

    def read(
        self, content: bytes | bytearray, decode: Callable[[bytes], MessageRequest]
    ) -> tuple[MessageRequest, LargeParameters] | None:
        """Read a request by ``decode``; gives it, with a short text in its parameters, and what they really are.

        None: it is to be read as any other.
        """
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
            if not here or not here_packed:  # it stood elsewhere, or in what another member of the same name replaces
                return None
            quoted = self._checked(content, start, end)
        except (msgspec.MsgspecError, ValueError, OverflowError, TypeError, RecursionError):
            return None
        text = quoted[1:-1]
        packed = (packed_before + _raw_head(len(text)), text, packed_after)
        return request, LargeParameters((before, quoted, after), packed)

    def _checked(self, content: bytes | bytearray, start: int, end: int) -> memoryview:
        """Give a text, in its quotation marks, once it is known to be one."""
        key = bytes(content[start : start + KEY_BYTES])
        known = self._kept.get(key)
        if known is not None and len(known) == end - start and content.startswith(known, start):
            self._kept.move_to_end(key)
            return memoryview(known)
        quoted = memoryview(content)[start:end]
        _check(quoted)  # no control characters; whether it is UTF-8 is passed over there
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
    """Give what stands before a long text in msgpack of the old specification."""
    return b"\xda" + length.to_bytes(2, "big") if length < _RAW16_BELOW else b"\xdb" + length.to_bytes(4, "big")


def _find(content: bytes | bytearray) -> tuple[int, int] | None:
    """Find a large text, with its quotation marks, if it is a value: the last one or, from the start, the first."""
    if b"\\" in content:
        return None  # with no escapes in it, every quotation mark begins or ends a text
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
