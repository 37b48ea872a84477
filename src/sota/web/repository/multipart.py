"""The body of an upload: part ``metadata`` (JSON), then part ``file``, read as it arrives.

Rules kept here:

* exactly these two parts, in this order; the file's own name is ignored;
* the metadata are limited; of the file only the latest bytes are held;
* spaces after a boundary are transport padding (RFC 2046, 5.1.1) and are ignored;
* a body that ends early is an error, so that half a file is never taken for a whole one.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum, auto

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from sota.kit.errors import Invalid, TooLarge, Unsupported

MAX_METADATA = 256 << 10
MAX_FIRST_LINE = 1024


class Mark(Enum):
    """Parser events other than data."""

    PART_ENDS = auto()
    BODY_ENDS = auto()


@dataclass(frozen=True, slots=True)
class PartBegins:
    """A part with this field name begins."""

    name: str


class UploadBody:
    """Reads one upload from its stream."""

    def __init__(self, content_type: str, stream: AsyncIterator[bytes], *, max_file_bytes: int) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise Unsupported("An upload must be multipart/form-data with a part 'metadata' and then a part 'file'.")
        self._stream, self._max_file_bytes = _without_padding(stream, boundary), max_file_bytes
        self._events: deque[PartBegins | bytes | Mark] = deque()
        self._header, self._value, self._disposition = b"", b"", b""
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": lambda data, start, end: self._events.append(data[start:end]),
                    "on_part_end": lambda: self._events.append(Mark.PART_ENDS),
                    "on_end": lambda: self._events.append(Mark.BODY_ENDS),
                },
            )
        except FormParserError:
            raise Invalid("The boundary of the upload is malformed.") from None

    async def metadata(self) -> bytes:
        """Read the whole first part.

        Raises:
            Invalid: it is another part, or the body is malformed.
            TooLarge: it is over the limit.
        """
        await self._expect("metadata")
        content = b""
        while (event := await self._next()) is not Mark.PART_ENDS:
            content += event if isinstance(event, bytes) else b""
            if len(content) > MAX_METADATA:
                raise TooLarge(f"The part 'metadata' may have {MAX_METADATA} bytes at most.")
        return content

    async def file(self) -> AsyncIterator[bytes]:
        """Yield the second part as it arrives, and check that nothing follows it.

        Raises:
            Invalid: it is another part, the body is malformed or ends early, or there is a third part.
            TooLarge: it is over the limit.
        """
        await self._expect("file")
        size = 0
        while (event := await self._next()) is not Mark.PART_ENDS:
            if isinstance(event, bytes):
                size += len(event)
                if size > self._max_file_bytes:
                    raise TooLarge(f"A package file may have {self._max_file_bytes} bytes at most.")
                yield event
        if await self._next() is not Mark.BODY_ENDS:
            raise Invalid("Nothing may follow the part 'file'.")

    async def _expect(self, name: str) -> None:
        event = await self._next()
        if event != PartBegins(name):
            found = f"a part {event.name[:40]!r}" if isinstance(event, PartBegins) else "nothing"
            raise Invalid(f"The upload needs a part {name!r} here and has {found}: first 'metadata', then 'file'.")

    async def _next(self) -> PartBegins | bytes | Mark:
        while not self._events:
            chunk = await anext(self._stream, None)
            if chunk is None:
                raise Invalid("The upload ended before its last part did.")
            try:
                self._parser.write(chunk)
            except FormParserError:
                raise Invalid("The upload is not well-formed multipart/form-data.") from None
        return self._events.popleft()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._disposition = b""
        self._events.append(PartBegins(options.get(b"name", b"").decode("utf-8", "replace")))


async def _without_padding(stream: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[bytes]:
    """Remove the padding of the first boundary; the parser ignores it only at the others."""
    begun = b""
    async for chunk in stream:
        begun += chunk
        if b"\n" in begun.partition(boundary)[2] or len(begun) > MAX_FIRST_LINE:
            break
    yield re.sub(rb"\A((?:\r\n)*--" + re.escape(boundary) + rb")[ \t]+(?=\r\n)", rb"\1", begun)
    async for chunk in stream:
        yield chunk
