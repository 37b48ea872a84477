"""Heads of HTTP messages that were parsed before: they are found by their bytes.

Programs that call each other over kept connections send the same few heads all day; only the length in them changes.
A known head costs one look into a table, where the parser costs a call for each of its lines.

Rules kept here:

* a head gets into the table only by the parser, and only if nothing about its message is unusual: its body has a
  length, the connection is kept, and there is neither ``Expect`` nor ``Upgrade``;
* the parser must have found the head's end where it was looked for, or two readers would see two requests in one;
* the table is bounded, and dropped if heads do not repeat.

>>> heads = KnownHeads(read_request)
>>> found = heads.find(b"POST / HTTP/1.1\\r\\nHost: a\\r\\nContent-Length: 2\\r\\n\\r\\n{}", 0)
>>> found[0].length, found[1]
(2, 47)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import httptools

MAX_HEAD_BYTES = 2048
MAX_KNOWN = 512
_END = b"\r\n\r\n"
_UNUSUAL = (b"transfer-encoding", b"expect", b"upgrade")


@dataclass(slots=True)
class Head:
    """What a head says: method and target of a request, or the status of an answer; names of headers in lower case."""

    method: bytes = b""
    target: bytes = b""
    status: int = 0
    length: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


ReadHead = Callable[[bytes], Head | None]


class KnownHeads:
    """Finds heads that were read before."""

    __slots__ = ("_hits", "_known", "_read")

    def __init__(self, read: ReadHead) -> None:
        """``read`` is :func:`read_request`, :func:`read_answer`, or one that is content with less."""
        self._read = read
        self._known: dict[bytes, Head | None] | None = {}
        self._hits = 0

    def find(self, data: bytes, at: int) -> tuple[Head, int] | None:
        """Find the head that begins here; returns it and where its body begins, None if the parser must read it."""
        if self._known is None or (end := data.find(_END, at, at + MAX_HEAD_BYTES)) < 0:
            return None
        text = data[at : end + 4]
        try:
            head = self._known[text]
            self._hits += 1
        except KeyError:
            head = self._learn(self._known, text)
        return (head, end + 4) if head is not None else None

    def _learn(self, known: dict[bytes, Head | None], text: bytes) -> Head | None:
        if len(known) >= MAX_KNOWN:
            if self._hits < MAX_KNOWN:
                self._known = None
                return None
            known.clear()
            self._hits = 0
        head = known[text] = self._read(text)
        return head


class _Reader:
    """Collects what the parser finds."""

    def __init__(self) -> None:
        self.head = Head()
        self.is_whole = self.is_kept = self.is_unusual = False
        self.parser: httptools.HttpRequestParser | httptools.HttpResponseParser

    def on_url(self, url: bytes) -> None:
        self.head.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.head.headers.append((name, value))
        self.is_unusual = self.is_unusual or name in _UNUSUAL

    def on_headers_complete(self) -> None:
        self.is_whole = True
        self.is_kept = self.parser.should_keep_alive()

    def read(self, text: bytes) -> Head | None:
        try:
            self.parser.feed_data(text[:-1])
            if self.is_whole:
                return None  # it ended before
            self.parser.feed_data(text[-1:])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        lengths = [value for name, value in self.head.headers if name == b"content-length"]
        if not self.is_whole or not self.is_kept or self.is_unusual or len(lengths) != 1 or not lengths[0].isdigit():
            return None
        self.head.length = int(lengths[0])
        return self.head


def read_request(text: bytes) -> Head | None:
    """Read the head of a request; None if it is invalid or unusual."""
    reader = _Reader()
    parser = reader.parser = httptools.HttpRequestParser(reader)
    head = reader.read(text)
    if head is None or parser.get_http_version() != "1.1":
        return None
    head.method = parser.get_method()
    return head


def read_answer(text: bytes) -> Head | None:
    """Read the head of an answer; None if it is invalid or unusual."""
    reader = _Reader()
    parser = reader.parser = httptools.HttpResponseParser(reader)
    head = reader.read(text)
    if head is None or parser.get_http_version() != "1.1":
        return None
    head.status = parser.get_status_code()
    return head if head.status >= 200 and head.status not in (204, 304) else None
