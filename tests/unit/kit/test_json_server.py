"""The JSON server over real sockets: what it answers, in which order, and what it closes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sota.kit.errors import StartError
from sota.kit.http import json_server
from sota.kit.http.json_server import Answered, JsonServer

pytestmark = pytest.mark.anyio
Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]
MAX_BODY = 1000


class Echo:
    """Answers by target and body; a body that begins with ``wait`` is answered later."""

    def __init__(self) -> None:
        self.at_once: list[bytes] = []
        self.later: list[bytes] = []
        self.go_on = asyncio.Event()

    def __call__(self, target: bytes, content: bytes | bytearray) -> Answered | asyncio.Future[Answered]:
        if content == b"crash":
            raise RuntimeError("secret inside")
        if content.startswith(b"wait"):
            return asyncio.ensure_future(self._later(target, bytes(content)))
        self.at_once.append(bytes(content))
        return 200, target + content

    async def _later(self, target: bytes, content: bytes) -> Answered:
        await self.go_on.wait()
        self.later.append(content)
        return 200, target + content


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def server(echo: Echo) -> AsyncIterator[JsonServer]:
    made = JsonServer("test", echo, "127.0.0.1", 0, max_body=MAX_BODY)
    await made.start()
    yield made
    echo.go_on.set()
    await made.stop()


@pytest.fixture
async def wire(server: JsonServer) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    yield reader, writer
    writer.close()


def request(body: bytes, *, path: bytes = b"/rvi/a", more: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: h\r\n%bContent-Length: %d\r\n\r\n%b" % (path, more, len(body), body)


async def read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    async with asyncio.timeout(5):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head.split()[1]), await reader.readexactly(length)


async def test_answers_come_in_the_order_of_requests_that_were_sent_together(echo: Echo, wire: Wire) -> None:
    reader, writer = wire
    bodies = [b"aaaa", b"bbbb", b"wait", b"cccc", b"dddd"]
    writer.write(b"".join(request(body) for body in bodies))
    assert [await read(reader) for _ in bodies[:2]] == [(200, b"/rvi/a" + body) for body in bodies[:2]]
    assert echo.at_once == bodies[:2]
    echo.go_on.set()
    assert [await read(reader) for _ in bodies[2:]] == [(200, b"/rvi/a" + body) for body in bodies[2:]]
    assert echo.later == [b"wait"]


@pytest.mark.parametrize("more", [b"", b"X: y\r\n", b"Expect: 100-continue\r\n"])
async def test_each_request_has_its_own_target_whether_its_head_is_known_or_not(wire: Wire, more: bytes) -> None:
    reader, writer = wire
    for path in (b"/rvi/a", b"/rvi/b?x=1", b"/rvi/a"):
        writer.write(request(b"one", path=path, more=more))
        if b"Expect" in more:
            assert await reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert await read(reader) == (200, path + b"one")


@pytest.mark.parametrize("size", [1, 7, 60, 100])
async def test_request_in_pieces_is_answered_like_a_whole_one(wire: Wire, size: int) -> None:
    reader, writer = wire
    content = request(b"one") + request(b"x" * MAX_BODY)
    for at in range(0, len(content), size):
        writer.write(content[at : at + size])
        await writer.drain()
    assert [await read(reader) for _ in range(2)] == [(200, b"/rvi/aone"), (200, b"/rvi/a" + b"x" * MAX_BODY)]


async def test_handler_that_fails_costs_its_own_request_only(wire: Wire) -> None:
    reader, writer = wire
    writer.write(request(b"crash") + request(b"one"))
    assert await read(reader) == (500, b"Internal error.")
    assert await read(reader) == (200, b"/rvi/aone")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /rvi/a HTTP/1.1\r\nHost: h\r\n\r\n", 404),
        (request(b"one", more=b"Origin: http://example.com\r\n"), 403),
        (request(b"one", more=b"Content-Type: text/plain\r\n"), 415),
        (request(b"x" * (MAX_BODY + 1)), 413),
        (request(b"x" * (3 * MAX_BODY)), 413),
        (b"POST / HTTP/1.1\r\nX: " + b"x" * 100_000, 413),
    ],
)
async def test_request_that_is_refused_reaches_no_handler(echo: Echo, wire: Wire, sent: bytes, status: int) -> None:
    reader, writer = wire
    writer.write(sent)
    assert (await read(reader))[0] == status
    assert (echo.at_once, echo.later) == ([], [])


@pytest.mark.parametrize(
    "more", [b"Content-Length: 2\r\n", b"Transfer-Encoding: gzip\r\n", b"Transfer-Encoding: chunked\r\n"]
)
async def test_request_whose_length_is_doubtful_ends_the_connection(echo: Echo, wire: Wire, more: bytes) -> None:
    reader, writer = wire
    writer.write(request(b"one", more=more))
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    assert echo.at_once == []


@pytest.mark.parametrize("begun", [b"", request(b"one")[:20], request(b"one")[:-1]])
async def test_connection_that_does_not_complete_its_request_is_closed(
    wire: Wire, begun: bytes, monkeypatch: pytest.MonkeyPatch, server: JsonServer
) -> None:
    await server.stop()
    for name, value in (("SWEEP_S", 0.01), ("REQUEST_S", 0.05), ("IDLE_S", 0.05)):
        monkeypatch.setattr(json_server, name, value)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(begun)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_stopping_waits_for_the_request_under_way(echo: Echo, server: JsonServer, wire: Wire) -> None:
    reader, writer = wire
    writer.write(request(b"one") + request(b"wait"))
    assert await read(reader) == (200, b"/rvi/aone")
    stopping = asyncio.create_task(server.stop())
    await asyncio.sleep(0)
    echo.go_on.set()
    assert await read(reader) == (200, b"/rvi/await")
    await stopping


async def test_address_that_is_taken_is_said(server: JsonServer, echo: Echo) -> None:
    with pytest.raises(StartError, match="cannot listen on"):
        await JsonServer("test", echo, "127.0.0.1", server.port, max_body=1).start()
