"""A small HTTP/1.1 client for calls between our programs: keep-alive pool, time-outs, bounded answers, streaming both
ways.

Loopback and private networks, no proxies, no redirects, no cookies: what one program needs to call another. The
parser is httptools. A request is sent again only when a kept connection turns out to be closed before any answer came
and the body can be repeated; everything else is the caller's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl as ssl_module
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import httptools

from sota.kit.errors import Unavailable

MAX_ANSWER_BYTES = 64 << 20
CONNECT_TIMEOUT_S = 5.0
RequestBody = bytes | AsyncIterator[bytes] | None


@dataclass(slots=True)
class Response:
    """A whole answer; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class _Answer:
    """Collects what httptools reads."""

    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[str] = field(default_factory=list)
    parts: deque[bytes] = field(default_factory=deque)
    size: int = 0
    head_done: bool = False
    done: bool = False
    keep_alive: bool = False
    parser: httptools.HttpResponseParser | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        if key in self.headers:  # several set-cookie headers must stay apart; others are joined as RFC 9110 5.3 says
            joint = "\n" if key == "set-cookie" else ", "
            self.headers[key] += joint + value.decode("latin-1")
        else:
            self.headers[key] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.head_done = True

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)
        self.size += len(body)

    def on_message_complete(self) -> None:
        self.done = True
        # Asked for later, the parser says no: it has already begun to wait for the next message.
        self.keep_alive = self.parser is not None and self.parser.should_keep_alive()


class StreamedResponse:
    """An answer whose body is read as it comes."""

    def __init__(self, connection: _Connection, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self.status = connection.status
        self.headers = connection.answer.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body's parts; each must come within the time-out."""
        answer = self._connection.answer
        while True:
            while answer.parts:
                yield answer.parts.popleft()
            if answer.done:
                return
            async with asyncio.timeout(self._timeout_s):
                await self._connection.read_more()

    async def lines(self) -> AsyncIterator[bytes]:
        """Give the body line by line, without line ends (NDJSON)."""
        async for lines in self.line_batches():
            for line in lines:
                yield line

    async def line_batches(self) -> AsyncIterator[list[bytes]]:
        """Give the body's lines as they arrive, some at a time."""
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


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.answer = _Answer()
        self.parser = httptools.HttpResponseParser(self.answer)
        self.used = self.was_cut_short = False

    @property
    def status(self) -> int:
        return self.parser.get_status_code()

    def begin(self) -> None:
        self.answer = _Answer()
        self.parser = self.answer.parser = httptools.HttpResponseParser(self.answer)

    async def send(self, head: bytes, body: RequestBody) -> None:
        if body is None or isinstance(body, bytes):
            self.writer.write(head + (body or b""))  # one write: two small ones would wait for each other's ACK
        else:
            self.writer.write(head)
            await self._send_parts(body)
        await self.writer.drain()

    async def _send_parts(self, body: AsyncIterator[bytes]) -> None:
        # Whoever refuses a long body says so before he has read it, and will not listen for ever.
        answering = asyncio.create_task(self.read_head())
        try:
            async for part in body:
                if answering.done():
                    self.was_cut_short = True
                    break
                if part:
                    self.writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                    await self.writer.drain()
            else:
                self.writer.write(b"0\r\n\r\n")
            await answering
        except OSError:
            if not self.answer.head_done:
                raise
            self.was_cut_short = True
        finally:
            answering.cancel()
            if isinstance(body, AsyncGenerator):
                await body.aclose()

    async def read_head(self) -> None:
        while not self.answer.head_done:
            await self.read_more()

    async def read_more(self) -> None:
        data = await self.reader.read(1 << 18)
        if not data:
            raise ConnectionResetError("the other side closed")
        self.parser.feed_data(data)

    @property
    def reusable(self) -> bool:
        whole = self.answer.done and not self.was_cut_short
        return whole and self.answer.keep_alive and not self.reader.at_eof()

    def close(self) -> None:
        with contextlib.suppress(RuntimeError, OSError):
            self.writer.close()


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
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._prefix = parts.path.rstrip("/")
        self._ssl = (ssl or ssl_module.create_default_context()) if parts.scheme == "https" else None
        self._token = token
        self._timeout_s = timeout_s
        self._idle: list[_Connection] = []
        self._slots = asyncio.Semaphore(pool)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: RequestBody = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Response:
        """Make a call and read the whole answer (64 MiB at most).

        Raises:
            Unavailable: nobody listens, the connection broke, or the time is over.
        """
        async with self.stream(method, path, query=query, body=body, headers=headers, timeout_s=timeout_s) as response:
            parts: list[bytes] = []
            size = 0
            async for part in response.chunks():
                size += len(part)
                if size > MAX_ANSWER_BYTES:
                    raise Unavailable(f"The answer of {self.base_url} is too long.")
                parts.append(part)
            return Response(response.status, response.headers, b"".join(parts))

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: RequestBody = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> AsyncIterator[StreamedResponse]:
        """Make a call and read its answer as it comes. The time-out holds for each step.

        Raises:
            Unavailable: nobody listens, the connection broke, or the time is over.
        """
        limit = timeout_s or self._timeout_s
        head = self._head(method, path, query, body, headers)
        connection: _Connection | None = None
        await self._wait_for_turn(limit)
        try:
            async with asyncio.timeout(limit if body is None or isinstance(body, bytes) else None):
                connection = await self._exchange(head, body)
            yield StreamedResponse(connection, limit)
        except TimeoutError:
            raise Unavailable(f"{self.base_url} did not answer within {limit:g} s.") from None
        except (OSError, httptools.HttpParserError) as error:
            raise Unavailable(f"{self.base_url} is not reachable: {error}.") from None
        finally:
            if connection is not None:
                if connection.reusable:
                    self._idle.append(connection)
                else:
                    connection.close()
            self._slots.release()

    async def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def _wait_for_turn(self, limit_s: float) -> None:
        if not self._slots.locked():
            await self._slots.acquire()  # at once
            return
        try:
            async with asyncio.timeout(limit_s):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable(f"Too many calls to {self.base_url} at once.") from None

    async def _exchange(self, head: bytes, body: RequestBody) -> _Connection:
        while True:
            connection = await self._connect()
            fresh = not connection.used
            connection.used = True
            connection.begin()
            try:
                await connection.send(head, body)
                await connection.read_head()
                return connection
            except (OSError, httptools.HttpParserError):
                connection.close()
                # A kept connection may have been closed by the server just now: nothing was answered, so try a new one.
                if fresh or connection.answer.head_done or not (body is None or isinstance(body, bytes)):
                    raise
            except BaseException:
                connection.close()
                raise

    async def _connect(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.reader.at_eof():
                return connection
            connection.close()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            streams = await asyncio.open_connection(self._host, self._port, ssl=self._ssl, limit=1 << 18)
        return _Connection(*streams)

    def _head(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: RequestBody,
        headers: Mapping[str, str] | None,
    ) -> bytes:
        target = self._prefix + path + (f"?{urlencode(query)}" if query else "")
        host = f"[{self._host}]" if ":" in self._host else self._host
        lines = {"host": f"{host}:{self._port}", **({"authorization": f"Bearer {self._token}"} if self._token else {})}
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
