"""The baseline of ``bench transfer``: bare uvloop protocols that pass the same bytes, and do nothing else.

``python -m bench.transfer_chain source PORT CONNECTIONS BLOCKS FILE`` reads a file block by block and sends each of so
many streams the next block when the one before was acknowledged; ``relay PORT TO FOLDER`` passes bytes on, both ways,
to one TLS connection for each stream (plain TCP without FOLDER's identity: ``-``); ``sink PORT FOLDER BLOCKS`` takes
them and acknowledges each block.

The bytes are those of the product: a block as it goes to the node, in base64 in JSON, and an acknowledgement's bytes
for each block back.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import time
from pathlib import Path
from typing import cast

import uvloop

from sota.kit.runtime.memory import keep_freed
from sota.rvi.credentials import Identity
from sota.rvi.link import client_context, server_context

BLOCK_BYTES = 100_000
WIRE_BYTES = 133_600
"""100,000 bytes in base64, and the rest of the message."""
ACK_BYTES = 250
ACK = b"." * ACK_BYTES


class Source(asyncio.Protocol):
    """One stream of blocks."""

    done = 0

    def __init__(self, descriptor: int, blocks: int, all_done: asyncio.Future[None], streams: int) -> None:
        self._descriptor, self._blocks, self._all_done, self._streams = descriptor, blocks, all_done, streams
        self._sent = self._acknowledged = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count acknowledgements; send the next block."""
        self._acknowledged += len(data)
        while self._sent < self._blocks and self._acknowledged >= self._sent * ACK_BYTES:
            self._send()
        if self._acknowledged >= self._blocks * ACK_BYTES:
            Source.done += 1
            if Source.done == self._streams and not self._all_done.done():
                self._all_done.set_result(None)

    def _send(self) -> None:
        self._transport.write(os.pread(self._descriptor, WIRE_BYTES, self._sent * WIRE_BYTES))
        self._sent += 1


class Half(asyncio.Protocol):
    """One end of a relayed stream."""

    def __init__(self) -> None:
        self.other: Half | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to write to."""
        self.transport = cast("asyncio.Transport", transport)

    def join(self, other: Half) -> None:
        """Pass on to this one from now on."""
        self.other = other
        for data in self._early:
            other.transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self.other is None:
            self._early.append(data)
        else:
            self.other.transport.write(data)


class Sink(asyncio.Protocol):
    """Takes blocks and acknowledges each."""

    def __init__(self) -> None:
        self._bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to write to."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Count."""
        self._bytes += len(data)
        while self._bytes >= WIRE_BYTES:
            self._bytes -= WIRE_BYTES
            self._transport.write(ACK)


async def source(port: int, streams: int, blocks: int, path: Path) -> None:
    """Send everything; print how long it took."""
    loop = asyncio.get_running_loop()
    all_done: asyncio.Future[None] = loop.create_future()
    descriptor = os.open(path, os.O_RDONLY)
    started = time.perf_counter()
    for _ in range(streams):
        await loop.create_connection(lambda: Source(descriptor, blocks, all_done, streams), "127.0.0.1", port)
    await all_done
    print(json.dumps({"blocks": streams * blocks, "seconds": time.perf_counter() - started}), flush=True)


async def relay(port: int, to: int, identity: str) -> None:
    """Join each stream that comes with one to the sink."""
    loop = asyncio.get_running_loop()
    context = client_context(Identity.read(Path(identity), time.time())) if identity != "-" else None
    waiting: list[Half] = []
    for _ in range(int(os.environ["STREAMS"])):  # their handshakes are not what is measured
        _, half = await loop.create_connection(Half, "127.0.0.1", to, ssl=context)
        waiting.append(half)

    class Arriving(Half):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            half = waiting.pop()
            self.join(half)
            half.join(self)

    await loop.create_server(Arriving, "127.0.0.1", port, backlog=1024)
    await asyncio.sleep(3600)


async def sink(port: int, identity: str) -> None:
    """Take what comes."""
    context: ssl.SSLContext | None = None
    if identity != "-":
        context = server_context(Identity.read(Path(identity), time.time()))
    await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", port, ssl=context, backlog=1024)
    await asyncio.sleep(3600)


if __name__ == "__main__":
    part, *rest = sys.argv[1:]
    keep_freed()
    if part == "source":
        uvloop.run(source(int(rest[0]), int(rest[1]), int(rest[2]), Path(rest[3])))
    elif part == "relay":
        uvloop.run(relay(int(rest[0]), int(rest[1]), rest[2]))
    else:
        uvloop.run(sink(int(rest[0]), rest[1]))
