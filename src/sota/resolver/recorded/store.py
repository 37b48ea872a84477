"""SQL of recorded resolutions. A record counts once its row has a completion time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sota.kit.sql.database import Tx
from sota.kit.sql.statements import AnyRow
from sota.resolver.dependencies.model import Package
from sota.resolver.recorded.model import Chunk, Kind
from sota.resolver.tables import erasure, resolution, resolution_chunk


@dataclass(frozen=True, slots=True)
class RecordRow:
    """A record without its lists; ``content`` is packed, and empty until the record is complete."""

    id: UUID
    attempt: UUID
    package: Package
    begun_at: datetime
    completed_at: datetime | None
    chosen: int
    left_out: int
    erased: int
    content: bytes


async def find(tx: Tx, id: UUID, *, for_change: bool = False) -> RecordRow | None:
    """Look a record up."""
    query = sa.select(resolution).where(resolution.c.id == id)
    row = (await tx.execute(query.with_for_update() if for_change else query)).one_or_none()
    if row is None:
        return None
    package = Package(row.name, row.version)
    counts = row.chosen, row.left_out, row.erased
    return RecordRow(row.id, row.attempt, package, row.begun_at, row.completed_at, *counts, row.content)


async def begin(tx: Tx, id: UUID, attempt: UUID, package: Package, now: datetime) -> RecordRow:
    """Begin a record, or a new attempt at an incomplete one; return its row."""
    values = {
        "attempt": attempt,
        "name": package.name,
        "version": package.version,
        "begun_at": now,
        "chosen": 0,
        "left_out": 0,
        "erased": 0,
        "content": b"",
    }
    try:
        async with tx.begin_nested():
            await tx.execute(resolution.insert().values(id=id, **values))
    except IntegrityError:
        is_open = sa.and_(resolution.c.id == id, resolution.c.completed_at.is_(None))
        is_same = sa.and_(resolution.c.name == package.name, resolution.c.version == package.version)
        await tx.execute(resolution.update().where(is_open, is_same).values(attempt=attempt, begun_at=now))
    row = await find(tx, id, for_change=True)
    if row is None:
        raise LookupError(f"resolution {id} was removed while it was begun")
    return row


async def write_chunks(tx: Tx, id: UUID, attempt: UUID, chunks: Sequence[Chunk]) -> None:
    """Write some chunks of an attempt."""
    rows = [{"resolution_id": id, "attempt": attempt, **_columns(chunk)} for chunk in chunks]
    await tx.execute(resolution_chunk.insert(), rows)


async def complete(
    tx: Tx, id: UUID, attempt: UUID, *, now: datetime, chosen: int, left_out: int, content: bytes
) -> bool:
    """Complete a record; return False if another attempt replaced this one."""
    is_ours = sa.and_(resolution.c.id == id, resolution.c.attempt == attempt, resolution.c.completed_at.is_(None))
    done = resolution.update().values(completed_at=now, chosen=chosen, left_out=left_out, content=content)
    return (await tx.execute(done.where(is_ours))).rowcount == 1


async def drop_other_chunks(tx: Tx, id: UUID, attempt: UUID, count: int) -> bool:
    """Remove some chunks of abandoned attempts; return whether there may be more."""
    table = resolution_chunk
    query = sa.select(table.c.attempt, table.c.kind, table.c.number)
    query = query.where(table.c.resolution_id == id, table.c.attempt != attempt).limit(count)
    found = (await tx.execute(query)).all()
    for row in found:
        is_it = sa.and_(table.c.attempt == row.attempt, table.c.kind == row.kind, table.c.number == row.number)
        await tx.execute(table.delete().where(table.c.resolution_id == id, is_it))
    return len(found) == count


async def read_chunks(tx: Tx, row: RecordRow, kind: Kind, after: str | None, count: int) -> list[Chunk]:
    """Read the next chunks of a list that contain a VIN after the given one."""
    table = resolution_chunk
    is_its = sa.and_(table.c.resolution_id == row.id, table.c.attempt == row.attempt, table.c.kind == int(kind))
    query = sa.select(table).where(is_its, table.c["count"] > 0).order_by(table.c.number).limit(count)
    if after is not None:
        query = query.where(table.c.last_vin > after)
    return [_chunk(found) for found in await tx.execute(query)]


async def find_records_around(tx: Tx, vin: str, after: UUID | None, count: int) -> list[UUID]:
    """Find the next records with a chunk whose span includes a VIN: what to search when the VIN is erased."""
    table = resolution_chunk
    query = sa.select(table.c.resolution_id).distinct().where(table.c.first_vin <= vin, table.c.last_vin >= vin)
    if after is not None:
        query = query.where(table.c.resolution_id > after)
    return [row.resolution_id for row in await tx.execute(query.order_by(table.c.resolution_id).limit(count))]


async def find_chunks_around(tx: Tx, id: UUID, vin: str) -> list[tuple[UUID, Chunk]]:
    """Lock the chunks of a record whose span includes a VIN, each with its attempt."""
    table = resolution_chunk
    is_around = sa.and_(table.c.resolution_id == id, table.c.first_vin <= vin, table.c.last_vin >= vin)
    found = (await tx.execute(sa.select(table).where(is_around).with_for_update())).all()
    return [(row.attempt, _chunk(row)) for row in found]


async def replace_chunk(tx: Tx, id: UUID, attempt: UUID, chunk: Chunk) -> None:
    """Write a chunk that lost an erased VIN, and count it."""
    table = resolution_chunk
    is_it = sa.and_(table.c.attempt == attempt, table.c.kind == int(chunk.kind), table.c.number == chunk.number)
    await tx.execute(table.update().where(table.c.resolution_id == id, is_it).values(_columns(chunk)))
    is_its = sa.and_(resolution.c.id == id, resolution.c.attempt == attempt)
    await tx.execute(resolution.update().where(is_its).values(erased=resolution.c.erased + 1))


async def note_erasures(tx: Tx, vins: Sequence[str], now: datetime) -> None:
    """Note VINs that must be removed from every record."""
    for vin in sorted(set(vins)):
        await tx.execute(erasure.delete().where(erasure.c.vin == vin))
        await tx.execute(erasure.insert().values(vin=vin, noted_at=now))


async def list_erasures(tx: Tx, count: int) -> list[tuple[str, datetime]]:
    """Read VINs that must still be removed, oldest first."""
    query = sa.select(erasure).order_by(erasure.c.noted_at, erasure.c.vin).limit(count)
    return [(row.vin, row.noted_at) for row in await tx.execute(query)]


async def is_one_begun(tx: Tx, before: datetime, after: datetime) -> bool:
    """Return whether a record that was begun between two moments is still being written."""
    is_open = sa.and_(resolution.c.completed_at.is_(None), resolution.c.begun_at.between(after, before))
    return (await tx.execute(sa.select(resolution.c.id).where(is_open).limit(1))).one_or_none() is not None


async def forget_erasure(tx: Tx, vin: str, noted_at: datetime) -> None:
    """Forget a VIN that is erased everywhere, unless it was noted again meanwhile."""
    await tx.execute(erasure.delete().where(erasure.c.vin == vin, erasure.c.noted_at == noted_at))


async def drop_abandoned(tx: Tx, before: datetime, count: int) -> bool:
    """Remove some records that were begun and never completed; return whether there may be more."""
    is_abandoned = sa.and_(resolution.c.completed_at.is_(None), resolution.c.begun_at < before)
    query = sa.select(resolution.c.id).where(is_abandoned).limit(count)
    ids = [row.id for row in await tx.execute(query)]
    for id in ids:
        await tx.execute(resolution.delete().where(resolution.c.id == id))
    return len(ids) == count


def _columns(chunk: Chunk) -> dict[str, object]:
    return {**asdict(chunk), "kind": int(chunk.kind)}


def _chunk(row: AnyRow) -> Chunk:
    return Chunk(Kind(row.kind), row.number, row.first_vin, row.last_vin, row._mapping["count"], row.vins, row.verdicts)
