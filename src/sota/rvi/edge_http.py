"""The HTTP/1.1 of the service edge: made for many small requests over kept connections.

Any path is the edge; only POST is answered. A request with another content type than JSON, or with an ``Origin`` (a
web page that tries to reach the node through somebody's browser), is refused. Requests of one connection are answered
in their order, one at a time; nothing more is read from it while one waits. A head that is known is not parsed again
(kit/http/heads.py), and what is left of a large body is read to where it stays.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import cast

import httptools

from sota.kit.errors import StartError
from sota.kit.http.heads import Head, KnownHeads, read_request
from sota.kit.runtime import metrics
from sota.kit.runtime.logging import get_logger
from sota.rvi.edge import Answered, Edge
from sota.rvi.settings import NodeSettings

MAX_HEAD_BYTES = 64 << 10
ENVELOPE_BYTES = 64 << 10
MAX_CONNECTIONS = 4096
IDLE_S, REQUEST_S, SWEEP_S = 600.0, 60.0, 10.0
STOP_S = 5.0
READ_BYTES, FIRST_READ_BYTES = 64 << 10, 4 << 10
ROOM_BYTES = 256 << 10
"""So much of a body is believed to come before it is there."""
CONTENT_TYPES = (b"", b"application/json", b"application/json-rpc", b"application/jsonrequest")

_REASONS = {200: b"OK", 403: b"Forbidden", 404: b"Not Found", 412: b"Precondition Failed", 413: b"Content Too Large",
            415: b"Unsupported Media Type", 500: b"Internal Server Error", 501: b"Internal Error"}  # fmt: skip
_PLAIN = {
    403: b"Web pages may not call the node.",
    404: b"Object not found. Try using POST method.",
    413: b"The request is too large.",
    415: b"The content must be JSON.",
    500: b"Internal error.",
    501: b"Batches are not supported.",
}


def read_head(text: bytes) -> Head | None:
    """Read the head of a request for the edge; None if it is none, or there is anything unusual about it."""
    head = read_request(text)
    if head is None or head.method != b"POST":
        return None
    names = dict(head.headers)
    kind = names.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return head if b"origin" not in names and kind in CONTENT_TYPES else None


_OK_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n%b"


class EdgeProtocol(asyncio.BufferedProtocol):
    """One connection of a local service."""

    def __init__(self, server: EdgeServer) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._requests: deque[tuple[int, bytes | bytearray, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._body: list[bytes | bytearray] = []
        self._room = memoryview(b"")
        self._size = self._head_size = self._length = 0
        self._status = 200
        self._content_type = b""
        self._missing = 0
        self._in_request = self._paused = False
        self._loop = asyncio.get_running_loop()
        self.changed_at = self._loop.time()

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many connections."""
        self._transport = cast("asyncio.Transport", transport)
        if not self._server.add(self):
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the connection; what it asked for is done all the same."""
        del error
        self._server.remove(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where to read to."""
        del sizehint
        if not self._missing:
            return self._server.room if self._in_request else self._server.first_room
        if not self._room:
            self._make_room(self._missing)
        return self._room

    def buffer_updated(self, count: int) -> None:
        """Take bytes; answer the requests that they complete."""
        self.changed_at = self._loop.time()
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
        """Take a request with a head that is known; gives where it ends, None if it is to be parsed."""
        found = self._server.heads.find(data, at)
        if found is None or found[0].length > self._server.max_body:
            return None
        length, start = found[0].length, found[1]
        end = start + length
        if end <= len(data):
            self._requests.append((200, data[start:end], True))
            return end
        self._in_request, self._body, self._missing = True, [], length
        self._make_room(length)
        self._room[: len(data) - start] = data[start:]
        self._collect(len(data) - start)
        return len(data)

    def _make_room(self, size: int) -> None:
        room = bytearray(min(size, ROOM_BYTES))
        self._body.append(room)
        self._room = memoryview(room)

    def _collect(self, count: int) -> None:
        """Count what came of a body whose head was known, and stands where it belongs."""
        self._room = self._room[count:]
        self._missing -= count
        if not self._missing:
            self._queue(200, keep_alive=True)

    def _queue(self, status: int, *, keep_alive: bool) -> None:
        content = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._requests.append((status, content, keep_alive))
        self._in_request, self._body, self._room, self._head_size = False, [], memoryview(b""), 0

    def _parse(self, data: bytes) -> None:
        self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as wish:
            self._take_as_it_is(data[wish.args[0] :])
        except httptools.HttpParserError:
            self.close()
        else:
            if not self._body and self._in_request and not self._size and self._head_size > MAX_HEAD_BYTES:
                self._refuse_and_close(413)

    def _take_as_it_is(self, rest: bytes) -> None:
        """Pass over a request's wish for another protocol (h2c), of which the parser leaves the body to us."""
        status, _, _ = self._requests.pop()
        self._parser = httptools.HttpRequestParser(self)
        if status != 200 or not len(rest) <= self._length <= self._server.max_body:
            self._refuse_and_close(404 if status == 200 else status)
            return
        self._in_request, self._body, self._missing = True, [], self._length
        self._make_room(self._length)
        self._room[: len(rest)] = rest
        self._collect(len(rest))

    def pause_writing(self) -> None:
        """The other side does not read its answers: stop answering."""
        self._paused = True

    def resume_writing(self) -> None:
        """Answer again."""
        self._paused = False
        self._go_on()

    # httptools

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_request = True
        self._body, self._size, self._length = [], 0, 0
        self._status, self._content_type = 200, b""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Look at the headers that matter."""
        name = name.lower()
        if name == b"content-type":
            self._content_type = value.partition(b";")[0].strip().lower()
        elif name == b"content-length" and value.isdigit():
            self._length = int(value[:20])
        elif name == b"origin":
            self._status = 403
        elif name == b"expect" and self._transport is not None and not self._requests and self._task is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_headers_complete(self) -> None:
        """Decide whether the request is one for the edge."""
        if self._parser.get_method() != b"POST":
            self._status = 404
        elif self._content_type not in CONTENT_TYPES and self._status == 200:
            self._status = 415
        if self._length > 2 * self._server.max_body:  # what is hardly too large is read to its end, for a plain answer
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

    @property
    def is_busy(self) -> bool:
        """Whether an answer is outstanding."""
        return self._task is not None or bool(self._requests)

    def is_stale(self, now: float) -> bool:
        """Say whether the connection has been silent for too long."""
        return not self.is_busy and now - self.changed_at > (REQUEST_S if self._in_request else IDLE_S)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def _go_on(self) -> None:
        while self._requests and self._task is None and not self._paused:
            status, content, keep_alive = self._requests.popleft()
            if status != 200:
                metrics.REFUSED.labels("rvi-node", f"http_{status}").inc()
                self._write((status, b""), keep_alive=keep_alive)
                continue
            answer = self._server.edge.handle(content)
            if isinstance(answer, tuple):
                self._write(answer, keep_alive=keep_alive)
            else:
                self._task = asyncio.create_task(self._answer_later(answer, keep_alive=keep_alive), name="edge:request")
        self._throttle()

    async def _answer_later(self, pending: Awaitable[Answered], *, keep_alive: bool) -> None:
        try:
            answer = await pending
        except Exception:  # the edge of the process: one request fails, the node goes on
            self._server.log.exception("edge_request_crashed")
            answer = (500, b"")
        self._task = None
        self._write(answer, keep_alive=keep_alive)
        self._go_on()
        self._server.check_idle()

    def _throttle(self) -> None:
        """Read nothing more while something waits for its answer."""
        if self._transport is None or self._transport.is_closing():
            return
        wanted = not self.is_busy and not self._paused
        if wanted and not self._transport.is_reading():
            self._transport.resume_reading()
        elif not wanted and self._transport.is_reading():
            self._transport.pause_reading()

    def _write(self, answer: Answered, *, keep_alive: bool) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        status, content = answer
        if status == 200 and keep_alive:
            self._transport.write(_OK_HEAD % (len(content), content))
            return
        kind = b"application/json"
        if not content and status != 200:
            kind, content = b"text/plain", _PLAIN.get(status, b"")
        self._transport.write(
            b"HTTP/1.1 %d %b\r\nContent-Length: %d\r\nContent-Type: %b\r\n%b\r\n%b"
            % (status, _REASONS[status], len(content), kind, b"" if keep_alive else b"Connection: close\r\n", content)
        )
        if not keep_alive:
            self._transport.close()

    def _refuse_and_close(self, status: int) -> None:
        self._requests.clear()
        self._write((status, b""), keep_alive=False)


class EdgeServer:
    """Listens for local services."""

    def __init__(self, edge: Edge, settings: NodeSettings) -> None:
        self.edge = edge
        self.max_body = settings.max_message + ENVELOPE_BYTES
        self.heads = KnownHeads(read_head)
        # One connection's at a time: what was read is dealt with before the next read.
        self.room = memoryview(bytearray(READ_BYTES))
        self.first_room = self.room[:FIRST_READ_BYTES]
        self._host, self.port = settings.host, settings.edge_port
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._connections: set[EdgeProtocol] = set()
        self._idle, self._stopping = asyncio.Event(), False
        self.log = get_logger(program="rvi-node")

    async def start(self) -> None:
        """Listen; ``port`` is then the real one.

        Raises:
            StartError: the address is taken.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: EdgeProtocol(self), self._host, self.port, backlog=1024)
        except OSError as error:
            detail = f"cannot listen on {self._host}:{self.port}: {error.strerror or error}"
            raise StartError(detail, exit_code=1) from None
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._sweeper = asyncio.create_task(self._sweep(), name="edge:sweep")

    async def stop(self) -> None:
        """Accept nothing more, let requests under way end, close."""
        if self._server is None or self._sweeper is None:
            return
        self._server.close()
        self._sweeper.cancel()
        self._stopping = True
        self.check_idle()
        try:
            async with asyncio.timeout(STOP_S):
                await self._idle.wait()
        except TimeoutError:
            self.log.warning("edge_requests_cut_off")
        for connection in list(self._connections):
            connection.close()

    def check_idle(self) -> None:
        """While stopping, note when nothing is under way any more."""
        if self._stopping and not any(connection.is_busy for connection in self._connections):
            self._idle.set()

    def add(self, connection: EdgeProtocol) -> bool:
        """Count a connection in, unless there are too many."""
        if len(self._connections) >= MAX_CONNECTIONS:
            return False
        self._connections.add(connection)
        return True

    def remove(self, connection: EdgeProtocol) -> None:
        """Count a connection out."""
        self._connections.discard(connection)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now = asyncio.get_running_loop().time()
            for connection in list(self._connections):
                if connection.is_stale(now):
                    connection.close()
