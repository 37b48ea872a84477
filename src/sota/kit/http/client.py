"""A small HTTP/1.1 client for calls between our programs: keep-alive pool, time-outs, bounded answers, streaming both
ways.

Loopback and private networks, no proxies, no redirects, no cookies: what one program needs to call another. What counts
as an answer is in ``answer.py``. A request is sent again only when a kept connection turns out to be closed before
any answer came and the body can be repeated; everything else is the caller's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl as ssl_module
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TypedDict, Unpack
from urllib.parse import urlencode, urlsplit

from sota.kit.errors import Unavailable
from sota.kit.http.answer import BadAnswer
from sota.kit.http.connection import ClientConnection
from sota.kit.http.pool import ConnectionPool

MAX_ANSWER_BYTES = 64 << 20
MAX_UNREAD_BYTES = 1 << 18
RequestBody = bytes | AsyncIterator[bytes] | None


class Options(TypedDict, total=False):
    """What a call may say beside its method and path."""

    query: Mapping[str, str] | None
    body: RequestBody
    headers: Mapping[str, str] | None
    timeout_s: float | None


@dataclass(slots=True)
class Response:
    """A whole answer; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes


class StreamedResponse:
    """An answer whose body is read as it comes."""

    def __init__(self, exchange: _Exchange, timeout_s: float) -> None:
        self._exchange = exchange
        self._timeout_s = timeout_s
        self.status = exchange.answer.status
        self.headers = exchange.answer.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """Return the body's parts; each must come within the time-out."""
        while part := await self._exchange.more(self._timeout_s):
            yield part

    async def lines(self) -> AsyncIterator[bytes]:
        """Return the body line by line, without line ends (NDJSON)."""
        async for lines in self.line_batches():
            for line in lines:
                yield line

    async def line_batches(self) -> AsyncIterator[list[bytes]]:
        """Return the body's lines as they arrive, some at a time."""
        rest = b""
        async for part in self.chunks():
            *whole, rest = (rest + part).split(b"\n")
            if whole:
                yield whole
        if rest:
            yield [rest]

    async def read(self) -> bytes:
        """Read what is left of the body."""
        return b"".join([part async for part in self.chunks()])


