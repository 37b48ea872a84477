"""A process that holds a part of the fleet for a Resolver: ``python -m sota.resolver.index.part``.

It gets its orders as one line of its input, follows the database, and answers over a Unix socket. It ends when its
input does, which is when its Resolver ends for whatever reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from sota.kit.errors import SotaError
from sota.kit.runtime.logging import configure
from sota.kit.runtime.program import Background
from sota.kit.sql.database import Database
from sota.resolver.dependencies.model import DependencyGraph
from sota.resolver.index import wire
from sota.resolver.index.bitmap_index import BitmapIndex
from sota.resolver.index.keeper import Keeper
from sota.resolver.index.share import Share
from sota.resolver.index.vins import warm_up
from sota.resolver.index.workers import Workers
from sota.resolver.language.parser import FilterSyntaxError, parse_rendered
from sota.resolver.settings import ResolverSettings

QUESTION_S = 30.0
SWITCH_S = 0.001


class Orders(msgspec.Struct, frozen=True):
    """The process's orders: its Resolver's settings, which part it holds, and its socket."""

    settings: ResolverSettings
    number: int
    of: int
    socket: str

    def write(self) -> bytes:
        """Encode as a line."""
        return msgspec.json.encode(self, enc_hook=str) + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Orders:
        """Decode the result of :meth:`write`."""
        return msgspec.json.decode(line, type=cls, dec_hook=_read_path)


class Part:
    """Answers queries about a part of the fleet."""

    def __init__(self, keeper: Keeper, workers: Workers, previews: Workers) -> None:
        self._keeper, self._workers, self._previews = keeper, workers, previews
        self._index = BitmapIndex(keeper, workers, previews)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one query; the caller may leave before the end."""
        with contextlib.suppress(EOFError, ConnectionError, ValueError, TimeoutError):
            async with asyncio.timeout(QUESTION_S):
                question = await wire.receive(reader, wire.QUESTIONS)
            async for message in self._messages(question):
                await wire.send(writer, message)
        writer.close()

    async def _messages(self, question: wire.Question) -> AsyncIterator[wire.Answer]:
        try:
            match question:
                case wire.Look():
                    await self._keeper.newest()
                case wire.Count(expression, sample):
                    meaning = await self._previews.run(parse_rendered, expression)
                    yield wire.Counted(*await self._index.count_and_sample(meaning, sample))
                case wire.Find(texts, names, needs):
                    filters = [await self._workers.run(parse_rendered, text) for text in texts]
                    async for matches in await self._index.matching(filters, names, DependencyGraph(dict(needs))):
                        yield await self._workers.run(wire.Found.of, matches)
            yield wire.End()
        except SotaError as error:
            yield wire.Trouble(error.detail)
        except FilterSyntaxError as error:
            yield wire.Trouble(str(error))


async def serve(orders: Orders) -> None:
    """Hold the part until the input ends or the index's task dies: then the Resolver starts another process."""
    sys.setswitchinterval(SWITCH_S)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    settings, share = orders.settings, Share(orders.number, orders.of)
    db, background = Database.of(settings), Background()
    keeping, workers, previews = Workers(1, "index"), Workers(settings.workers, "resolve"), Workers(1, "preview")
    keeper = Keeper(db, keeping, settings, share)
    kept = keeper.start(background)
    ended = background.start("input", reader.read())
    server = await asyncio.start_unix_server(Part(keeper, workers, previews).answer, orders.socket)
    await previews.run(warm_up)
    try:
        await asyncio.wait({kept, ended}, return_when=asyncio.FIRST_COMPLETED)
        if kept.done():
            kept.result()
    finally:
        server.close()
        await background.stop()
        for threads in (keeping, workers, previews):
            threads.close()
        await db.close()
    _leave(Path(orders.socket))


def _leave(socket: Path) -> None:
    """Remove the socket, and with the last one its folder: a killed Resolver leaves them."""
    socket.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        socket.parent.rmdir()


def _read_path(kind: type, value: str) -> Path:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)


if __name__ == "__main__":
    # Ctrl-C reaches all processes of a terminal: this one ends with its Resolver instead.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    given = Orders.read(sys.stdin.buffer.readline())
    configure(given.settings.log_level)
    asyncio.run(serve(given))
