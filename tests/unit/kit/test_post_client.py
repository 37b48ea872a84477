"""Large POSTs over few connections: in parts, in turns, after a lost connection, and no longer than is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sota.kit.errors import Unavailable
from sota.kit.http.post_client import PostClient
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


class Server:
    """An HTTP server of a few lines, which says what a test tells it to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.connections = 0
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
        self.closes_after = 1_000_000
        self.delay_s = 0.0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            for _ in range(self.closes_after):
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
                await asyncio.sleep(self.delay_s)
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()


async def client_of(server: Server, *, timeout_s: float = 5.0, pool: int = 2) -> PostClient:
    return PostClient(f"http://127.0.0.1:{server.port}", timeout_s=timeout_s, pool=pool)


async def test_parts_arrive_as_one_body_and_the_connection_is_kept(server: Server) -> None:
    client = await client_of(server)
    for _ in range(3):
        assert await client.post((b"[", b"x" * 200_000, b"]")) == (200, b"{}")
    assert server.bodies == [b"[" + b"x" * 200_000 + b"]"] * 3
    assert server.connections == 1
    await client.close()


async def test_more_than_the_pool_wait_their_turn(server: Server) -> None:
    client = await client_of(server)
    answers = await asyncio.gather(*(client.post((b"%d" % number,)) for number in range(20)))
    assert len(answers) == 20
    assert server.connections == 2
    await client.close()


async def test_kept_connection_that_was_closed_is_replaced(server: Server) -> None:
    server.closes_after = 1
    client = await client_of(server)
    assert [await client.post((b"{}",)) for _ in range(3)] == [(200, b"{}")] * 3
    assert len(server.bodies) == 3
    await client.close()


async def test_answer_that_does_not_come_is_not_awaited_indefinitely(server: Server) -> None:
    server.delay_s = 5
    client = await client_of(server, timeout_s=0.1, pool=1)
    with pytest.raises(Unavailable, match="did not answer within"):
        await client.post((b"{}",))
    # One of them is sent, the others wait for its turn: who of these still gets it in time is not for us to say.
    calls = [client.post((b"{}",)) for _ in range(5)]
    async with asyncio.timeout(5):
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(end) for end in ends] == [Unavailable] * 5
    await client.close()


async def test_call_that_is_cancelled_gives_its_turn_back_and_ends_its_connection(server: Server) -> None:
    client = await client_of(server, pool=1)
    server.delay_s = 5
    call = asyncio.create_task(client.post((b"1",)))
    await until(lambda: _has(server, 1), "the request has come")
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    server.delay_s = 0
    assert await client.post((b"2",)) == (200, b"{}")
    assert server.connections == 2
    await client.close()


async def _has(server: Server, count: int) -> bool:
    return len(server.bodies) == count


async def test_absence_and_nonsense_are_unavailable(server: Server) -> None:
    server.answer = b"good morning\r\n\r\n"
    client = await client_of(server)
    with pytest.raises(Unavailable, match="not reachable"):
        await client.post((b"{}",))
    await client.close()
    absent = PostClient("http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="not reachable"):
        await absent.post((b"{}",))


async def test_answer_without_end_is_cut_off(server: Server) -> None:
    server.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n" + b"x" * 3_000_000
    client = await client_of(server)
    with pytest.raises(Unavailable, match="too long"):
        await client.post((b"{}",))
    await client.close()


def test_address_must_be_plain_http() -> None:
    with pytest.raises(ValueError, match="plain HTTP"):
        PostClient("https://127.0.0.1")