class _Exchange:
    """One request and its answer, for a task that waits for them."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection, self.answer = connection, connection.answer
        self._news = asyncio.Event()
        self._was_cut_short = False
        connection.changed = lambda _: self._news.set()

    async def send(self, head: bytes, body: RequestBody, limit_s: float) -> None:
        if body is None or isinstance(body, bytes):
            self.connection.send((head, body) if body else (head,))
            return
        self.connection.send((head,))
        try:
            async for part in body:
                if part:
                    self.connection.transport.write(b"%x\r\n%b\r\n" % (len(part), part))
                # A server that refuses a long body answers before it has read it, and then reads no more.
                await self._until(lambda: not self.connection.is_writing_paused or self.answer.head_done, limit_s)
                if self.answer.head_done:
                    self._was_cut_short = True
                    return
            self.connection.transport.write(b"0\r\n\r\n")
        finally:
            if isinstance(body, AsyncGenerator):
                await body.aclose()

    async def head(self, limit_s: float) -> None:
        await self._until(lambda: self.answer.head_done, limit_s)

    async def more(self, limit_s: float) -> bytes:
        """Return the next part of the body, empty at its end."""
        await self._until(lambda: self.answer.done or self.answer.waiting_bytes, limit_s)
        return self.connection.take()

    def end(self, pool: ConnectionPool) -> None:
        if self._was_cut_short:
            self.connection.transport.abort()
        pool.put_back(self.connection)

    async def _until(self, condition: Callable[[], object], limit_s: float) -> None:
        if condition():
            return
        async with asyncio.timeout(limit_s):
            while not condition():
                if self.connection.error is not None:
                    raise self.connection.error
                self._news.clear()
                await self._news.wait()


class HttpClient:
    """Calls one base address, with a bearer token where it has one.

    ``pool`` bounds the connections at the same time; a further call waits its turn within its time-out.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        ssl: ssl_module.SSLContext | None = None,
        timeout_s: float = 30.0,
        pool: int = 16,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an address of a program: {base_url!r}")
        self.base_url = base_url.rstrip("/")
        self._pool = ConnectionPool(
            self.base_url,
            parts.hostname,
            parts.port or (443 if parts.scheme == "https" else 80),
            size=pool,
            make=lambda: ClientConnection(lambda _: None, unread_bytes=MAX_UNREAD_BYTES),
            ssl=(ssl or ssl_module.create_default_context()) if parts.scheme == "https" else None,
        )
        self._prefix = parts.path.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s

    async def request(self, method: str, path: str, **options: Unpack[Options]) -> Response:
        """Make a call and read the whole answer (64 MiB at most) within the time-out.

        Raises:
            Unavailable: no program listens, the connection broke, or the time is over.
        """
        limit = options.get("timeout_s") or self._timeout_s
        try:
            async with (
                asyncio.timeout(limit if _is_whole(options.get("body")) else None),
                self.stream(method, path, **options) as response,
            ):
                parts: list[bytes] = []
                size = 0
                async for part in response.chunks():
                    size += len(part)
                    if size > MAX_ANSWER_BYTES:
                        raise Unavailable(f"The answer of {self.base_url} is too long.")
                    parts.append(part)
                return Response(response.status, response.headers, b"".join(parts))
        except TimeoutError as error:
            raise self._pool.unavailable(error, limit) from None

    @contextlib.asynccontextmanager
    async def stream(self, method: str, path: str, **options: Unpack[Options]) -> AsyncIterator[StreamedResponse]:
        """Make a call and read its answer as it comes. The time-out holds for each step.

        Raises:
            Unavailable: no program listens, the connection broke, or the time is over.
        """
        limit, body = options.get("timeout_s") or self._timeout_s, options.get("body")
        head = self._head(method, path, options)
        exchange: _Exchange | None = None
        await self._pool.acquire(limit)
        try:
            async with asyncio.timeout(limit if _is_whole(body) else None):
                exchange = await self._exchange(head, body, limit)
            yield StreamedResponse(exchange, limit)
        except (OSError, BadAnswer) as error:
            raise self._pool.unavailable(error, limit) from None
        finally:
            if exchange is not None:
                exchange.end(self._pool)
            self._pool.release()

    async def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()

    async def _exchange(self, head: bytes, body: RequestBody, limit_s: float) -> _Exchange:
        while True:
            connection = await self._pool.connect()
            exchange = _Exchange(connection)
            try:
                await exchange.send(head, body, limit_s)
                await exchange.head(limit_s)
                return exchange
            except (OSError, BadAnswer) as error:
                connection.transport.abort()
                # A kept connection may have been closed by the server just now: nothing was answered, so try a new one.
                if not connection.may_repeat or not _is_whole(body) or isinstance(error, TimeoutError):
                    raise
            except BaseException:
                connection.transport.abort()
                raise

    def _head(self, method: str, path: str, options: Options) -> bytes:
        query, body, headers = options.get("query"), options.get("body"), options.get("headers")
        target = self._prefix + path + (f"?{urlencode(query)}" if query else "")
        host = f"[{self._pool.host}]" if ":" in self._pool.host else self._pool.host
        lines = {
            "host": f"{host}:{self._pool.port}",
            **({"authorization": f"Bearer {self._token}"} if self._token else {}),
        }
        if isinstance(body, bytes):
            lines["content-length"] = str(len(body))
        elif body is not None:
            lines["transfer-encoding"] = "chunked"
        elif method in ("POST", "PUT"):
            lines["content-length"] = "0"
        lines.update({name.lower(): value for name, value in (headers or {}).items()})
        text = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        if any(character in value for value in (target, *lines.values()) for character in "\r\n\0"):
            raise ValueError("a line break in a request's head")
        return text.encode("latin-1") + b"\r\n"


def _is_whole(body: RequestBody) -> bool:
    """Report whether a body is there as a whole, so that it can be sent again."""
    return body is None or isinstance(body, bytes)
