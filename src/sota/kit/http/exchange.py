"""One request to an ASGI application and its answer: what the application awaits as ``receive`` and ``send``.

Rules kept here:

* a body is read no faster than the application takes it;
* an answer without a stated length is sent in chunks, or ends with the connection for HTTP/1.0;
* an answer that does not keep to its length, or is not completed, ends the connection;
* after the caller has gone, ``receive`` says so and ``send`` does nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

Scope = Mapping[str, Any]  # ASGI's words: strings, bytes, lists, pairs
SentMessage = Mapping[str, Any]  # the same
ReceivedMessage = dict[str, Any]  # the same
UNREAD_BYTES = 64 << 10
NO_BODY = frozenset({204, 304})
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii") for status in HTTPStatus}


def status_line(status: int) -> bytes:
    """Return an answer's first line."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


class Wire(Protocol):
    """The connection of an exchange."""

    def write(self, content: bytes) -> None:
        """Send bytes."""

    async def drain(self) -> None:
        """Wait until the caller has read enough of what was sent."""

    def pause_reading(self) -> None:
        """Read nothing more from the caller."""

    def resume_reading(self) -> None:
        """Read again."""

    def answered(self, exchange: Exchange) -> None:
        """Note that the answer is complete."""


class Exchange:
    """A request whose head has come; ``keep`` says whether the connection may be used after it."""

    def __init__(self, wire: Wire, scope: Scope, *, keep: bool, expects_continue: bool) -> None:
        self.scope, self.keep = scope, keep
        self.is_whole = self.is_started = self.is_answered = self.is_gone = False
        self._wire, self._expects_continue = wire, expects_continue
        self._parts: list[bytes] = []
        self._unread = 0
        self._was_taken = False
        self._news = asyncio.Event()
        self._head = b""
        self._left: int | None = None
        self._is_chunked = self._has_no_body = False

    # The connection's side

    def feed(self, body: bytes) -> None:
        """Keep a part of the body until the application takes it."""
        if self.is_answered:
            return
        self._parts.append(body)
        self._unread += len(body)
        if self._unread > UNREAD_BYTES:
            self._wire.pause_reading()
        self._news.set()

    def complete(self) -> None:
        """Note that the request is whole."""
        self.is_whole = True
        self._news.set()

    def leave(self) -> None:
        """Note that the caller has gone."""
        self.is_gone = True
        self._news.set()

    # The application's side

    async def receive(self) -> ReceivedMessage:
        """Return the next part of the body; after it, wait until the caller goes or the answer is complete."""
        if self._expects_continue and not self.is_started and not self.is_gone:
            self._expects_continue = False
            self._wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self.is_gone and not self.is_answered:
            if self._parts or (self.is_whole and not self._was_taken):
                body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
                self._parts, self._unread, self._was_taken = [], 0, self.is_whole
                self._wire.resume_reading()
                return {"type": "http.request", "body": body, "more_body": not self.is_whole}
            self._news.clear()
            await self._news.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: SentMessage) -> None:
        """Send the head of the answer, or a part of its body.

        Raises:
            RuntimeError: the answer is complete, or longer than it said.
        """
        await self._wire.drain()
        if self.is_gone:
            return
        if message["type"] == "http.response.start":
            self._start(message)
            return
        if not self.is_started or self.is_answered:
            raise RuntimeError("a part of a body before its head, or after its end")
        body: bytes = message.get("body", b"")
        is_last = not message.get("more_body", False)
        self._write_body(b"" if self._has_no_body else body, is_last=is_last)
        if is_last:
            self.is_answered = True
            self.keep = self.keep and not self._left
            self._news.set()
            self._wire.answered(self)

    def _start(self, message: SentMessage) -> None:
        if self.is_started:
            raise RuntimeError("a second head")
        self.is_started = True
        status: int = message["status"]
        lines = [status_line(status)]
        for name, value in message["headers"]:
            lines.append(b"%b: %b\r\n" % (name, value))
            if name == b"content-length":
                self._left = int(value)
            elif name == b"connection" and value.lower() == b"close":
                self.keep = False
        self._has_no_body = self.scope["method"] == "HEAD" or status in NO_BODY
        if self._has_no_body:
            self._left = None
        elif self._left is None and self.scope["http_version"] == "1.1":
            self._is_chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        elif self._left is None:
            self.keep = False
        if not self.keep:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        self._head = b"".join(lines)
        if self._is_chunked or self._left is None:  # its first part may be a long time coming
            self._write_body(b"", is_last=False)

    def _write_body(self, body: bytes, *, is_last: bool) -> None:
        head, self._head = self._head, b""
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0:
                raise RuntimeError("the answer is longer than its content-length")
        elif self._is_chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"0\r\n\r\n" if is_last else b"")
        if head or body:
            self._wire.write(head + body if head else body)
