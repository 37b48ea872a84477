"""Programs that are joined in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from sota.fleet.memory_network import MemoryNetwork
from sota.kit.errors import StartError, Unavailable
from sota.kit.http.client import Response


async def echo(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
    """Answer with what was asked."""
    message = await receive()
    headers = dict(scope["headers"])
    said = b" ".join(
        [
            scope["method"].encode(),
            scope["raw_path"],
            scope["query_string"],
            headers.get(b"authorization", b"-"),
            message["body"],
        ]
    )
    await send({"type": "http.response.start", "status": 201, "headers": [(b"x-kind", b"echo")]})
    await send({"type": "http.response.body", "body": said[:10], "more_body": True})
    await send({"type": "http.response.body", "body": said[10:]})


async def test_a_call_reaches_the_application_that_listens_on_the_port() -> None:
    memory = MemoryNetwork()
    listener = memory.listener(echo, "127.0.0.1", 9101)
    await listener.start()
    client = memory.client("http://127.0.0.1:9101/base", "word")

    answer = await client.request("PUT", "/v1/x", query={"a": "1 2"}, body=b"content")

    assert (answer.status, answer.headers) == (201, {"x-kind": "echo"})
    assert answer.body == b"PUT /base/v1/x a=1+2 Bearer word content"


async def test_two_networks_are_apart_and_a_stopped_program_is_away() -> None:
    memory, other = MemoryNetwork(), MemoryNetwork()
    listener = memory.listener(echo, "127.0.0.1", 9101)
    await listener.start()

    with pytest.raises(Unavailable, match="nothing listens"):
        await other.client("http://127.0.0.1:9101").request("GET", "/")
    with pytest.raises(StartError, match="taken"):
        await memory.listener(echo, "127.0.0.1", 9101).start()
    await listener.stop()
    with pytest.raises(Unavailable, match="nothing listens"):
        await memory.client("http://127.0.0.1:9101").request("GET", "/")


async def test_who_is_called_works_on_when_the_caller_gives_up() -> None:
    memory, done = MemoryNetwork(), asyncio.Event()

    async def slow(_method: str, _path: str, _headers: Mapping[str, str], _body: bytes) -> Response:
        await asyncio.sleep(0.05)
        done.set()
        return Response(200, {}, b"")

    memory.serve(9001, slow)

    with pytest.raises(Unavailable, match="did not answer"):
        await memory.client("http://127.0.0.1:9001").request("POST", "/", timeout_s=0.01)

    async with asyncio.timeout(5):
        await done.wait()


async def test_answers_are_not_streamed() -> None:
    with pytest.raises(Unavailable, match="not streamed"):
        async with MemoryNetwork().client("http://127.0.0.1:9001").stream("GET", "/"):
            pass
