"""The difference between two recorded resolutions: both lists of both, merged in the order of VINs.

A page reads a bounded number of chunks, so it may be short, or empty, if little differs; the next page continues.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sota.kit.sql.database import Database
from sota.resolver.dependencies.model import Plan
from sota.resolver.index.workers import Workers
from sota.resolver.recorded import store
from sota.resolver.recorded.model import Chunk, Kind
from sota.resolver.recorded.service import Record, read_chunk

WINDOW = 4
"""Chunks of each list that are compared together: some 160,000 vehicles."""

WINDOWS = 5
"""Windows that one page reads."""


@dataclass(frozen=True, slots=True)
class Differing:
    """A vehicle and its plan in each of the two; None if it passed no filter."""

    vin: str
    before: Plan | None
    after: Plan | None


@dataclass(slots=True)
class DifferencePage:
    """Some vehicles that differ; ``following`` is the VIN after which the next page starts, None at the end."""

    found: list[Differing] = field(default_factory=list)
    following: str | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """A record with its verdicts as plans."""

    record: Record
    plans: list[Plan]

    @classmethod
    def of(cls, record: Record) -> Side:
        return cls(record, [verdict.plan for verdict in record.content.verdicts])


async def compare(
    db: Database, workers: Workers, records: tuple[Record, Record], after: str | None, count: int
) -> DifferencePage:
    """Return the next vehicles that the two records decided differently."""
    before, later = Side.of(records[0]), Side.of(records[1])
    page = DifferencePage(following=after)
    for _ in range(WINDOWS):
        async with db.read() as tx:
            lists = [
                [await store.read_chunks(tx, side.record.row, kind, page.following, WINDOW) for kind in Kind]
                for side in (before, later)
            ]
        ends = [chunks[-1].last_vin for both in lists for chunks in both if len(chunks) == WINDOW]
        horizon = min(ends) if ends else None
        found = await workers.run(_compare, (before, later), lists, (page.following, horizon))
        page.found += found
        if len(page.found) >= count:
            more = horizon is not None or len(page.found) > count
            page.found = page.found[:count]
            page.following = page.found[-1].vin if more else None
            return page
        page.following = horizon
        if horizon is None:
            return page
    return page


def _compare(
    sides: tuple[Side, Side], lists: list[list[list[Chunk]]], span: tuple[str | None, str | None]
) -> list[Differing]:
    before, later = (_read(side, both, span) for side, both in zip(sides, lists, strict=True))
    differing = [vin for vin in before.keys() | later.keys() if before.get(vin) != later.get(vin)]
    return [Differing(vin, before.get(vin), later.get(vin)) for vin in sorted(differing)]


def _read(side: Side, both: list[list[Chunk]], span: tuple[str | None, str | None]) -> dict[str, Plan]:
    """Return the vehicles after the span's first VIN (not included) and up to its last one (included)."""
    after, horizon = span
    found: dict[str, Plan] = {}
    for chunk in (chunk for chunks in both for chunk in chunks):
        for vin, number in zip(*read_chunk(chunk), strict=True):
            if (after is None or vin > after) and (horizon is None or vin <= horizon):
                found[vin] = side.plans[number]
    return found
