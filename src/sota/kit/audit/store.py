"""The chain in the database. Records are only inserted; started actions without a record are kept beside it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from sota.kit.audit.model import INTERRUPTED, AuditedAction, Opening, Record, RecordFilter, chain
from sota.kit.audit.tables import HEAD, OPEN, RECORD
from sota.kit.sql.database import Tx
from sota.kit.sql.statements import AnyRow, AnySelect

# Built once: each change is recorded with these, and building a statement takes longer than executing it.
_LOCK_HEAD = sa.select(HEAD.c.number, HEAD.c.hash).where(HEAD.c.id == 1).with_for_update()
_APPEND = RECORD.insert()
_OPEN = OPEN.insert()
_CLOSE = OPEN.delete().where(OPEN.c.id.in_(sa.bindparam("ids", expanding=True)))
_MOVE_HEAD = (
    HEAD.update().where(HEAD.c.id == 1).values(number=sa.bindparam("last_number"), hash=sa.bindparam("last_hash"))
)


async def append(tx: Tx, actions: Sequence[AuditedAction]) -> None:
    """Append actions. Locking the head's row orders several programs of a kind."""
    head = (await tx.execute(_LOCK_HEAD)).one()
    records = chain(actions, head.number, head.hash)
    await tx.execute(
        _APPEND,
        [
            {
                "number": record.number,
                **asdict(record.action),
                "previous_hash": record.previous_hash,
                "hash": record.hash,
            }
            for record in records
        ],
    )
    await tx.execute(_MOVE_HEAD, {"last_number": records[-1].number, "last_hash": records[-1].hash})


async def add_openings(tx: Tx, openings: Sequence[Opening]) -> None:
    """Note started actions."""
    await tx.execute(
        _OPEN,
        [
            {
                "id": opening.id,
                "at": opening.action.at,
                "actor": opening.action.actor,
                "address": opening.action.address,
                "interaction": opening.action.interaction,
                "object": opening.action.object,
                "until": opening.until,
            }
            for opening in openings
        ],
    )


async def remove_openings(tx: Tx, ids: Collection[UUID]) -> None:
    """Remove the notes of actions that have their record."""
    await tx.execute(_CLOSE, {"ids": list(ids)})


async def take_up(tx: Tx, now: datetime, limit: int) -> int:
    """Write the missing records of actions that should have ended by now; return their number."""
    query = sa.select(OPEN).where(OPEN.c.until <= now).order_by(OPEN.c.id).limit(limit).with_for_update()
    found = (await tx.execute(query)).all()
    if found:
        actions = [
            AuditedAction(row.at, row.actor, row.address, row.interaction, row.object, INTERRUPTED, 0) for row in found
        ]
        await append(tx, actions)
        await remove_openings(tx, [row.id for row in found])
    return len(found)


async def read_ends(tx: Tx) -> tuple[int, str, int]:
    """Return number and hash of the head, and the number of the last record, in one snapshot."""
    last = sa.select(sa.func.coalesce(sa.func.max(RECORD.c.number), 0)).scalar_subquery()
    query = sa.select(HEAD.c.number, HEAD.c.hash, last).where(HEAD.c.id == 1)
    number, head_hash, last_number = (await tx.execute(query)).one()
    return number, head_hash, last_number


async def read_records(
    tx: Tx, filters: RecordFilter, after: int, limit: int, *, until_number: int | None = None
) -> list[Record]:
    """Return records after a number, in order."""
    query = _query(filters).where(RECORD.c.number > after).order_by(RECORD.c.number).limit(limit)
    if until_number is not None:
        query = query.where(RECORD.c.number <= until_number)
    return [_read(row) for row in await tx.execute(query)]


async def read_latest(tx: Tx, filters: RecordFilter, limit: int, before: int | None) -> list[Record]:
    """Return the newest records, newest first."""
    query = _query(filters).order_by(RECORD.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(RECORD.c.number < before)
    return [_read(row) for row in await tx.execute(query)]


def _query(filters: RecordFilter) -> AnySelect:
    columns, query = RECORD.c, sa.select(RECORD)
    if filters.actor is not None:
        query = query.where(columns.actor == filters.actor)
    if filters.interaction is not None:
        query = query.where(columns.interaction == filters.interaction)
    if filters.object is not None:  # a literal substring: no character is special
        query = query.where(sa.func.instr(columns.object, filters.object) > 0)
    if filters.since is not None:
        query = query.where(columns.at >= filters.since)
    if filters.until is not None:
        query = query.where(columns.at < filters.until)
    return query


def _read(row: AnyRow) -> Record:
    action = AuditedAction(row.at, row.actor, row.address, row.interaction, row.object, row.outcome, row.status)
    return Record(row.number, action, row.previous_hash, row.hash)
