"""One HTTP/1.1 connection of an ASGI application, with the limits of a server that has no proxy before it.

Rules kept here:

* a request's head must arrive whole in time, and is bounded; so is the first one of a connection that says nothing;
* a request names one host, and its body comes in one piece or in plain chunks (the parser refuses two lengths, and a
  length that is not a number);
* requests that came together are answered in order, one at a time; while one waits, nothing more is read;
* a caller whose request was answered before its body was read may go on sending for a moment, and is then cut off;
* a caller that does not read its answer is cut off too: what it does not read would stay in our memory;
* if there are too many connections, a quiet one is closed (``connection_limits.py``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import cast
from urllib.parse import unquote

import httptools

from sota.kit.http.connection_limits import ConnectionLimits
from sota.kit.http.exchange import Exchange, ReceivedMessage, Scope, SentMessage, status_line
from sota.kit.runtime.logging import get_logger

HEAD_TIMEOUT_S = 20.0
MAX_HEAD_BYTES = 64 << 10
MAX_HEADERS = 100
LINGER_S = 10.0  # for what is still sent to a request that is answered, and for what a closed connection has to write
WRITE_TIMEOUT_S = 60.0  # to take what waits beyond the transport's high-water mark
BAD_REQUEST, TOO_LARGE = 400, 431
CRASHED = b'{"type":"about:blank","title":"Internal Server Error","status":500}'

Receive = Callable[[], Awaitable[ReceivedMessage]]
Send = Callable[[SentMessage], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class AsgiConnection(asyncio.Protocol):
    """A connection that cannot be held open by doing nothing."""

    def __init__(self, app: AsgiApp, limits: ConnectionLimits, tasks: set[asyncio.Task[None]]) -> None:
        """Prepare; the tasks that answer are added to ``tasks`` while they run."""
        self._app, self._limits, self._tasks = app, limits, tasks
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._waiting: deque[Exchange] = deque()
        self._running: Exchange | None = None
        self._arriving: Exchange | None = None
        """The request whose body has not come whole."""
        self._writable: asyncio.Event | None = None
        self._in_head = self._is_stopping = self._is_ended = False
        self._head_bytes = 0
        self._refused_as = BAD_REQUEST
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._ends: dict[str, object] = {}
        self._address = ""

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, if there is room."""
        self._transport = cast("asyncio.Transport", transport)
        client, server = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._ends = {
            "client": client[:2] if client else None,
            "server": server[:2] if server else None,
            "scheme": "https" if transport.get_extra_info("sslcontext") else "http",
        }
        self._address = str(client[0]) if client else ""
        self._arm("head", HEAD_TIMEOUT_S)
        self._limits.add(self, self._address)

    def connection_lost(self, _error: Exception | None) -> None:
        """Notify the application that its caller has gone."""
        for name in list(self._timers):
            self._disarm(name)
        self._limits.remove(self, self._address)
        for exchange in {self._running, self._arriving, *self._waiting} - {None}:
            cast(Exchange, exchange).leave()
        self._waiting.clear()
        if self._writable is not None:
            self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        if self._transport.is_closing() or self._is_ended:
            return
        self._disarm("idle")
        was_in_head = self._in_head or self.is_quiet
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._end_after_answers()  # what follows is not HTTP
        except httptools.HttpParserError:
            self._refuse(self._refused_as)
        if self._transport.is_closing():
            self._arm("close", LINGER_S)
        elif self._in_head or self.is_quiet:  # quiet: line breaks before a request end the wait for it, and begin none
            self._arm("head", HEAD_TIMEOUT_S)
            # The end of a body that nothing waited for is no part of the next request's head.
            self._head_bytes += len(data) if was_in_head else 0
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(TOO_LARGE)

    def pause_writing(self) -> None:
        """Let the application wait: the caller does not read as fast as it writes."""
        self._writable = asyncio.Event()
        self._arm("write", WRITE_TIMEOUT_S)

    def resume_writing(self) -> None:
        """Go on writing."""
        self._disarm("write")
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    # httptools

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._in_head = True
        self._url, self._headers = b"", []

    def on_url(self, url: bytes) -> None:
        """Keep the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are passed over."""
        if self._in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Check the head, and have the request answered."""
        self._in_head, self._head_bytes = False, 0
        self._disarm("head")
        version = self._parser.get_http_version()
        expects_continue = self._check_head(is_old=version != "1.1")
        target = httptools.parse_url(self._url)
        path = target.path.decode("ascii")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "method": self._parser.get_method().decode("ascii"),
            "path": unquote(path),
            "raw_path": target.path,
            "query_string": target.query or b"",
            "root_path": "",
            "headers": self._headers,
            **self._ends,
        }
        keep = version == "1.1" and self._parser.should_keep_alive() and not self._is_stopping
        self._arriving = Exchange(self, scope, keep=keep, expects_continue=expects_continue)
        self._waiting.append(self._arriving)
        if self._running is None:
            self._answer_next()
        else:
            self.pause_reading()

    def _check_head(self, *, is_old: bool) -> bool:
        """Refuse a head that two readers could read differently; return whether the caller waits to send its body."""
        hosts, size, expects_continue = 0, len(self._url), False
        for name, value in self._headers:
            hosts += name == b"host"
            size += len(name) + len(value)
            if name == b"transfer-encoding" and (is_old or value.strip().lower() != b"chunked"):
                raise ValueError("a body in a form that is not read here")
            if name == b"expect" and value.lower() == b"100-continue":
                expects_continue = True
        if len(self._headers) > MAX_HEADERS or size > MAX_HEAD_BYTES:  # in one piece: nothing has counted it yet
            self._refused_as = TOO_LARGE
            raise ValueError("too large a head")
        if hosts > 1 or (hosts == 0 and not is_old):
            raise ValueError("not one host")
        return expects_continue

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on."""
        if self._arriving is not None:
            self._arriving.feed(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._disarm("linger")
        exchange, self._arriving = self._arriving, None
        if exchange is not None:
            exchange.complete()

    # Answers

    @property
    def is_quiet(self) -> bool:
        """Whether no caller waits here: the connection is between requests, or a head is still arriving."""
        return self._running is None and self._arriving is None and not self._waiting

    def write(self, content: bytes) -> None:
        """Send bytes."""
        self._transport.write(content)

    async def drain(self) -> None:
        """Wait until the caller has read enough of what was sent."""
        if self._writable is not None:
            await self._writable.wait()

    def pause_reading(self) -> None:
        """Read nothing more from the caller."""
        if self._transport.is_reading() and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again, unless a request waits for its turn."""
        if not self._waiting and not self._transport.is_closing() and not self._transport.is_reading():
            self._transport.resume_reading()

    def answered(self, exchange: Exchange) -> None:
        """Go on with the next request, or wait for one."""
        if exchange is not self._running:
            return
        self._running = None
        if not exchange.keep or self._is_stopping:
            self.close()
        elif self._waiting:
            self._answer_next()
        elif self._arriving is not None:
            self._arm("linger", LINGER_S)
        else:
            self._arm("idle", self._limits.keep_alive_s)
        self.resume_reading()

    def _answer_next(self) -> None:
        self._running = self._waiting.popleft()
        task = self._loop.create_task(self._answer(self._running))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, exchange: Exchange) -> None:
        try:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except Exception:  # noqa: BLE001 - the edge of the process: one request fails, the program goes on
            get_logger().exception("application_crashed")
        if exchange.is_answered or exchange.is_gone:
            return
        exchange.keep = False
        if exchange.is_started:
            self.close()
            return
        length = (b"content-length", b"%d" % len(CRASHED))
        headers = [(b"content-type", b"application/problem+json"), length]
        await exchange.send({"type": "http.response.start", "status": 500, "headers": headers})
        await exchange.send({"type": "http.response.body", "body": CRASHED})

    # Ends

    def stop(self) -> None:
        """Close when the request under way is answered."""
        self._is_stopping = True
        if self._running is None:
            self.close()
        elif not self._running.is_started:
            self._running.keep = False

    def close(self) -> None:
        """End the connection when what was written is sent, but soon."""
        self._transport.close()
        self._arm("close", LINGER_S)

    def cut_off(self) -> None:
        """End the connection now, without a word."""
        self._transport.abort()

    def _end_after_answers(self) -> None:
        last = self._waiting[-1] if self._waiting else self._running
        self._is_ended = True
        if last is None:
            self.close()
        else:
            last.keep = False

    def _refuse(self, status: int) -> None:
        self._transport.write(status_line(status) + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.close()

    def _arm(self, name: str, after_s: float) -> None:
        if name not in self._timers:  # a caller that sends a little does not extend its time
            self._timers[name] = self._loop.call_later(after_s, self._cut, name)

    def _disarm(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _cut(self, name: str) -> None:
        self._timers.pop(name, None)
        if name in ("write", "close") or (name == "idle" and self._transport.get_write_buffer_size() > 0):
            self._transport.abort()
        else:
            self.close()
