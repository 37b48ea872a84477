"""An HTTP/1.1 server for JSON requests over kept connections: a node's service edge, and the callbacks of programs.

It is made for many small requests. It knows no rows and no ASGI: a function takes target and body, and returns status
and body. Rules kept here:

* only POST is answered; another content type than JSON is refused, and so is a request with an ``Origin`` (a web page
  that tries to reach a program through a browser);
* head and body are bounded; a request must arrive whole within :data:`REQUEST_S`, and an answer must be read as fast;
* the requests of one connection are answered in order, one at a time; while one waits, nothing more is read;
* a head that is known is not parsed again (``heads.py``), and a large body is read to where it stays.

>>> server = JsonServer("rvi-node", lambda target, body: (200, body), "127.0.0.1", 0, max_body=1000)  # doctest: +SKIP
>>> await server.start()                                                                              # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import cast

import httptools

from sota.kit.http.heads import Head, KnownHeads, read_request
from sota.kit.http.local_server import InOrder, LocalServer
from sota.kit.runtime import metrics
from sota.kit.runtime.logging import get_logger

MAX_HEAD_BYTES = 64 << 10
IDLE_S, REQUEST_S, SWEEP_S = 600.0, 60.0, 10.0
STOP_S = 5.0
READ_BYTES, FIRST_READ_BYTES = 64 << 10, 4 << 10
PART_BYTES = 256 << 10
"""The most memory that is reserved for a body before its bytes arrive."""
CONTENT_TYPES = (b"", b"application/json", b"application/json-rpc", b"application/jsonrequest")

Request = tuple[int, bytes, bytes | bytearray, bool]
"""Status, target and body of a request that waits, and whether the connection is kept after it."""
Answered = tuple[int, bytes]
Handle = Callable[[bytes, bytes | bytearray], Answered | Awaitable[Answered]]
"""Answers a request, given its target and body: at once where there is nothing to wait for."""

_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
_REASONS |= {413: b"Content Too Large", 501: b"Internal Error"}  # 501 in the words of rvi_core
_PLAIN = {
    403: b"Web pages may not call this address.",
    404: b"Object not found. Try using POST method.",
    413: b"The request is too large.",
    415: b"The content must be JSON.",
    500: b"Internal error.",
    501: b"Batches are not supported.",
}
_OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n%b"


def read_head(text: bytes) -> Head | None:
    """Read the head of a request; None if it is invalid or unusual, or the request is to be refused."""
    head = read_request(text)
    if head is None or head.method != b"POST":
        return None
    names = dict(head.headers)
    kind = names.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return head if b"origin" not in names and kind in CONTENT_TYPES else None


class JsonConnection(InOrder[Request], asyncio.BufferedProtocol):
    """One connection of a caller."""

    def __init__(self, server: JsonServer) -> None:
        super().__init__()
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._target = self._content_type = b""
        self._body: list[bytes | bytearray] = []
        self._room = memoryview(b"")
        self._size = self._head_size = self._length = self._missing = 0
        self._status = 200
        self._in_request = False

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._server.add(self):
            self._transport.abort()

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection; its requests are completed all the same."""
        self._server.connections.discard(self)

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Return the memory to read to."""
        if not self._missing:
            return self._server.room if self._in_request else self._server.first_room
        if not self._room:
            self._make_room(self._missing)
        return self._room

    def buffer_updated(self, count: int) -> None:
        """Take bytes; answer the requests that they complete."""
        if not self._in_request:
            self._changed_at = self._loop.time()
        if self._missing:
            self._collect(count)
        else:
            self._take(bytes(self._server.room[:count]))
        self._go_on()

    def _take(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not self._in_request:
            begun = self._begin(data, at)
            if begun is None:
                break
            at = begun
        if at < len(data):
            self._parse(data[at:] if at else data)

    def _begin(self, data: bytes, at: int) -> int | None:
        """Take a request with a known head; returns where it ends, None if the parser must read it."""
        found = self._server.heads.find(data, at)
        if found is None or found[0].length > self._server.max_body:
            return None
        head, start = found
        end = start + head.length
        if end <= len(data):
            self._requests.append((200, head.target, data[start:end], True))
            return end
        self._target = head.target
        self._expect_body(head.length, data[start:])
        return len(data)

    def _expect_body(self, length: int, begun: bytes) -> None:
        """Read the rest of a body to where it stays; ``begun`` is the part that came with its head."""
        self._in_request, self._body, self._missing = True, [], length
        self._make_room(length)
        self._room[: len(begun)] = begun
        self._collect(len(begun))

    def _make_room(self, size: int) -> None:
        room = bytearray(min(size, PART_BYTES))
        self._body.append(room)
        self._room = memoryview(room)

    def _collect(self, count: int) -> None:
        self._room = self._room[count:]
        self._missing -= count
        if not self._missing:
            self._queue(200, keep_alive=True)

    def _queue(self, status: int, *, keep_alive: bool) -> None:
        content = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._requests.append((status, self._target, content, keep_alive))
        self._in_request, self._body, self._room, self._head_size = False, [], memoryview(b""), 0

    def _parse(self, data: bytes) -> None:
        self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as wish:
            self._ignore_upgrade(data[wish.args[0] :])
        except httptools.HttpParserError:
            self.close()
        else:
            if not self._body and self._in_request and not self._size and self._head_size > MAX_HEAD_BYTES:
                self._refuse_and_close(413)

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Answer a request that asks for another protocol (h2c) as HTTP/1.1; the parser leaves its body to us."""
        status, _, _, _ = self._requests.pop()
        self._parser = httptools.HttpRequestParser(self)
        if status != 200 or not len(rest) <= self._length <= self._server.max_body:
            self._refuse_and_close(404 if status == 200 else status)
            return
        self._expect_body(self._length, rest)

    # httptools

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._in_request = True
        self._body, self._size, self._length = [], 0, 0
        self._status, self._target, self._content_type = 200, b"", b""

    def on_url(self, url: bytes) -> None:
        """Keep the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Look at the headers that matter."""
        name = name.lower()
        if name == b"content-type":
            self._content_type = value.partition(b";")[0].strip().lower()
        elif name == b"content-length" and value.isdigit():
            self._length = int(value[:20])
        elif name == b"origin":
            self._status = 403
        elif name == b"expect" and not self.is_busy:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_headers_complete(self) -> None:
        """Decide whether the request is answered here."""
        if self._parser.get_method() != b"POST":
            self._status = 404
        elif self._content_type not in CONTENT_TYPES and self._status == 200:
            self._status = 415
        if self._length > 2 * self._server.max_body:  # a body that is hardly too large is read, for a plain answer
            self._refuse_and_close(413)

    def on_body(self, body: bytes) -> None:
        """Collect the body, up to its limit."""
        self._size += len(body)
        if self._size <= self._server.max_body:
            self._body.append(body)
        else:
            self._status = 413
            self._body.clear()
            if self._size > 2 * self._server.max_body:
                self._refuse_and_close(413)

    def on_message_complete(self) -> None:
        """Queue the request."""
        self._queue(self._status, keep_alive=self._parser.should_keep_alive())

    # Answers

    def tick(self, now: float) -> None:
        """Close the connection if it was idle, or its request or the reading of its answer took, for too long."""
        limit_s = REQUEST_S if self._paused or self._in_request else IDLE_S
        if (self._paused or not self.is_busy) and now - self._changed_at > limit_s:
            self.close()

    def close(self) -> None:
        """End the connection; an answer that is not read in time is given up."""
        if self._paused:
            self._transport.abort()
        else:
            self._transport.close()

    def _answer(self, request: Request) -> Awaitable[None] | None:
        status, target, content, keep_alive = request
        answer: Answered | Awaitable[Answered] = (status, b"")
        if status == 200:
            try:
                answer = self._server.handle(target, content)
            except Exception:  # noqa: BLE001 - the edge of the process: one request fails, the program goes on
                answer = self._server.crashed()
        else:
            metrics.REFUSED.labels(self._server.program, f"http_{status}").inc()
        if not isinstance(answer, tuple):
            return self._answer_later(answer, keep_alive=keep_alive)
        self._write(answer, keep_alive=keep_alive)
        return None

    async def _answer_later(self, pending: Awaitable[Answered], *, keep_alive: bool) -> None:
        try:
            answer = await pending
        except Exception:  # noqa: BLE001 - as in _answer
            answer = self._server.crashed()
        self._write(answer, keep_alive=keep_alive)

    def _write(self, answer: Answered, *, keep_alive: bool) -> None:
        if self._transport.is_closing():
            return
        status, content = answer
        if status == 200 and keep_alive:
            self._transport.write(_OK_HEAD % (len(content), content))
            return
        kind = b"application/json"
        if not content and status != 200:
            kind, content = b"text/plain", _PLAIN.get(status, b"")
        close, reason = b"" if keep_alive else b"Connection: close\r\n", _REASONS.get(status, b"Answer")
        head = b"HTTP/1.1 %d %b\r\nContent-Length: %d\r\nContent-Type: %b\r\n%b\r\n"
        self._transport.write(head % (status, reason, len(content), kind, close) + content)
        if not keep_alive:
            self._transport.close()

    def _refuse_and_close(self, status: int) -> None:
        self._requests.clear()
        self._write((status, b""), keep_alive=False)


class JsonServer(LocalServer[JsonConnection]):
    """Answers each request by ``handle``; a body may have ``max_body`` bytes."""

    def __init__(self, program: str, handle: Handle, host: str, port: int, *, max_body: int) -> None:
        super().__init__(host, port)
        self.program, self.handle, self.max_body = program, handle, max_body
        self.heads = KnownHeads(read_head)
        # One connection's at a time: what was read is dealt with before the next read.
        self.room = memoryview(bytearray(READ_BYTES))
        self.first_room = self.room[:FIRST_READ_BYTES]
        self._log = get_logger(program=program)

    async def start(self) -> None:
        """Listen: see :meth:`LocalServer.listen`."""
        await self.listen(lambda: JsonConnection(self), SWEEP_S)

    async def _settle(self) -> None:
        try:
            async with asyncio.timeout(STOP_S):
                while running := [one.task for one in self.connections if one.task is not None]:
                    await asyncio.wait(running)
        except TimeoutError:
            self._log.warning("json_requests_cut_off")

    def crashed(self) -> Answered:
        """Log the exception that is handled now; returns the answer to its request."""
        self._log.exception("json_request_crashed")
        return 500, b""
