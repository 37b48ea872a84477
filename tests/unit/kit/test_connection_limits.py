"""Many connections to one listener, on real sockets: silent ones keep no other out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sota.kit.http import listener as http_listener
from sota.kit.http.connection_limits import BUSY_KEEP_ALIVE_S, KEEP_ALIVE_S, ConnectionLimits
from sota.kit.http.listener import HttpListener
from tests.support.waiting import until

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Waiting:
    """An application that answers /wait only when the test lets it."""

    def __init__(self) -> None:
        self.go_on, self.begun = asyncio.Event(), 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            self.begun += 1
            await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def listening(app: Waiting, per_address: int) -> AsyncIterator[Callable[..., Any]]:
    """Listen; return what connects, from an address of its own."""
    listener = HttpListener(app, "127.0.0.1", 0, per_address=per_address)
    await listener.start()
    opened: list[asyncio.StreamWriter] = []

    async def connect(address: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port, local_addr=(address, 0))
        opened.append(writer)
        return reader, writer

    try:
        yield connect
    finally:
        app.go_on.set()
        for writer in opened:
            writer.close()
        await listener.stop()


async def ask(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes = REQUEST) -> int:
    """Ask over a connection; return the status, 0 where it is closed."""
    reader, writer = connection
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0
    return int(head.split()[1])


async def test_address_keeps_so_many_connections_and_the_oldest_quiet_one_gives_way() -> None:
    async with listening(Waiting(), 8) as connect:
        connections = []
        for _ in range(30):
            connections.append(await connect())
            assert await ask(connections[-1]) == 200
        assert await ask(await connect("127.0.0.2")) == 200
        assert [await ask(one) for one in connections] == [0] * 22 + [200] * 8


async def test_connection_that_waits_for_its_answer_is_not_closed_for_another() -> None:
    app = Waiting()
    async with listening(app, 2) as connect:
        waiting = [await connect(), await connect()]
        answers = [asyncio.create_task(ask(one, REQUEST.replace(b"/", b"/wait", 1))) for one in waiting]

        async def both_begun() -> bool:
            return app.begun == 2

        await until(both_begun, "both requests are begun")
        assert await ask(await connect()) == 0
        app.go_on.set()
        assert await asyncio.gather(*answers) == [200, 200]
        assert await ask(await connect()) == 200


async def test_full_listener_makes_room_at_the_address_that_has_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_listener, "MAX_CONNECTIONS", 20)
    async with listening(Waiting(), 0) as connect:
        other = await connect("127.0.0.2")
        assert await ask(other) == 200
        many = []
        for _ in range(60):
            many.append(await connect())
            assert await ask(many[-1]) == 200
        assert await ask(other) == 200
        assert await ask(await connect("127.0.0.3")) == 200
        assert [await ask(one) for one in many].count(200) == 18


async def test_crowded_listener_keeps_quiet_connections_for_a_shorter_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_listener, "MAX_CONNECTIONS", 4)
    made: list[ConnectionLimits] = []

    class Watched(ConnectionLimits):
        def __init__(self, most: int, per_address: int) -> None:
            super().__init__(most, per_address)
            made.append(self)

    monkeypatch.setattr(http_listener, "ConnectionLimits", Watched)
    async with listening(Waiting(), 0) as connect:
        (limits,) = made
        assert await ask(await connect()) == 200
        assert limits.keep_alive_s == KEEP_ALIVE_S
        second = await connect()
        assert await ask(second) == 200
        assert limits.keep_alive_s == BUSY_KEEP_ALIVE_S
        second[1].close()

        async def calm() -> bool:
            return limits.keep_alive_s == KEEP_ALIVE_S

        await until(calm, "the connection is forgotten")
