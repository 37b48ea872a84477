"""The protocol between a Resolver and its index processes, over a Unix socket.

A connection carries one query and its answer. A message is its length in four bytes, then MessagePack. An answer is
complete only if it ends with ``End``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from sota.resolver.dependencies.model import Minimum, Package
from sota.resolver.index.fleet_index import Match
from sota.resolver.index.vin_pattern import VIN_LENGTH

LENGTH = 4
MAX_BYTES = 1 << 28
"""Much more than any message needs: 20,000 VINs with their packages, or all filters of a package."""

Message = TypeVar("Message")


class Look(msgspec.Struct, frozen=True, tag="look"):
    """Asks to answer from everything that was committed before."""


class Count(msgspec.Struct, frozen=True, tag="count"):
    """Asks how many vehicles match the expression, and for the names of up to ``sample`` of them."""

    expression: str
    sample: int


class Find(msgspec.Struct, frozen=True, tag="find"):
    """Asks which vehicles match all filters. ``needs`` is the part of the graph that distinguishes groups."""

    filters: list[str]
    names: list[str]
    needs: list[tuple[Package, list[Minimum]]]


class Found(msgspec.Struct, frozen=True, tag="found"):
    """Some vehicles: the VINs of each group in one text, and their common packages."""

    groups: list[tuple[bytes, list[Package]]]

    @classmethod
    def of(cls, matches: Sequence[Match]) -> Found:
        """Encode groups."""
        return cls([("".join(match.vins).encode(), list(match.packages)) for match in matches])

    def matches(self) -> list[Match]:
        """Decode them."""
        return [Match(_cut(vins.decode()), frozenset(packages)) for vins, packages in self.groups]


class Counted(msgspec.Struct, frozen=True, tag="counted"):
    """The number of vehicles, and some of their VINs."""

    count: int
    sample: list[str]


class End(msgspec.Struct, frozen=True, tag="end"):
    """The answer is complete."""


class Trouble(msgspec.Struct, frozen=True, tag="trouble"):
    """The query cannot be answered now."""

    reason: str


Question = Look | Count | Find
Answer = Found | Counted | End | Trouble
QUESTIONS: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
ANSWERS: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


async def send(writer: asyncio.StreamWriter, message: Question | Answer) -> None:
    """Send a message, and wait until the peer keeps up.

    Raises:
        ConnectionError: the peer has closed.
    """
    content = msgspec.msgpack.encode(message)
    writer.write(len(content).to_bytes(LENGTH, "big"))
    writer.write(content)
    await writer.drain()


async def receive(reader: asyncio.StreamReader, decoder: msgspec.msgpack.Decoder[Message]) -> Message:
    """Wait for a message.

    Raises:
        EOFError: the peer has closed.
        ConnectionError: likewise.
        ValueError: it is invalid.
    """
    length = int.from_bytes(await reader.readexactly(LENGTH), "big")
    if length > MAX_BYTES:
        raise ValueError(f"a message of {length} bytes")
    return decoder.decode(await reader.readexactly(length))


def _cut(vins: str) -> list[str]:
    return [vins[start : start + VIN_LENGTH] for start in range(0, len(vins), VIN_LENGTH)]
