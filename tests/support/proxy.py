"""A TCP proxy between two programs: a bad network, on purpose.

It looks at no byte, since what passes may be TLS. By hand it holds one direction back and cuts; by itself, as its
:class:`Weather` says, it delays, throttles, cuts, flips bits and lets segments change places. The dice are seeded, but
what passes comes as the machine's load lets it: the same seed is the same weather, not the same run.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from enum import StrEnum

CHUNK = 1 << 16
WAITING_SEGMENTS = 64


class Direction(StrEnum):
    """Seen from the side that connects."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Weather:
    """The faults that a proxy causes. Bytes are counted over all connections, in both directions.

    ``delay_s`` and up to ``jitter_s`` more pass before a segment goes on; their order stays. ``bytes_per_s`` holds for
    each connection and direction. A bit is flipped once in ``flip_every`` bytes. A connection is cut after
    ``cut_every`` bytes on average, until there were ``cuts`` in all. Of ``reorder``, a share, of the segments each
    changes place with the one after it, which TCP never does: who receives it must notice.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: int = 0
    flip_every: int = 0
    cut_every: int = 0
    cuts: int = 0
    reorder: float = 0.0


class _Connection:
    """What is left of one connection's life, and how its two directions end it."""

    def __init__(self, lasts_bytes: float) -> None:
        self.left = lasts_bytes


class Proxy:
    """Listens on ``port`` and forwards to ``target``. ``cut_count`` and ``flip_count`` count its faults."""

    def __init__(self, port: int, target: int, weather: Weather | None = None, *, seed: int = 1) -> None:
        self.port, self._target = port, target
        self.weather = weather or Weather()
        self._dice = random.Random(seed)
        self._open = {direction: asyncio.Event() for direction in Direction}
        for event in self._open.values():
            event.set()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._until_flip = self._next_flip()
        self.cut_count = self.flip_count = self.reorder_count = self.bytes = 0

    @property
    def is_listening(self) -> bool:
        """Whether connections are taken."""
        return self._server is not None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)

    async def stop(self) -> None:
        """Stop listening and end all connections."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self.cut()

    def hold(self, direction: Direction) -> None:
        """Hold back the bytes of this direction from now on; the connection stays open."""
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
        connection = _Connection(self._lifetime())
        try:
            onwards, back = await asyncio.open_connection("127.0.0.1", self._target)
            writers.append(back)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(connection, reader, back, Direction.UP))
                group.create_task(self._pump(connection, onwards, writer, Direction.DOWN))
        except (OSError, asyncio.CancelledError, ExceptionGroup):
            pass  # nothing listens there, or the connection was cut
        finally:
            self._connections.discard(task)
            for one in writers:
                one.transport.abort()

    async def _pump(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: Direction
    ) -> None:
        """Read segments, keep each for as long as it takes, write it. The end is passed on behind the last one."""
        segments: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING_SEGMENTS)
        writing = asyncio.create_task(self._write(segments, writer, direction))
        try:
            with contextlib.suppress(OSError):
                while content := await reader.read(CHUNK):
                    await segments.put((self._due(), self._spoil(content)))
                    if self._is_to_be_cut(connection, len(content)):
                        await asyncio.wait([writing], timeout=0.01)  # some of it gets through, as with a real cut
                        raise ConnectionAbortedError
            await segments.put((self._due(), b""))
            await writing
        finally:
            writing.cancel()

    async def _write(
        self, segments: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, direction: Direction
    ) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            is_last = False
            while not is_last:
                due, content = await segments.get()
                is_last = not content
                if content and self._dice.random() < self.weather.reorder:
                    later, after = await segments.get()
                    due = max(due, later)
                    content = after + content
                    self.reorder_count += 1 if after else 0
                    is_last = not after
                await asyncio.sleep(max(0.0, due - loop.time()))
                await self._open[direction].wait()
                writer.write(content)
                await writer.drain()
                if self.weather.bytes_per_s:
                    await asyncio.sleep(len(content) / self.weather.bytes_per_s)
            writer.write_eof()

    def _due(self) -> float:
        weather = self.weather
        return asyncio.get_running_loop().time() + weather.delay_s + weather.jitter_s * self._dice.random()

    def _spoil(self, content: bytes) -> bytes:
        self.bytes += len(content)
        if not self.weather.flip_every:
            return content
        spoilt = bytearray(content)
        at = self._until_flip
        while at < len(spoilt):
            spoilt[at] ^= 1 << self._dice.randrange(8)
            self.flip_count += 1
            at += self._next_flip()
        self._until_flip = at - len(spoilt)
        return bytes(spoilt)

    def _next_flip(self) -> int:
        every = self.weather.flip_every
        return self._dice.randrange(every // 2, every + every // 2) if every > 1 else 1

    def _lifetime(self) -> float:
        return self._dice.expovariate(1 / self.weather.cut_every) if self.weather.cut_every else float("inf")

    def _is_to_be_cut(self, connection: _Connection, size: int) -> bool:
        connection.left -= size
        if connection.left > 0 or self.cut_count >= self.weather.cuts:
            return False
        self.cut_count += 1
        return True
