"""Many large POSTs to one address, at a fraction of what :class:`~sota.kit.http_client.HttpClient` costs a call.

A body is handed over in parts, which go to the kernel as they are: a part that many bodies share (the same block for
hundreds of vehicles) is never copied. One request is under way on a connection at a time; ``pool`` bounds the
connections, and whoever finds all of them busy waits his turn within the time-out.

Rules kept here:

* an answer has 1 MiB at most, and each request, turn included, a time-out;
* a request is sent a second time only when a kept connection was closed before a byte of an answer came.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import cast
from urllib.parse import urlsplit

import httptools

from sota.kit.errors import Unavailable

MAX_ANSWER_BYTES = 1 << 20
CONNECT_TIMEOUT_S = 5.0
Answer = tuple[int, bytes]


class _Connection(asyncio.Protocol):
    """One kept connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.used = False
        self.answered = False
        self._keep = True
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._waiter: asyncio.Future[Answer] | None = None

    @property
    def is_usable(self) -> bool:
        return self._keep and not self.transport.is_closing()

    def send(self, parts: Sequence[bytes]) -> asyncio.Future[Answer]:
        self._parser, self._body = httptools.HttpResponseParser(self), b""
        self._waiter = asyncio.get_running_loop().create_future()
        self.used, self.answered = True, False
        self.transport.writelines(parts)
        return self._waiter

    def abort(self) -> None:
        self.transport.abort()

    def expire(self) -> None:
        self._fail(TimeoutError())

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.answered = True
        if self._waiter is None or self._waiter.done():
            self.abort()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._keep = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionResetError("the other side closed"))

    # httptools

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > MAX_ANSWER_BYTES:
            self._fail(ConnectionAbortedError("the answer is too long"))

    def on_message_complete(self) -> None:
        self._keep = self._keep and self._parser.should_keep_alive()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result((self._parser.get_status_code(), self._body))

    def _fail(self, error: Exception) -> None:
        self._keep = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.abort()


class HttpPipe:
    """POSTs of JSON to one path of a plain HTTP address."""

    def __init__(self, base_url: str, path: str = "/", *, timeout_s: float = 10.0, pool: int = 64) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"not a plain HTTP address: {base_url!r}")
        self._shown = base_url
        self._host, self._port = parts.hostname, parts.port or 80
        host = f"[{self._host}]" if ":" in self._host else self._host
        target = (parts.path.rstrip("/") + path) or "/"
        self._head = (
            f"POST {target} HTTP/1.1\r\nhost: {host}:{self._port}\r\ncontent-type: application/json\r\ncontent-length: "
        ).encode("ascii")
        self._timeout_s = timeout_s
        self._idle: deque[_Connection] = deque()
        self._turns = asyncio.Semaphore(pool)

    async def post(self, body: Sequence[bytes]) -> Answer:
        """Send one request; gives status and body of its answer.

        Raises:
            Unavailable: nobody listens, the connection broke, or the time is over.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_s
        if self._turns.locked():
            await self._wait_for_turn()
        else:
            await self._turns.acquire()  # at once
        connection: _Connection | None = None
        try:
            parts = (self._head + b"%d\r\n\r\n" % sum(map(len, body)), *body)
            while True:
                connection = await self._connect()
                fresh = not connection.used
                timer = loop.call_at(deadline, connection.expire)
                try:
                    return await connection.send(parts)
                except OSError:
                    # A kept connection may have been closed just now: nothing was answered, so try another one.
                    if fresh or connection.answered or loop.time() >= deadline:
                        raise
                finally:
                    timer.cancel()
        except TimeoutError:
            raise Unavailable(f"{self._shown} did not answer within {self._timeout_s:g} s.") from None
        except (OSError, httptools.HttpParserError) as error:
            raise Unavailable(f"{self._shown} is not reachable: {error}.") from None
        except BaseException:
            if connection is not None:
                connection.abort()  # its answer is still to come, and nobody wants it
            raise
        finally:
            if connection is not None and connection.is_usable:
                self._idle.append(connection)
            self._turns.release()

    async def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().abort()

    async def _wait_for_turn(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._turns.acquire()
        except TimeoutError:
            raise Unavailable(f"Too many calls to {self._shown} at once.") from None

    async def _connect(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await loop.create_connection(_Connection, self._host, self._port)
        return connection
