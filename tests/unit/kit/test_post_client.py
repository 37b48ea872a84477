"""Large POSTs over few connections: in parts, in turns, after a lost connection, and no longer than is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sota.kit.errors import Unavailable
from sota.kit.http.post_client import PostClient

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


async def pipe_to(server: Server, *, timeout_s: float = 5.0, pool: int = 2) -> PostClient:
    return PostClient(f"http://127.0.0.1:{server.port}", timeout_s=timeout_s, pool=pool)


async def test_parts_arrive_as_one_body_and_the_connection_is_kept(server: Server) -> None:
    pipe = await pipe_to(server)
    for _ in range(3):
        assert await pipe.post((b"[", b"x" * 200_000, b"]")) == (200, b"{}")
    assert server.bodies == [b"[" + b"x" * 200_000 + b"]"] * 3
    assert server.connections == 1
    await pipe.close()


async def test_more_than_the_pool_wait_their_turn(server: Server) -> None:
    pipe = await pipe_to(server)
    answers = await asyncio.gather(*(pipe.post((b"%d" % number,)) for number in range(20)))
    assert len(answers) == 20
    assert server.connections == 2
    await pipe.close()


async def test_kept_connection_that_was_closed_is_replaced(server: Server) -> None:
    server.closes_after = 1
    pipe = await pipe_to(server)
    assert [await pipe.post((b"{}",)) for _ in range(3)] == [(200, b"{}")] * 3
    assert len(server.bodies) == 3
    await pipe.close()


async def test_answer_that_does_not_come_is_not_awaited_for_ever(server: Server) -> None:
    server.delay_s = 5
    pipe = await pipe_to(server, timeout_s=0.1, pool=1)
    with pytest.raises(Unavailable, match="did not answer within"):
        await pipe.post((b"{}",))
    # One of them is sent, the others wait for its turn: who of these still gets it in time is not for us to say.
    calls = [pipe.post((b"{}",)) for _ in range(5)]
    async with asyncio.timeout(5):
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(end) for end in ends] == [Unavailable] * 5
    assert not pipe.is_full
    await pipe.close()


async def test_send_needs_an_idle_connection_and_no_waiting(server: Server) -> None:
    pipe = await pipe_to(server, pool=2)
    answers: list[object] = []
    assert not pipe.send((b"0",), answers.append)
    await asyncio.gather(pipe.post((b"1",)), pipe.post((b"2",)))
    room = asyncio.Event()
    pipe.on_room = room.set
    assert [pipe.send((body,), answers.append) for body in (b"3", b"4", b"5")] == [True, True, False]
    assert pipe.is_full
    async with asyncio.timeout(5):
        await room.wait()
        assert not pipe.is_full
        while len(answers) < 2:  # noqa: ASYNC110 - the answers come by a callback
            await asyncio.sleep(0.01)
    assert answers == [(200, b"{}")] * 2
    assert sorted(server.bodies) == [b"1", b"2", b"3", b"4"]
    assert server.connections == 2
    await pipe.close()


async def test_send_over_a_connection_that_was_closed_goes_over_another_one(server: Server) -> None:
    server.closes_after = 1
    pipe = await pipe_to(server, pool=1)
    await pipe.post((b"1",))
    answers: list[object] = []
    assert pipe.send((b"2",), answers.append)
    async with asyncio.timeout(5):
        while not answers:  # noqa: ASYNC110 - the answers come by a callback
            await asyncio.sleep(0.01)
    assert answers == [(200, b"{}")]
    assert server.bodies == [b"1", b"2"]
    await pipe.close()


async def test_send_is_told_when_its_time_is_over(server: Server) -> None:
    pipe = await pipe_to(server, timeout_s=0.2, pool=1)
    await pipe.post((b"1",))
    server.delay_s = 5
    answers: list[object] = []
    assert pipe.send((b"2",), answers.append)
    await asyncio.sleep(0.4)
    assert [type(answer) for answer in answers] == [Unavailable]
    assert not pipe.is_full
    await pipe.close()


async def test_nobody_there_and_nonsense_are_unavailable(server: Server) -> None:
    server.answer = b"good morning\r\n\r\n"
    pipe = await pipe_to(server)
    with pytest.raises(Unavailable, match="not reachable"):
        await pipe.post((b"{}",))
    await pipe.close()
    nobody = PostClient("http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="not reachable"):
        await nobody.post((b"{}",))


async def test_answer_without_end_is_cut_off(server: Server) -> None:
    server.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n" + b"x" * 3_000_000
    pipe = await pipe_to(server)
    with pytest.raises(Unavailable, match="too long"):
        await pipe.post((b"{}",))
    await pipe.close()


def test_address_must_be_plain_http() -> None:
    with pytest.raises(ValueError, match="plain HTTP"):
        PostClient("https://127.0.0.1")
