"""One connection: its bytes in pieces, as a busy or encrypted socket delivers them, and exchanges over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sota.kit.http.asgi_connection import AsgiConnection, Receive, Send
from sota.kit.http.connection_limits import ConnectionLimits
from sota.kit.http.exchange import Scope
from sota.kit.http.listener import HttpListener
from tests.support.raw_http import RawConnection, say

pytestmark = pytest.mark.anyio

BODY_BYTES = 300_000


class Written(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.content, self.closed = b"", False

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.content += bytes(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def is_reading(self) -> bool:
        return True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answer before the body is read."""
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def test_head_over_the_limit_is_refused_although_it_comes_whole() -> None:
    protocol, transport = AsgiConnection(_refuse, ConnectionLimits(10, 0), set()), Written()
    protocol.connection_made(transport)
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")
    await asyncio.sleep(0.01)
    assert (transport.content.split()[1], transport.closed) == (b"431", True)
    protocol.connection_lost(None)


async def test_end_of_a_body_that_comes_after_its_answer_is_not_taken_for_a_head() -> None:
    protocol, transport = AsgiConnection(_refuse, ConnectionLimits(10, 0), set()), Written()
    protocol.connection_made(transport)

    protocol.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % BODY_BYTES)
    await asyncio.sleep(0.01)
    protocol.data_received(b"[" * BODY_BYTES)  # TLS gives all that came while it was not asked
    assert (transport.content.count(b"HTTP/1.1 401"), transport.closed) == (1, False)

    protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0.01)
    assert transport.content.count(b"HTTP/1.1 401") == transport.content.count(b"HTTP/1.1") == 2
    protocol.connection_lost(None)


class Application:
    """An application that answers by its path; what it was asked is in ``bodies``."""

    def __init__(self) -> None:
        self.go_on, self.begun = asyncio.Event(), asyncio.Event()
        self.bodies: list[bytes] = []
        self.ends: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answers = {"/chunks": self.in_chunks, "/short": self.short, "/long": self.long, "/wait": self.wait}
        if scope["path"] == "/crash":
            raise RuntimeError("secret inside")
        await answers.get(scope["path"], self.echo)(receive, send)

    async def echo(self, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        self.bodies.append(body)
        await answer(send, body, b"%d" % len(body))

    async def in_chunks(self, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one", b"", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    async def short(self, _receive: Receive, send: Send) -> None:
        await answer(send, b"one", b"100")

    async def long(self, _receive: Receive, send: Send) -> None:
        await answer(send, b"one", b"1")

    async def wait(self, receive: Receive, send: Send) -> None:
        await receive()
        self.begun.set()
        gone = asyncio.create_task(self._watch(receive))
        await self.go_on.wait()
        await answer(send, b"waited", b"6")
        await gone

    async def _watch(self, receive: Receive) -> None:
        self.ends.append((await receive())["type"])
        self.go_on.set()


async def answer(send: Send, body: bytes, length: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def app() -> Application:
    return Application()


@pytest.fixture
async def listener(app: Application) -> AsyncIterator[HttpListener]:
    listening = HttpListener(app, "127.0.0.1", 0)
    await listening.start()
    yield listening
    app.go_on.set()
    await listening.stop()


def get(path: bytes, more: bytes = b"", method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    return b"%b %b HTTP/%b\r\nHost: x\r\n%b\r\n" % (method, path, version, more)


LAST = b"Connection: close\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
EMPTY_LAST = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
BAD = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "heard"),
    [
        (get(b"/") + get(b"/chunks") + get(b"/", LAST), EMPTY + CHUNKS + EMPTY_LAST),
        (get(b"/", version=b"1.0"), EMPTY_LAST),
        (get(b"/chunks", version=b"1.0"), b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nonetwo"),
        (get(b"/chunks", LAST, method=b"HEAD"), b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"),
        (get(b"/short") + get(b"/"), b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\none"),
        (get(b"/long") + get(b"/"), b""),
        (get(b"/", b"Upgrade: h2c\r\nConnection: Upgrade\r\n") + get(b"/"), EMPTY_LAST),
        (
            get(b"/") + b"nonsense\r\n\r\n",
            b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        ),
    ],
)
async def test_what_is_sent_is_answered_in_order_until_the_connection_ends(
    listener: HttpListener, sent: bytes, heard: bytes
) -> None:
    assert (await say(listener.port, sent)).content == heard


async def test_application_that_crashes_costs_its_request_and_its_connection(listener: HttpListener) -> None:
    heard = await say(listener.port, get(b"/crash") + get(b"/"))
    assert (heard.status, heard.answers, heard.was_closed) == (500, 1, True)
    assert b"secret" not in heard.content


async def test_caller_that_waits_to_send_its_body_is_told_to_go_on(app: Application, listener: HttpListener) -> None:
    connection = await RawConnection.open(listener.port)
    await connection.send(get(b"/", b"Content-Length: 3\r\nExpect: 100-continue\r\n" + LAST, method=b"POST"))
    assert (await connection.listen(0.2)).content == b"HTTP/1.1 100 Continue\r\n\r\n"
    await connection.send(b"one")
    heard = await connection.listen(5.0)
    assert (heard.content[25:40], heard.was_closed, app.bodies) == (b"HTTP/1.1 200 OK", True, [b"one"])
    connection.close()


async def test_large_body_arrives_whole_although_the_application_takes_it_slowly(
    app: Application, listener: HttpListener
) -> None:
    body = bytes(range(256)) * 8192
    await say(listener.port, get(b"/", b"Content-Length: %d\r\n" % len(body) + LAST, method=b"POST") + body)
    assert app.bodies == [body]


async def test_application_hears_that_its_caller_has_gone(app: Application, listener: HttpListener) -> None:
    connection = await RawConnection.open(listener.port)
    await connection.send(get(b"/wait"))
    async with asyncio.timeout(5):
        await app.begun.wait()
        connection.close()
        await app.go_on.wait()
    assert app.ends == ["http.disconnect"]


async def test_stopping_waits_for_the_request_under_way_and_takes_no_other(
    app: Application, listener: HttpListener
) -> None:
    busy, quiet = await RawConnection.open(listener.port), await RawConnection.open(listener.port)
    await busy.send(get(b"/wait") + get(b"/"))
    async with asyncio.timeout(5):
        await app.begun.wait()
        stopping = asyncio.create_task(listener.stop())
        assert (await quiet.listen(5.0)).was_closed
        app.go_on.set()
        await stopping
    heard = await busy.listen(5.0)
    assert (heard.answers, heard.content[-6:], heard.was_closed) == (1, b"waited", True)
    busy.close()
    quiet.close()
