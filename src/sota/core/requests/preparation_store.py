"""SQL of preparations: requests that are being written chunk by chunk, their leases, and their removal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from sota.core.tables import install_request, preparation, update
from sota.kit.sql.database import Tx

REMOVED_AT_ONCE = 1000
IS_REAL = ~sa.exists().where(preparation.c.request_id == update.c.request_id)
"""An update of a request that is written whole. Every query that acts on updates or lists them needs this."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """A request that is being written, and its writer; ``owner`` is unique."""

    request_id: UUID
    owner: str


async def begin(tx: Tx, one: Preparation, now: datetime, lease_until: datetime) -> None:
    """Note that a request is being written."""
    values = {"request_id": one.request_id, "owner": one.owner, "created_at": now, "lease_until": lease_until}
    await tx.execute(preparation.insert().values(values))


async def hold(tx: Tx, one: Preparation) -> bool:
    """Report whether the request is still ours to write, and lock it until the transaction ends."""
    query = sa.select(preparation.c.owner).where(preparation.c.request_id == one.request_id)
    owner: str | None = (await tx.execute(query.with_for_update(read=True))).scalar_one_or_none()
    return owner == one.owner


async def renew(tx: Tx, one: Preparation, lease_until: datetime) -> bool:
    """Renew the lease on a request; return whether it was still ours."""
    result = await tx.execute(preparation.update().where(_is(one)).values(lease_until=lease_until))
    return result.rowcount == 1


async def end(tx: Tx, one: Preparation) -> bool:
    """Make a prepared request real; return whether it was still ours."""
    return (await tx.execute(preparation.delete().where(_is(one)))).rowcount == 1


async def list_abandoned(tx: Tx, now: datetime, *, begun_by: str | None = None) -> list[Preparation]:
    """Return abandoned requests: the lease is over, or the owner's name begins with ``begun_by``."""
    table, abandoned = preparation, preparation.c.lease_until < now
    if begun_by is not None:
        abandoned = sa.or_(abandoned, table.c.owner.startswith(begun_by, autoescape=True))
    query = sa.select(table.c.request_id, table.c.owner).where(abandoned).limit(100)
    return [Preparation(row.request_id, row.owner) for row in await tx.execute(query)]


async def take_over(tx: Tx, one: Preparation, owner: str, lease_until: datetime) -> bool:
    """Take an abandoned request over; return False where another Core was first."""
    result = await tx.execute(preparation.update().where(_is(one)).values(owner=owner, lease_until=lease_until))
    return result.rowcount == 1


async def remove_some(tx: Tx, one: Preparation) -> bool:
    """Delete some updates of a prepared request, and at last the request itself; return whether there is more."""
    if not await hold(tx, one):
        return False
    some = sa.select(update.c.update_id).where(update.c.request_id == one.request_id).limit(REMOVED_AT_ONCE)
    ids = list((await tx.execute(some)).scalars())
    if ids:
        await tx.execute(update.delete().where(update.c.update_id.in_(ids)))
        return True
    await tx.execute(install_request.delete().where(install_request.c.id == one.request_id))
    await tx.execute(preparation.delete().where(_is(one)))
    return False


def _is(one: Preparation) -> sa.ColumnElement[bool]:
    return sa.and_(preparation.c.request_id == one.request_id, preparation.c.owner == one.owner)
