"""Implements :class:`~sota.resolver.index.fleet_index.FleetIndex` over several processes, each with a part.

Each follows the database, so what was acknowledged is seen in all of them. If one cannot answer, the whole query
fails: a part of the fleet must not be taken for all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from pathlib import Path

from sota.kit.errors import SotaError, Unavailable
from sota.kit.runtime.program import Background
from sota.resolver.dependencies.model import DependencyGraph
from sota.resolver.index import wire
from sota.resolver.index.fleet_index import Match
from sota.resolver.index.part_process import PartProcess
from sota.resolver.index.share import Share
from sota.resolver.language.expression import Expression
from sota.resolver.language.formatter import render
from sota.resolver.settings import ResolverSettings

ANSWER_S = 120.0
LOOK_S = 30.0
LOOK_INTERVAL_S = 0.05
AHEAD = 4
"""How many parts of answers wait here while one is processed: each names some ten thousand vehicles."""


class SpreadIndex:
    """The index of a Resolver whose fleet is distributed to processes."""

    def __init__(self, settings: ResolverSettings) -> None:
        # A socket's path is limited to about a hundred characters, the data folder's is not.
        self._folder = Path(tempfile.mkdtemp(prefix="sota-index-"))
        count = settings.index_processes
        self.parts = [PartProcess(settings, Share(number, count), self._folder) for number in range(count)]

    def start(self, background: Background) -> None:
        """Start the processes."""
        for part in self.parts:
            background.keep(f"resolver:index-{part.share.number + 1}", part.keep)

    def close(self) -> None:
        """Remove the sockets; the processes end with their background tasks."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def wait_ready(self) -> None:
        """Wait until every part can answer."""
        while not await self.is_ready():  # noqa: ASYNC110 - they are asked, and do not tell
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def is_ready(self) -> bool:
        """Return whether every part can answer."""
        try:
            await self._look()
        except Unavailable:
            return False
        return True

    async def matching(
        self, filters: Sequence[Expression], names: Collection[str], graph: DependencyGraph
    ) -> AsyncIterator[list[Match]]:
        """Find the vehicles that match every filter, grouped: see the interface."""
        needs = [(package, list(of_one)) for package, of_one in graph.edges_about(names)]
        question = wire.Find([render(one) for one in filters], sorted(names), needs)
        await self._look()
        return self._matching(question)

    async def count_and_sample(self, expression: Expression, sample: int) -> tuple[int, list[str]]:
        """Count vehicles and name some: see the interface."""
        question = wire.Count(render(expression), sample)
        answers = await asyncio.gather(*(_all(part, question) for part in self.parts))
        counted = [one for answer in answers for one in answer if isinstance(one, wire.Counted)]
        vins = [vin for one in counted for vin in one.sample]
        return sum(one.count for one in counted), vins[:sample]

    async def _look(self) -> None:
        async with _within(LOOK_S):
            await asyncio.gather(*(_all(part, wire.Look()) for part in self.parts))

    async def _matching(self, question: wire.Find) -> AsyncIterator[list[Match]]:
        """Read all parts at the same time, in the order of arrival."""
        queue: asyncio.Queue[list[Match] | SotaError | None] = asyncio.Queue(AHEAD)
        readers = [asyncio.create_task(_read(part, question, queue)) for part in self.parts]
        try:
            waiting = len(readers)
            while waiting:
                got = await queue.get()
                if isinstance(got, SotaError):
                    raise got
                if got is None:
                    waiting -= 1
                else:
                    yield got
        finally:  # the caller may have stopped early
            for reader in readers:
                reader.cancel()
            await asyncio.gather(*readers, return_exceptions=True)


async def _read(part: PartProcess, question: wire.Find, queue: asyncio.Queue[list[Match] | SotaError | None]) -> None:
    try:
        async with contextlib.aclosing(_ask(part, question)) as answers:
            async for answer in answers:
                if isinstance(answer, wire.Found):
                    await queue.put(answer.matches())
    except SotaError as error:
        await queue.put(error)
    else:
        await queue.put(None)


async def _all(part: PartProcess, question: wire.Question) -> list[wire.Answer]:
    return [answer async for answer in _ask(part, question)]


async def _ask(part: PartProcess, question: wire.Question) -> AsyncGenerator[wire.Answer]:
    """Return the messages of a whole answer, without its end.

    Raises:
        Unavailable: the part cannot answer, or its answer broke off.
    """
    away = Unavailable(f"Part {part.share.number + 1} of {part.share.of} of the fleet's index is away: try again.")
    try:
        reader, writer = await asyncio.open_unix_connection(part.socket)
    except OSError:
        raise away from None
    try:
        await wire.send(writer, question)
        while True:
            async with _within(ANSWER_S):
                answer = await wire.receive(reader, wire.ANSWERS)
            if isinstance(answer, wire.Trouble):
                raise Unavailable(answer.reason)
            if isinstance(answer, wire.End):
                return
            yield answer
    except (EOFError, OSError, ValueError):
        raise away from None
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unavailable("The fleet's index takes too long to answer: try again.") from None
