"""Many large POSTs to one address, at a fraction of what :class:`~sota.kit.http.client.HttpClient` costs a call.

A body is passed in parts, which go to the kernel unchanged: a part that many bodies share (the same block for hundreds
of vehicles) is never copied. A connection carries one request at a time and ``pool`` bounds the connections; a caller
that finds all of them busy waits within its time-out.

Rules kept here:

* an answer has 1 MiB at most, and each request a time-out;
* a request is sent a second time only when a kept connection was closed before a byte of an answer came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

from sota.kit.http.answer import BadAnswer
from sota.kit.http.connection import ClientConnection
from sota.kit.http.heads import KnownHeads, read_answer
from sota.kit.http.pool import ConnectionPool

MAX_ANSWER_BYTES = 1 << 20
SEND_BUFFER_BYTES = 512 << 10  # a block goes to the kernel in one piece
Answer = tuple[int, bytes]


class PostClient:
    """POSTs of JSON to one path of a plain HTTP address."""

    def __init__(self, base_url: str, path: str = "/", *, timeout_s: float = 10.0, pool: int = 64) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"not a plain HTTP address: {base_url!r}")
        port = parts.port or 80
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        target = (parts.path.rstrip("/") + path) or "/"
        self._head = (
            f"POST {target} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\ncontent-length: "
        ).encode("ascii")
        self._timeout_s = timeout_s
        self._heads = KnownHeads(read_answer)
        self._pool = ConnectionPool(base_url, parts.hostname, port, size=pool, make=self._make)
        self._busy: set[ClientConnection] = set()

    async def post(self, body: Sequence[bytes]) -> Answer:
        """Send one request; returns status and body of its answer.

        Raises:
            Unavailable: no program listens, the connection broke, or the time is over.
        """
        parts = (b"%b%d\r\n\r\n" % (self._head, sum(map(len, body))), *body)
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        await self._pool.acquire(self._timeout_s)
        try:
            while True:
                connection = await self._pool.connect()
                try:
                    return await self._exchange(connection, parts, deadline)
                except (OSError, BadAnswer) as error:
                    if not connection.may_repeat or isinstance(error, TimeoutError):
                        raise
        except (OSError, BadAnswer) as error:
            raise self._pool.unavailable(error, self._timeout_s) from None
        finally:
            self._pool.release()

    async def close(self) -> None:
        """Close all connections; a request under way has no answer."""
        self._pool.close()
        for connection in self._busy:
            connection.transport.abort()

    def _make(self) -> ClientConnection:
        return ClientConnection(
            lambda _: None, limit=MAX_ANSWER_BYTES, heads=self._heads, send_buffer_bytes=SEND_BUFFER_BYTES
        )

    async def _exchange(self, connection: ClientConnection, parts: Sequence[bytes], deadline: float) -> Answer:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def changed(connection: ClientConnection) -> None:
            if (connection.answer.done or connection.error is not None) and not waiter.done():
                waiter.set_result(None)

        connection.changed = changed
        timer = loop.call_at(deadline, connection.fail, TimeoutError())
        self._busy.add(connection)
        try:
            connection.send(parts)
            await waiter
            if connection.error is not None:
                raise connection.error
            return connection.answer.status, connection.take()
        finally:
            timer.cancel()
            self._busy.discard(connection)
            self._pool.put_back(connection)
