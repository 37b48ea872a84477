"""The difference between two recorded resolutions: both lists of both, merged in the order of VINs.

A page reads a bounded number of chunks, so it may be short, or empty, if little differs; the next page continues.
"""

from __future__ import annotations

from dataclasses import dataclass

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


async def compare(
    db: Database, workers: Workers, records: tuple[Record, Record], after: str | None, count: int
) -> tuple[list[Differing], str | None]:
    """Return the next vehicles that the two records decided differently.

    Return also the VIN after which the next page starts; None at the end.
    """
    found: list[Differing] = []
    for _ in range(WINDOWS):
        async with db.read() as tx:
            lists = [
                [await store.read_chunks(tx, record.row, kind, after, WINDOW) for kind in Kind] for record in records
            ]
        horizon = min((its[-1].last_vin for both in lists for its in both if len(its) == WINDOW), default=None)
        found += await workers.run(_compare, records, lists, (after, horizon))
        if len(found) >= count:
            more = horizon is not None or len(found) > count
            return found[:count], found[count - 1].vin if more else None
        after = horizon
        if horizon is None:
            break
    return found, after


def _compare(
    records: tuple[Record, Record], lists: list[list[list[Chunk]]], span: tuple[str | None, str | None]
) -> list[Differing]:
    before, later = (_read(record, both, span) for record, both in zip(records, lists, strict=True))
    differing = [vin for vin in before.keys() | later.keys() if before.get(vin) != later.get(vin)]
    return [Differing(vin, before.get(vin), later.get(vin)) for vin in sorted(differing)]


def _read(record: Record, both: list[list[Chunk]], span: tuple[str | None, str | None]) -> dict[str, Plan]:
    """Return the vehicles after the span's first VIN (not included) and up to its last one (included)."""
    after, horizon = span
    plans = [verdict.plan for verdict in record.content.verdicts]
    found: dict[str, Plan] = {}
    for chunk in (chunk for chunks in both for chunk in chunks):
        for vin, number in zip(*read_chunk(chunk), strict=True):
            if (after is None or vin > after) and (horizon is None or vin <= horizon):
                found[vin] = plans[number]
    return found
