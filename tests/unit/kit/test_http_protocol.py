"""One connection, given its bytes in pieces as a busy or encrypted socket delivers them."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from sota.kit.http.protocol import HttpProtocol

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

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    """Answer before the body is read."""
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def test_head_over_the_limit_is_refused_although_it_comes_whole() -> None:
    config = uvicorn.Config(_refuse, lifespan="off")
    config.load()
    protocol, transport = HttpProtocol(config=config, server_state=ServerState(), app_state={}), Written()
    protocol.connection_made(transport)
    protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")
    await asyncio.sleep(0.01)
    assert (transport.content.split()[1], transport.closed) == (b"431", True)
    protocol.connection_lost(None)


async def test_end_of_a_body_that_comes_after_its_answer_is_not_taken_for_a_head() -> None:
    config = uvicorn.Config(_refuse, lifespan="off")
    config.load()
    protocol, transport = HttpProtocol(config=config, server_state=ServerState(), app_state={}), Written()
    protocol.connection_made(transport)

    protocol.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % BODY_BYTES)
    await asyncio.sleep(0.01)
    protocol.data_received(b"[" * BODY_BYTES)  # TLS gives all that came while it was not asked
    assert (transport.content.count(b"HTTP/1.1 401"), transport.closed) == (1, False)

    protocol.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.sleep(0.01)
    assert transport.content.count(b"HTTP/1.1 401") == transport.content.count(b"HTTP/1.1") == 2
    protocol.connection_lost(None)
