"""The two ends of the way that ``bench/rvi.py`` measures, and the bare chain beside it: ``python -m bench.rvi_ends``.

A process takes orders as JSON lines on its standard input and answers in JSON lines; it is one of

* the backend's side: 8 clients that send messages to their node's edge, over HTTP or WebSocket;
* the vehicle's side: a service that is called by its node, or holds WebSockets to it, and counts;
* a relay of the bare chain: takes frames, answers them, passes them on.

Ends do as little as they can, so that the nodes are measured: requests are made once and sent again and again, answers
are told by their length. Times are of the system's monotonic clock, which all processes share.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import uvloop

HEAD_END = b"\r\n\r\n"
OK_BODY = b'{"jsonrpc":"2.0","id":1,"result":{"status":0}}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n%b" % (len(OK_BODY), OK_BODY)
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Framed(asyncio.Protocol):
    """Bytes in, whole units out; ``size`` tells how long the unit at a position is, None if that cannot be said yet."""

    def __init__(self, taken: Callable[[Framed, bytearray, int, int], None]) -> None:
        self._taken = taken
        self._buffer = bytearray()
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        at = 0
        while (size := self.size(buffer, at)) is not None and at + size <= len(buffer):
            self.take(buffer, at, size)
            at += size
        if at:
            del buffer[:at]

    def size(self, buffer: bytearray, at: int) -> int | None:
        raise NotImplementedError

    def take(self, buffer: bytearray, at: int, size: int) -> None:
        self._taken(self, buffer, at, size)


class Http(Framed):
    """HTTP with Content-Length, either way."""

    def size(self, buffer: bytearray, at: int) -> int | None:
        end = buffer.find(HEAD_END, at)
        if end < 0:
            return None
        start = buffer.find(b"ontent-", at, end)
        while buffer[start + 7 : start + 14].lower() != b"length:":
            start = buffer.find(b"ontent-", start + 1, end)
            if start < 0:
                return end + 4 - at
        stop = buffer.find(b"\r", start)
        return end + 4 - at + int(buffer[start + 14 : stop])


class WebSocket(Framed):
    """Frames of a server, which are not masked; the answer to the handshake is one, too."""

    def size(self, buffer: bytearray, at: int) -> int | None:
        if len(buffer) - at < 2:
            return None
        if buffer[at] == 0x48:  # the H of HTTP
            end = buffer.find(HEAD_END, at)
            return end + 4 - at if end > 0 else None
        length = buffer[at + 1]
        if length < 126:
            return 2 + length
        if length == 126:
            return 4 + int.from_bytes(buffer[at + 2 : at + 4], "big") if len(buffer) - at >= 4 else None
        return 10 + int.from_bytes(buffer[at + 2 : at + 10], "big") if len(buffer) - at >= 10 else None

    def take(self, buffer: bytearray, at: int, size: int) -> None:
        if buffer[at] == 0x89:  # a sign of life is asked for; it may stand between any two texts
            content = buffer[at + 2 : at + size]
            self.transport.write(b"\x8a" + bytes((0x80 | len(content), 0, 0, 0, 0)) + content)
        else:
            super().take(buffer, at, size)


class Plain(Framed):
    """The bare chain's frames: four bytes of length, one of the service, the content."""

    def size(self, buffer: bytearray, at: int) -> int | None:
        return 5 + int.from_bytes(buffer[at : at + 4], "big") if len(buffer) - at >= 5 else None


KINDS: dict[str, type[Framed]] = {"http": Http, "websocket": WebSocket, "plain": Plain}
PLAIN_OK = b"\0\0\0\0\0"


def masked(content: bytes) -> bytes:
    """Make a client's text frame; with a mask of zeros, which changes nothing and costs the server the same."""
    size = len(content)
    head = b"%c" % (0x80 | size) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    if size > 65535:
        head = b"\xff" + size.to_bytes(8, "big")
    return b"\x81" + head + b"\0\0\0\0" + content


