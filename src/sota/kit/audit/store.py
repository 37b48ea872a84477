"""The chain in the database. Records are only ever inserted; beside it stands what is begun and has none yet."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from sota.kit.audit.model import INTERRUPTED, Deed, Opening, Record, Wanted, chain
from sota.kit.audit.tables import HEAD, OPEN, RECORD
from sota.kit.sql.database import Tx

# Built once: every change that anybody makes is written with these, and building a statement takes longer than asking.
_LOCK_HEAD = sa.select(HEAD.c.number, HEAD.c.hash).where(HEAD.c.id == 1).with_for_update()
_APPEND = RECORD.insert()
_OPEN = OPEN.insert()
_CLOSE = OPEN.delete().where(OPEN.c.id.in_(sa.bindparam("ids", expanding=True)))
_MOVE_HEAD = (
    HEAD.update().where(HEAD.c.id == 1).values(number=sa.bindparam("last_number"), hash=sa.bindparam("last_hash"))
)


async def append(tx: Tx, deeds: Sequence[Deed]) -> None:
    """Append deeds. The head's row is the lock that puts several programs of a kind in order."""
    head = (await tx.execute(_LOCK_HEAD)).one()
    records = chain(deeds, head.number, head.hash)
    await tx.execute(
        _APPEND,
        [
            {
                "number": record.number,
                "at": record.deed.at,
                "actor": record.deed.actor,
                "address": record.deed.address,
                "interaction": record.deed.interaction,
                "object": record.deed.object,
                "outcome": record.deed.outcome,
                "status": record.deed.status,
                "previous_hash": record.previous_hash,
                "hash": record.hash,
            }
            for record in records
        ],
    )
    await tx.execute(_MOVE_HEAD, {"last_number": records[-1].number, "last_hash": records[-1].hash})


async def open_deeds(tx: Tx, openings: Sequence[Opening]) -> None:
    """Note what is begun."""
    await tx.execute(
        _OPEN,
        [
            {
                "id": opening.id,
                "at": opening.deed.at,
                "actor": opening.deed.actor,
                "address": opening.deed.address,
                "interaction": opening.deed.interaction,
                "object": opening.deed.object,
                "until": opening.until,
            }
            for opening in openings
        ],
    )


async def close_deeds(tx: Tx, ids: Collection[UUID]) -> None:
    """Drop the notes of what has its record."""
    await tx.execute(_CLOSE, {"ids": list(ids)})


async def take_up(tx: Tx, now: datetime, limit: int) -> int:
    """Give what was begun, and should have ended by now, the record that it lacks; says how many there were."""
    query = sa.select(OPEN).where(OPEN.c.until <= now).order_by(OPEN.c.id).limit(limit).with_for_update()
    found = (await tx.execute(query)).all()
    if found:
        deeds = [Deed(row.at, row.actor, row.address, row.interaction, row.object, INTERRUPTED, 0) for row in found]
        await append(tx, deeds)
        await close_deeds(tx, [row.id for row in found])
    return len(found)


async def read_ends(tx: Tx) -> tuple[int, str, int]:
    """Give number and hash of the head, and the number of the last record that is there: as of one moment."""
    last = sa.select(sa.func.coalesce(sa.func.max(RECORD.c.number), 0)).scalar_subquery()
    query = sa.select(HEAD.c.number, HEAD.c.hash, last).where(HEAD.c.id == 1)
    number, head_hash, last_number = (await tx.execute(query)).one()
    return number, head_hash, last_number


async def read_records(
    tx: Tx, wanted: Wanted, after: int, limit: int, *, until_number: int | None = None
) -> list[Record]:
    """Give records after a number, in their order."""
    query = _query(wanted).where(RECORD.c.number > after).order_by(RECORD.c.number).limit(limit)
    if until_number is not None:
        query = query.where(RECORD.c.number <= until_number)
    return [_read(row) for row in await tx.execute(query)]


async def read_latest(tx: Tx, wanted: Wanted, limit: int, before: int | None) -> list[Record]:
    """Give the newest records, newest first."""
    query = _query(wanted).order_by(RECORD.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(RECORD.c.number < before)
    return [_read(row) for row in await tx.execute(query)]


def _query(wanted: Wanted) -> sa.Select[Any]:
    columns, query = RECORD.c, sa.select(RECORD)
    if wanted.actor is not None:
        query = query.where(columns.actor == wanted.actor)
    if wanted.interaction is not None:
        query = query.where(columns.interaction == wanted.interaction)
    if wanted.object is not None:  # a part of it, letter by letter: no character means anything else
        query = query.where(sa.func.instr(columns.object, wanted.object) > 0)
    if wanted.since is not None:
        query = query.where(columns.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(columns.at < wanted.until)
    return query


def _read(row: Any) -> Record:
    deed = Deed(row.at, row.actor, row.address, row.interaction, row.object, row.outcome, row.status)
    return Record(row.number, deed, row.previous_hash, row.hash)
