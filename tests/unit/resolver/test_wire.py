"""A part's answer counts only when it is whole; truncated or malformed ones are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sota.kit.errors import Unavailable
from sota.resolver.dependencies.model import DependencyGraph, Minimum, Package
from sota.resolver.index import wire
from sota.resolver.index.fleet_index import Match
from sota.resolver.index.part import Orders
from sota.resolver.index.spread_index import SpreadIndex
from sota.resolver.language.parser import parse
from sota.resolver.settings import ResolverSettings

pytestmark = pytest.mark.anyio
GRAPH = DependencyGraph({Package("ivi", "2.0.0"): [Minimum("libtls", "1.2.0")], Package("radio", "1.0.0"): []})
MATCHES = [
    Match(["A" * 17, "B" * 17], frozenset({Package("libtls", "1.4.0"), Package("Über Navi", "v7~rc1")})),
    Match(["C" * 17], frozenset()),
]
Replies = Callable[[wire.Question], list[wire.Answer | bytes]]


@asynccontextmanager
async def answering(*parts: Replies) -> AsyncIterator[SpreadIndex]:
    """Return an index whose parts reply like this and then close the connection."""
    index = SpreadIndex(ResolverSettings(index_processes=len(parts)))
    servers = []
    for part, replies in zip(index.parts, parts, strict=True):

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, replies: Replies = replies) -> None:
            for reply in replies(await wire.receive(reader, wire.QUESTIONS)):
                if isinstance(reply, bytes):
                    writer.write(reply)
                else:
                    await wire.send(writer, reply)
            writer.close()

        servers.append(await asyncio.start_unix_server(talk, part.socket))
    yield index
    for server in servers:
        server.close()
    index.close()


def well(question: wire.Question) -> list[wire.Answer | bytes]:
    match question:
        case wire.Find():
            assert (question.filters, question.names) == (['vin_matches "^A"'], ["ivi", "libtls"])
            assert question.needs == [(Package("ivi", "2.0.0"), [Minimum("libtls", "1.2.0")])]
            return [wire.Found.of(MATCHES), wire.End()]
        case wire.Count():
            return [wire.Counted(3, ["A" * 17, "B" * 17]), wire.End()]
        case wire.Look():
            return [wire.End()]


async def find(index: SpreadIndex) -> list[Match]:
    found = await index.matching([parse("vin_matches('^A')")], ["libtls", "ivi"], GRAPH)
    return [match async for matches in found for match in matches]


async def test_questions_and_answers_arrive_as_they_went() -> None:
    async with answering(well, well) as index:
        assert await find(index) == [*MATCHES, *MATCHES]
        assert await index.count_and_sample(parse("TRUE"), 3) == (6, ["A" * 17, "B" * 17, "A" * 17])
        assert await index.is_ready()


@pytest.mark.parametrize(
    ("replies", "says"),
    [
        ([], "Part 2 of 2"),
        ([wire.Found.of(MATCHES)], "Part 2 of 2"),
        ([wire.Found.of(MATCHES), b"\0\0\0\7half"], "Part 2 of 2"),
        ([b"\xff\xff\xff\xff"], "Part 2 of 2"),
        ([b"\0\0\0\1\xc1"], "Part 2 of 2"),
        ([wire.Trouble("The index is being loaded.")], "being loaded"),
    ],
)
async def test_answer_of_a_part_that_breaks_off_is_no_answer(replies: list[wire.Answer | bytes], says: str) -> None:
    def badly(question: wire.Question) -> list[wire.Answer | bytes]:
        return replies if isinstance(question, wire.Find) else well(question)

    async with answering(well, badly) as index:
        with pytest.raises(Unavailable, match=says):
            await find(index)


async def test_index_whose_parts_are_not_there_is_not_ready() -> None:
    index = SpreadIndex(ResolverSettings(index_processes=2))
    assert not await index.is_ready()
    with pytest.raises(Unavailable, match="Part 1 of 2"):
        await index.count_and_sample(parse("TRUE"), 3)
    index.close()


def test_orders_hold_all_settings() -> None:
    settings = ResolverSettings(data=Path("/var/lib/x"), database_password_file=Path("/run/p"), workers=3)
    orders = Orders(settings, 1, 2, "/run/1.sock")
    assert Orders.read(orders.write()) == orders
