"""A head that was accepted once is known by its bytes: the same answers, in their order, for whatever comes after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sota.kit.http.listener import HttpListener
from sota.kit.http.protocol import KNOWN_HEADS, Direct

pytestmark = pytest.mark.anyio


class App:
    """An application with a direct route, and another that says ``other``."""

    def __init__(self) -> None:
        self.slow: list[bytes] = []
        self.quick: list[bytes] = []
        self.direct = Direct(b"/rvi/", 1000, self.answer, self.answer_at_once)

    async def answer(self, path: bytes, content: bytes) -> tuple[int, bytes]:
        self.slow.append(content)
        await asyncio.sleep(0.02)
        return 200, path + content

    def answer_at_once(self, path: bytes, content: bytes) -> tuple[int, bytes] | None:
        if content.startswith(b"wait"):
            return None
        self.quick.append(content)
        return 200, path + content

    async def __call__(self, _scope: object, _receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"other"})  # type: ignore[operator]


@pytest.fixture
async def app() -> App:
    return App()


@pytest.fixture
async def wire(app: App) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    listener = HttpListener(app, "127.0.0.1", 0)
    await listener.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    yield reader, writer
    writer.close()
    await listener.stop()


def request(body: bytes, *, path: bytes = b"/rvi/a", more: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: h\r\n%bContent-Length: %d\r\n\r\n%b" % (path, more, len(body), body)


async def read(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        return await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))


async def test_second_message_under_a_head_is_answered_at_once(
    app: App, wire: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    reader, writer = wire
    for body in (b"one", b"two", b"six"):
        writer.write(request(body))
        assert await read(reader) == b"/rvi/a" + body
    assert (app.slow, app.quick) == ([b"one"], [b"two", b"six"])


async def test_answers_come_in_the_order_of_what_was_sent_together(
    app: App, wire: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    reader, writer = wire
    writer.write(request(b"1234"))
    await read(reader)
    bodies = [b"aaaa", b"bbbb", b"wait", b"cccc", b"dddd"]
    writer.write(b"".join(request(body) for body in bodies))
    assert [await read(reader) for _ in bodies] == [b"/rvi/a" + body for body in bodies]
    assert app.quick == [b"aaaa", b"bbbb"]
    assert app.slow == [b"1234", b"wait", b"cccc", b"dddd"]


async def test_message_in_pieces_is_read_by_the_parser(
    app: App, wire: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    reader, writer = wire
    for body in (b"one", b"two"):
        whole = request(body)
        writer.write(whole[:-2])
        await asyncio.sleep(0.02)
        writer.write(whole[-2:])
        assert await read(reader) == b"/rvi/a" + body
    assert app.quick == []


@pytest.mark.parametrize("more", [b"Connection: close\r\n", b"Transfer-Encoding: gzip\r\n", b"Host: other\r\n"])
async def test_head_that_is_refused_or_ends_the_connection_is_not_known(
    app: App, wire: tuple[asyncio.StreamReader, asyncio.StreamWriter], more: bytes
) -> None:
    reader, writer = wire
    writer.write(request(b"one", more=more))
    async with asyncio.timeout(5):
        await reader.read()
    assert app.direct.known == {}


async def test_other_paths_are_answered_between_known_ones(
    app: App, wire: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    reader, writer = wire
    for path, said in ((b"/rvi/a", b"/rvi/aone"), (b"/x", b"other"), (b"/rvi/a", b"/rvi/aone"), (b"/x", b"other")):
        writer.write(request(b"one", path=path))
        assert await read(reader) == said
    assert (app.slow, app.quick) == ([b"one"], [b"one"])


async def test_heads_are_forgotten_when_there_are_too_many() -> None:
    direct = App().direct
    for number in range(KNOWN_HEADS + 1):
        direct.learn(b"POST /rvi/%d \r\n\r\n" % number, b"/rvi/", 1)
    assert len(direct.known) == 1
    direct.learn(b"POST " + b"x" * 2000, b"/rvi/", 1)
    assert len(direct.known) == 1
