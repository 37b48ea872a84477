"""What a Resolver and the processes that hold its index say to each other over a Unix socket.

A connection is one question and its answer. A message is its length in four bytes, then MessagePack. An answer is whole
when it ends with ``End``: whatever else it ends with, nobody takes it for one.
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
"""Far more than any message has: 20,000 VINs with their packages, or all filters of a package."""

Message = TypeVar("Message")


class Look(msgspec.Struct, frozen=True, tag="look"):
    """Can you answer from everything that was committed before this?"""


class Count(msgspec.Struct, frozen=True, tag="count"):
    """For how many vehicles is the expression true? Name up to ``sample`` of them."""

    expression: str
    sample: int


class Find(msgspec.Struct, frozen=True, tag="find"):
    """For which vehicles are all filters true? ``needs`` is what of the graph tells groups of vehicles apart."""

    filters: list[str]
    names: list[str]
    needs: list[tuple[Package, list[Minimum]]]


class Found(msgspec.Struct, frozen=True, tag="found"):
    """Some vehicles: the VINs of each group in one text, and the packages that they have in common."""

    groups: list[tuple[bytes, list[Package]]]

    @classmethod
    def of(cls, matches: Sequence[Match]) -> Found:
        """Write groups."""
        return cls([("".join(match.vins).encode(), list(match.packages)) for match in matches])

    def matches(self) -> list[Match]:
        """Read them."""
        return [Match(_cut(vins.decode()), frozenset(packages)) for vins, packages in self.groups]


class Counted(msgspec.Struct, frozen=True, tag="counted"):
    """How many vehicles, and some of them."""

    count: int
    sample: list[str]


class End(msgspec.Struct, frozen=True, tag="end"):
    """That was all."""


class Trouble(msgspec.Struct, frozen=True, tag="trouble"):
    """It cannot be answered now."""

    reason: str


Question = Look | Count | Find
Answer = Found | Counted | End | Trouble
QUESTIONS: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
ANSWERS: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


async def send(writer: asyncio.StreamWriter, message: Question | Answer) -> None:
    """Send a message, and wait until the other end keeps up.

    Raises:
        ConnectionError: the other end is gone.
    """
    content = msgspec.msgpack.encode(message)
    writer.write(len(content).to_bytes(LENGTH, "big"))
    writer.write(content)
    await writer.drain()


async def receive(reader: asyncio.StreamReader, decoder: msgspec.msgpack.Decoder[Message]) -> Message:
    """Wait for a message.

    Raises:
        EOFError: the other end is gone.
        ConnectionError: likewise.
        ValueError: it is none.
    """
    length = int.from_bytes(await reader.readexactly(LENGTH), "big")
    if length > MAX_BYTES:
        raise ValueError(f"a message of {length} bytes")
    return decoder.decode(await reader.readexactly(length))


def _cut(vins: str) -> list[str]:
    return [vins[start : start + VIN_LENGTH] for start in range(0, len(vins), VIN_LENGTH)]