class End:
    """One process, and the orders that it carries out."""

    def __init__(self) -> None:
        self._expected = self._received = 0
        self._echo: tuple[Http, bytes] | None = None
        self._pong: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Do what the lines say until they end."""
        loop = asyncio.get_running_loop()
        lines = asyncio.StreamReader(limit=16 << 20)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            order = json.loads(line)
            say(await getattr(self, order.pop("do"))(**order))

    async def listen(self, kind: str) -> dict[str, Any]:
        """Be a service."""
        answer = PLAIN_OK if kind == "plain" else OK

        def taken(connection: Framed, _buffer: bytearray, _at: int, _size: int) -> None:
            connection.transport.write(answer)
            self._count()

        server = await asyncio.get_running_loop().create_server(lambda: KINDS[kind](taken), "127.0.0.1", 0)
        return {"port": server.sockets[0].getsockname()[1]}

    async def expect(self, count: int) -> dict[str, Any]:
        """Print a further line when this many messages have arrived."""
        self._expected, self._received = count, 0
        return {}

    async def echo(self, port: int, request: str) -> dict[str, Any]:
        """Answer every message with another message."""
        connection = await self._connect(Http, port, lambda *_: None)
        self._echo = cast("Http", connection), request.encode()
        return {}

    async def hold(self, port: int, requests: list[str]) -> dict[str, Any]:
        """Register a service on each of several WebSockets, and count what comes over them."""
        for request in requests:
            registered = asyncio.get_running_loop().create_future()
            seen = 0

            def taken(
                _c: Framed, buffer: bytearray, at: int, size: int, registered: asyncio.Future[None] = registered
            ) -> None:
                nonlocal seen
                if buffer[at] == 0x48:
                    return
                if b'"method":"message"' in buffer[at : at + min(size, 200)]:
                    self._count()
                elif not registered.done() and b'"status":0' in buffer[at : at + size]:
                    registered.set_result(None)

            connection = await self._connect(WebSocket, port, taken)
            connection.transport.write(UPGRADE)
            connection.transport.write(masked(request.encode("latin-1")))
            async with asyncio.timeout(10):
                await registered
        return {}

    async def send(self, kind: str, port: int, requests: list[str], each: int, window: int) -> dict[str, Any]:
        """Send ``each`` messages from each client, ``window`` at a time without an answer."""
        began_at = time.monotonic()
        await asyncio.gather(*(self._send(kind, port, one.encode("latin-1"), each, window) for one in requests))
        return {"began_at": began_at, "sent_at": time.monotonic()}

    async def ping(self, port: int, request: str, count: int) -> dict[str, Any]:
        """Send one message after the other, each when the answer to the last has come; return the median time."""
        connection = await self._connect(Http, port, lambda *_: None)
        times = []
        content = request.encode()
        for _ in range(count):
            self._pong = asyncio.get_running_loop().create_future()
            began_at = time.monotonic()
            connection.transport.write(content)
            async with asyncio.timeout(10):
                await self._pong
            times.append(time.monotonic() - began_at)
        self._pong = None
        return {"median_ms": statistics.median(times) * 1000}

    async def relay(self, ports: list[int], *, answered: bool) -> dict[str, Any]:
        """Be a relay: pass frames on, over one connection or over one for each service."""
        outgoing: list[Framed] = []
        waiting: list[deque[bytes]] = [deque() for _ in ports]
        busy = [False] * len(ports)

        def passed(number: int) -> None:
            if waiting[number]:
                outgoing[number].transport.write(waiting[number].popleft())
            else:
                busy[number] = False

        for number, port in enumerate(ports):
            outgoing.append(await self._connect(Plain, port, lambda *_, n=number: passed(n) if answered else None))

        def taken(connection: Framed, buffer: bytearray, at: int, size: int) -> None:
            connection.transport.write(PLAIN_OK)
            number = buffer[at + 4] % len(ports)
            frame = bytes(buffer[at : at + size])
            if answered and busy[number]:
                waiting[number].append(frame)
            else:
                busy[number] = True
                outgoing[number].transport.write(frame)

        server = await asyncio.get_running_loop().create_server(lambda: Plain(taken), "127.0.0.1", 0)
        return {"port": server.sockets[0].getsockname()[1]}

    def _count(self) -> None:
        self._received += 1
        if self._echo is not None:
            self._echo[0].transport.write(self._echo[1])
        if self._pong is not None and not self._pong.done():
            self._pong.set_result(None)
        if self._received == self._expected:
            say({"received_at": time.monotonic()})

    async def _send(self, kind: str, port: int, request: bytes, each: int, window: int) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        left, answered = each, -1 if kind == "websocket" else 0

        def taken(connection: Framed, _buffer: bytearray, _at: int, _size: int) -> None:
            nonlocal left, answered
            answered += 1
            if left > 0 and answered > 0:
                left -= 1
                connection.transport.write(request)
            if answered == each and not done.done():
                done.set_result(None)

        if kind == "websocket":
            request = masked(request)
        connection = await self._connect(KINDS[kind], port, taken)
        if kind == "websocket":
            connection.transport.write(UPGRADE)
        for _ in range(min(window, each)):
            left -= 1
            connection.transport.write(request)
        async with asyncio.timeout(120):
            await done
        connection.transport.close()

    async def _connect(self, kind: type[Framed], port: int, taken: Callable[..., None]) -> Framed:
        _, connection = await asyncio.get_running_loop().create_connection(lambda: kind(taken), "127.0.0.1", port)
        return connection


def say(answer: dict[str, Any]) -> None:
    """Write one line to the process that gave the order."""
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(End().run())
