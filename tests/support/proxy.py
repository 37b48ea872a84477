"""A TCP proxy between two programs that can hold one direction back and cut: a bad network, on purpose.

It looks at no byte: what passes may be TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
from enum import StrEnum

CHUNK = 1 << 16


class Direction(StrEnum):
    """Seen from the side that connects."""

    UP = "up"
    DOWN = "down"


class Proxy:
    """Listens on ``port`` and passes everything on to ``target``."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self._target = port, target
        self._open = {direction: asyncio.Event() for direction in Direction}
        for event in self._open.values():
            event.set()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Stop listening and end all connections."""
        if self._server is not None:
            self._server.close()
        await self.cut()

    def hold(self, direction: Direction) -> None:
        """Keep back what flows in this direction from now on; the connection stays."""
        self._open[direction].clear()

    async def cut(self) -> None:
        """End every connection, with what was kept back; new ones pass everything again."""
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for event in self._open.values():
            event.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        writers = [writer]
        try:
            onwards, back = await asyncio.open_connection("127.0.0.1", self._target)
            writers.append(back)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, back, Direction.UP))
                group.create_task(self._pump(onwards, writer, Direction.DOWN))
        except (OSError, asyncio.CancelledError):
            pass  # nobody listens there, or the connection was cut
        finally:
            self._connections.discard(task)
            for one in writers:
                one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction) -> None:
        with contextlib.suppress(OSError):
            while content := await reader.read(CHUNK):
                await self._open[direction].wait()
                writer.write(content)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
