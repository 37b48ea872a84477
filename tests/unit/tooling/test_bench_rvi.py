"""The ends of ``bench/rvi.py`` answer signs of life wherever they stand: the node cuts off an end that misses one."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from bench.rvi_ends import Framed, WebSocket

HELLO = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
TEXT, LONG = b"\x81\x02{}", b"\x81\x7e\x00\x80" + b"x" * 128
PING, PONG = b"\x89\x04abcd", b"\x8a\x84\0\0\0\0abcd"


class Written:
    """The far side of a protocol: keeps what is written."""

    def __init__(self) -> None:
        self.content = b""

    def write(self, content: bytes) -> None:
        self.content += content


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
def test_ping_between_texts_is_answered_and_counts_as_no_text(piece: int) -> None:
    taken: list[bytes] = []

    def take(_end: Framed, buffer: bytearray, at: int, size: int) -> None:
        taken.append(bytes(buffer[at : at + size]))

    end, written = WebSocket(take), Written()
    end.connection_made(cast("asyncio.Transport", written))
    content = HELLO + PING + TEXT + PING + LONG + PING + TEXT
    for at in range(0, len(content), piece):
        end.data_received(content[at : at + piece])
    assert taken == [HELLO, TEXT, LONG, TEXT]
    assert written.content == PONG * 3
