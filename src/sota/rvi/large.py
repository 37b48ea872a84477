"""A large ``message`` request, read without looking twice at the text that makes it large.

A block is one text of more than a hundred kilobytes in an envelope of two hundred bytes. Read as any other request it
would be scanned for the envelope, decoded for its parameters, and packed, each time in full. Here that text is taken
out, and a short one put in its place; the envelope is read as any other, the text alone is checked and packed, and put
back. Which requests are accepted, and what becomes of them, is the same either way: whatever is not plainly of this
kind (an escape, a text that is a name, many texts before it, anything wrong) is left to the ordinary way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from sota.rvi.codec import pack

if TYPE_CHECKING:
    from sota.rvi.edge import MessageRequest

LARGE_BYTES = 16 << 10
"""A request from here on is looked at, and a text from here on is taken out."""

MAX_TEXTS = 32
"""So many texts are passed over in search of the large one; a hostile request shall not cost more than that."""

_STAND_IN = b"a large text was"
_QUOTED, _PACKED = b'"%b"' % _STAND_IN, pack(_STAND_IN.decode())
_text = msgspec.json.Decoder(str)


def read_large(content: bytes, decode: Callable[[bytes], MessageRequest]) -> tuple[MessageRequest, bytes] | None:
    """Read a request by ``decode``; gives it, and its parameters in msgpack. None: it is to be read as any other."""
    if len(content) < LARGE_BYTES or (found := _find(content)) is None:
        return None
    start, end = found
    rest = b"".join((content[:start], _QUOTED, content[end:]))
    if rest.count(_STAND_IN) != 1:
        return None
    quoted = content[start:end]
    try:
        request = decode(rest)
        parameters = bytes(request.params.parameters)
        before, here, after = parameters.partition(_QUOTED)
        packed_before, here_packed, packed_after = pack(msgspec.json.decode(parameters)).partition(_PACKED)
        if not here or not here_packed:  # it stood elsewhere, or in what another member of the same name replaces
            return None
        packed = b"".join((packed_before, pack(_text.decode(quoted)), packed_after))
    except (msgspec.MsgspecError, ValueError, OverflowError, TypeError, RecursionError):
        return None
    request.params.parameters = msgspec.Raw(b"".join((before, quoted, after)))
    return request, packed


def _find(content: bytes) -> tuple[int, int] | None:
    """Find the first large text, with its quotation marks, if it is a value."""
    if b"\\" in content:
        return None  # with no escapes in it, every quotation mark begins or ends a text
    end = -1
    for _ in range(MAX_TEXTS):
        start = content.find(b'"', end + 1)
        end = content.find(b'"', start + 1)
        if start < 0 or end < 0:
            return None
        if end - start >= LARGE_BYTES:
            return (start, end + 1) if content[end + 1 : end + 2] in (b",", b"}", b"]") else None
    return None
