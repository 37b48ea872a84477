"""The chain in the database. Records are only ever inserted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import sqlalchemy as sa

from sota.kit.db import Tx
from sota.web.audit.model import Deed, Record, chain
from sota.web.tables import AUDIT_HEAD, AUDIT_RECORD


async def append(tx: Tx, deeds: Sequence[Deed]) -> None:
    """Append deeds. The head's row is the lock that puts several Web Servers in order."""
    await tx.execute(AUDIT_HEAD.update().where(AUDIT_HEAD.c.id == 1).values(number=AUDIT_HEAD.c.number + len(deeds)))
    number, previous_hash = await read_head(tx)
    records = chain(deeds, number - len(deeds), previous_hash)
    await tx.execute(
        AUDIT_RECORD.insert(),
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
    await tx.execute(AUDIT_HEAD.update().where(AUDIT_HEAD.c.id == 1).values(hash=records[-1].hash))


async def read_head(tx: Tx) -> tuple[int, str]:
    """Give the number and hash of the last record."""
    row = (await tx.execute(sa.select(AUDIT_HEAD.c.number, AUDIT_HEAD.c.hash).where(AUDIT_HEAD.c.id == 1))).one()
    return row.number, row.hash


async def read_records(tx: Tx) -> AsyncIterator[Record]:
    """Give all records in their order, without holding them all."""
    async with tx.stream(sa.select(AUDIT_RECORD).order_by(AUDIT_RECORD.c.number)) as rows:
        async for row in rows:
            deed = Deed(row.at, row.actor, row.address, row.interaction, row.object, row.outcome, row.status)
            yield Record(row.number, deed, row.previous_hash, row.hash)
