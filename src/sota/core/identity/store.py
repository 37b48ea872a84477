"""SQL of identities, enrolment codes and the revocation list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from sota.boundaries.authority import ROOT_LIFETIME
from sota.boundaries.services import allowing
from sota.core.identity.model import Identity
from sota.core.tables import enrolment_code, identity, revocation, vehicle
from sota.kit.sql.database import Tx
from sota.kit.sql.insert import insert_new
from sota.kit.sql.statements import AnyRow


async def is_registered(tx: Tx, vin: str, *, for_change: bool = False) -> bool:
    """Return whether a vehicle is known, retired or not; ``for_change`` locks it."""
    query = sa.select(vehicle.c.vin).where(vehicle.c.vin == vin)
    return (await tx.execute(query.with_for_update() if for_change else query)).one_or_none() is not None


async def was_seen(tx: Tx, vin: str) -> bool:
    """Return whether a vehicle has ever been connected."""
    query = sa.select(vehicle.c.vin).where(vehicle.c.vin == vin, vehicle.c.last_seen_at.is_not(None))
    return (await tx.execute(query)).one_or_none() is not None


async def insert(tx: Tx, new: Identity) -> None:
    """Store an identity."""
    await tx.execute(identity.insert().values({column.name: getattr(new, column.name) for column in identity.columns}))


async def list_of(tx: Tx, vin: str, limit: int, before: UUID | None = None) -> list[Identity]:
    """List a vehicle's identities, the latest first."""
    query = sa.select(identity).where(identity.c.vin == vin).order_by(identity.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(identity.c.id < before)
    return [_read(row) for row in await tx.execute(query)]


async def find_valid(tx: Tx, vin: str, now: datetime, *, only: UUID | None = None) -> list[Identity]:
    """Find a vehicle's valid identities, the latest first; ``only`` the one with this id."""
    query = (
        sa.select(identity)
        .where(identity.c.vin == vin, identity.c.revoked_at.is_(None), identity.c.expires_at > now)
        .order_by(identity.c.id.desc())
    )
    if only is not None:
        query = query.where(identity.c.id == only)
    return [_read(row) for row in await tx.execute(query)]


async def find_credential(tx: Tx, vin: str, credential_id: str) -> Identity | None:
    """Find an identity that a vehicle shows."""
    query = sa.select(identity).where(identity.c.vin == vin, identity.c.credential_id == credential_id)
    row = (await tx.execute(query)).one_or_none()
    return _read(row) if row is not None else None


async def mark_revoked(tx: Tx, identities: Sequence[Identity], reason: str, now: datetime) -> None:
    """Revoke identities, and put them on the revocation list."""
    if not identities:
        return
    ids = [one.id for one in identities]
    change = identity.update().where(identity.c.id.in_(ids)).values(revoked_at=now, revoked_because=reason)
    await tx.execute(change)
    lines = [
        {"entry": entry, "revoked_at": now, "until": one.expires_at}
        for one in identities
        for entry in (one.fingerprint, one.credential_id)
    ]
    await insert_new(tx, revocation, lines)
    await _drop_entries(tx, [allowing(one.vin, one.credential_id) for one in identities])


async def bar(tx: Tx, vin: str, now: datetime, *, by_retirement: bool) -> None:
    """Bar a vehicle: none of its identities is valid, whatever issued it, except those issued here from now on.

    ``by_retirement``: until the vehicle is registered again, unless it is barred for another reason already.
    """
    if by_retirement and await is_barred(tx, vin):
        return
    until = now + ROOT_LIFETIME  # nothing that an authority has signed outlives it
    await _drop_entries(tx, [vin])
    await tx.execute(revocation.insert().values(entry=vin, revoked_at=now, until=until, by_retirement=by_retirement))


async def is_barred(tx: Tx, vin: str) -> bool:
    """Return whether a vehicle is barred, so that only identities issued here since are valid."""
    return (await tx.execute(sa.select(revocation.c.entry).where(revocation.c.entry == vin))).first() is not None


async def allow(tx: Tx, one: Identity, now: datetime) -> None:
    """Exempt an identity of a barred vehicle."""
    entry = {"entry": allowing(one.vin, one.credential_id), "revoked_at": now, "until": one.expires_at}
    await insert_new(tx, revocation, [entry])


async def forget_barring(tx: Tx, vin: str) -> None:
    """Delete a vehicle's VIN from the list."""
    await _drop_entries(tx, [vin])
    await tx.execute(revocation.delete().where(revocation.c.entry.startswith(allowing(vin, ""), autoescape=True)))


async def _drop_entries(tx: Tx, entries: Sequence[str]) -> None:
    await tx.execute(revocation.delete().where(revocation.c.entry.in_(list(entries))))


async def keep_code(tx: Tx, vin: str, code_hash: str, now: datetime, expires_at: datetime) -> None:
    """Store a code's hash in place of the vehicle's earlier one."""
    await drop_codes(tx, vin)
    await tx.execute(
        enrolment_code.insert().values(vin=vin, code_hash=code_hash, created_at=now, expires_at=expires_at)
    )


async def find_code(tx: Tx, vin: str) -> AnyRow | None:
    """Find a vehicle's latest code; None if there is none."""
    query = sa.select(enrolment_code).where(enrolment_code.c.vin == vin).with_for_update()
    return (await tx.execute(query)).one_or_none()


async def look_code_up(tx: Tx, vin: str) -> AnyRow | None:
    """Read the code of a vehicle that is not retired, without a lock; None if there is none."""
    query = sa.select(enrolment_code).join(vehicle, vehicle.c.vin == enrolment_code.c.vin)
    return (await tx.execute(query.where(vehicle.c.vin == vin, vehicle.c.retired_at.is_(None)))).one_or_none()


async def use_code(tx: Tx, vin: str, public_key: str) -> None:
    """Note for which key a code was used."""
    await tx.execute(enrolment_code.update().where(enrolment_code.c.vin == vin).values(used_for=public_key))


async def drop_codes(tx: Tx, vin: str) -> None:
    """Delete a vehicle's code."""
    await tx.execute(enrolment_code.delete().where(enrolment_code.c.vin == vin))


async def list_revoked(tx: Tx, now: datetime, limit: int, after: str | None = None) -> list[AnyRow]:
    """Read the revocation list in the order of its entries, without expired ones."""
    query = sa.select(revocation).where(revocation.c.until > now).order_by(revocation.c.entry).limit(limit)
    if after is not None:
        query = query.where(revocation.c.entry > after)
    return list(await tx.execute(query))


async def state_of_list(tx: Tx, now: datetime) -> tuple[int, datetime | None]:
    """Return the length of the revocation list and the time of its last entry, for a comparison with a copy."""
    query = sa.select(sa.func.count(), sa.func.max(revocation.c.revoked_at)).where(revocation.c.until > now)
    count, latest = (await tx.execute(query)).one()
    return int(count), latest


async def count_by_issuer(tx: Tx, now: datetime) -> dict[str, int]:
    """Count valid identities by the authority that signed them."""
    query = (
        sa.select(identity.c.issuer, sa.func.count())
        .where(identity.c.revoked_at.is_(None), identity.c.expires_at > now)
        .group_by(identity.c.issuer)
    )
    return {issuer: int(count) for issuer, count in await tx.execute(query)}


def _read(row: AnyRow) -> Identity:
    return Identity(**row._mapping)
