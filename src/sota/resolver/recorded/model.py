"""A recorded resolution: the chosen vehicles with the plan of each, and the excluded ones with the reason.

Rules kept here:

* both lists are sorted by VIN and cut into chunks of ten thousand: a VIN is in one chunk of each list at most;
* a vehicle is stored as its 17 bytes and the number of its verdict; each distinct verdict is stored once;
* a frozen record changes in one way only: an erased VIN is removed, and counted.

No I/O here.

>>> sheet = Sheet()
>>> sheet.add([Decision(["B" * 17, "A" * 17], Planned((Package("ivi", "2.1.0"),)))])
>>> [chunk.read()[0] for chunk in sheet.chunks(Kind.CHOSEN)]
[['AAAAAAAAAAAAAAAAA', 'BBBBBBBBBBBBBBBBB']]
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sota.resolver.dependencies.model import LeftOut, Minimum, Package, Plan, Planned
from sota.resolver.resolution.model import Decision

VIN_BYTES = 17
CHUNK = 10_000
MAX_VEHICLES = 20_000_000
"""Limit of vehicles in one recorded resolution: some 700 MB of memory while it is written."""


class Kind(IntEnum):
    """Which list of a resolution."""

    CHOSEN = 0
    LEFT_OUT = 1


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """The common result of some vehicles: the packages that they get, or the reason why they get none."""

    packages: tuple[Package, ...] = ()
    code: str | None = None
    reason: str | None = None
    count: int = 0

    @classmethod
    def of(cls, plan: Plan, count: int) -> Verdict:
        """Store a plan."""
        if isinstance(plan, Planned):
            return cls(packages=plan.packages, count=count)
        return cls(code=plan.code, reason=plan.reason, count=count)

    @property
    def plan(self) -> Plan:
        """The stored plan."""
        if self.code is None:
            return Planned(self.packages)
        return LeftOut(self.code, self.reason or "")


class Content(msgspec.Struct, frozen=True):
    """What a resolution was based on at the time, and its verdicts by number."""

    filters: list[tuple[str, str]]
    needs: list[tuple[Package, list[Minimum]]]
    verdicts: list[Verdict]

    def pack(self) -> bytes:
        """Encode as compressed JSON."""
        return zlib.compress(msgspec.json.encode(self), 6)

    @classmethod
    def unpack(cls, packed: bytes) -> Content:
        """Decode the result of :meth:`pack`."""
        return msgspec.json.decode(zlib.decompress(packed), type=cls)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Up to ten thousand vehicles of a list sorted by VIN: VINs and verdicts' numbers, compressed."""

    kind: Kind
    number: int
    first_vin: str
    last_vin: str
    count: int
    vins: bytes
    verdicts: bytes

    @property
    def name(self) -> str:
        """Its name in the log."""
        return f"{self.kind.name.lower()} {self.number}, {self.first_vin} to {self.last_vin}"

    @classmethod
    def of(cls, kind: Kind, number: int, vins: NDArray[Any], verdicts: NDArray[np.uint32]) -> Chunk:
        """Compress; the VINs are sorted, and at least one. (Any: numpy has no type for VINs.)"""
        packed = zlib.compress(vins.tobytes(), 1), zlib.compress(verdicts.astype("<u4").tobytes(), 1)
        return cls(kind, number, vins[0].decode(), vins[-1].decode(), len(vins), *packed)

    def read(self) -> tuple[list[str], list[int]]:
        """Return the VINs, and the number of each one's verdict."""
        vins = np.frombuffer(zlib.decompress(self.vins), dtype=f"S{VIN_BYTES}")
        verdicts = np.frombuffer(zlib.decompress(self.verdicts), dtype="<u4")
        return vins.astype(f"U{VIN_BYTES}").tolist(), verdicts.tolist()

    def without(self, vin: str) -> Chunk | None:
        """Remove a VIN; None if it is not in the chunk. The last VIN leaves an empty chunk."""
        vins = np.frombuffer(zlib.decompress(self.vins), dtype=f"S{VIN_BYTES}")
        verdicts = np.frombuffer(zlib.decompress(self.verdicts), dtype="<u4")
        kept = vins != vin.encode()
        if bool(kept.all()):
            return None
        if not bool(kept.any()):
            return Chunk(self.kind, self.number, "", "", 0, zlib.compress(b""), zlib.compress(b""))
        return Chunk.of(self.kind, self.number, vins[kept], verdicts[kept])


@dataclass(slots=True)
class Sheet:
    """Collects the decisions of a resolve."""

    verdicts: dict[Plan, int] = field(default_factory=dict)
    counts: list[int] = field(default_factory=list)
    total: int = 0
    _parts: dict[Kind, list[tuple[bytes, int]]] = field(default_factory=lambda: {kind: [] for kind in Kind})

    def add(self, decisions: Sequence[Decision]) -> None:
        """Add some decisions."""
        for decision in decisions:
            number = self.verdicts.setdefault(decision.plan, len(self.verdicts))
            if number == len(self.counts):
                self.counts.append(0)
            self.counts[number] += len(decision.vins)
            self.total += len(decision.vins)
            kind = Kind.LEFT_OUT if isinstance(decision.plan, LeftOut) else Kind.CHOSEN
            self._parts[kind].append(("".join(decision.vins).encode(), number))

    def chunks(self, kind: Kind) -> Iterator[Chunk]:
        """Return a list sorted by VIN, chunk by chunk."""
        parts = self._parts[kind]
        if not parts:
            return
        vins = np.frombuffer(b"".join(part for part, _number in parts), dtype=f"S{VIN_BYTES}")
        sizes = [len(part) // VIN_BYTES for part, _number in parts]
        verdicts = np.repeat(np.array([number for _part, number in parts], dtype=np.uint32), sizes)
        order = np.argsort(vins, kind="stable")
        for number, start in enumerate(range(0, len(order), CHUNK)):
            some = order[start : start + CHUNK]
            yield Chunk.of(kind, number, vins[some], verdicts[some])

    def total_of(self, kind: Kind) -> int:
        """How many vehicles are on a list."""
        return sum(len(part) // VIN_BYTES for part, _number in self._parts[kind])

    def sum_up(self) -> list[Verdict]:
        """Return the verdicts by number."""
        return [Verdict.of(plan, count) for plan, count in zip(self.verdicts, self.counts, strict=True)]


def regroup(vins: Sequence[str], numbers: Sequence[int], verdicts: Sequence[Verdict]) -> list[Decision]:
    """Turn a chunk's content into decisions again, grouped by verdict."""
    groups: dict[int, list[str]] = {}
    for vin, number in zip(vins, numbers, strict=True):
        groups.setdefault(number, []).append(vin)
    return [Decision(some, verdicts[number].plan) for number, some in groups.items()]
