"""Registrations in the database."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import sqlalchemy as sa

from sota.kit.errors import Damaged
from sota.kit.sql import damaged_rows as damage
from sota.kit.sql.database import Tx
from sota.kit.sql.statements import AnyRow
from sota.web.registers.model import BODIES, Kind, NewRegistration, Refusal, Registration, RegistrationState
from sota.web.tables import REGISTRATION

LONGEST_PAUSE = timedelta(hours=1)
"""No registration is postponed for longer."""


async def insert(tx: Tx, registration_id: UUID, new: NewRegistration, *, now: datetime, due_at: datetime) -> None:
    """Store a registration; the unique ``open_object`` refuses a second running one."""
    await tx.execute(
        REGISTRATION.insert().values(
            id=registration_id,
            kind=new.kind.value,
            object=new.object,
            open_object=new.object,
            fingerprint=new.fingerprint,
            core_body=msgspec.json.encode(new.core).decode(),
            resolver_body=msgspec.json.encode(new.resolver).decode(),
            file_key=new.file_key,
            state=RegistrationState.OPEN.value,
            due_at=due_at,
            created_at=now,
        )
    )


async def find(tx: Tx, registration_id: UUID) -> Registration:
    """Return a registration that is known to exist."""
    row = (await tx.execute(sa.select(REGISTRATION).where(REGISTRATION.c.id == registration_id))).one()
    return _read(row)


async def find_open(tx: Tx, object_: str) -> Registration | None:
    """Find the running registration of an object."""
    row = (await tx.execute(sa.select(REGISTRATION).where(REGISTRATION.c.open_object == object_))).first()
    return _read(row) if row is not None else None


async def list_due(tx: Tx, now: datetime | None) -> list[Registration]:
    """Return the running registrations that are due, oldest first; all of them without ``now``."""
    query = (
        sa.select(REGISTRATION).where(REGISTRATION.c.open_object.is_not(None)).order_by(REGISTRATION.c.id).limit(100)
    )
    if now is not None:
        late = now + LONGEST_PAUSE  # postponed by a clock that was wrong
        query = query.where(sa.or_(REGISTRATION.c.due_at <= now, REGISTRATION.c.due_at > late))
    found: list[Registration] = []
    for row in await tx.execute(query):
        with contextlib.suppress(Damaged):  # the others continue
            found.append(_read(row))
    return found


async def advance(
    tx: Tx, registration: Registration, to: RegistrationState, now: datetime, refusal: Refusal | None = None
) -> bool:
    """Move a registration from the state in which it was read to the next; False if another process was faster."""
    values: dict[str, object] = {"state": to.value, "attempts": 0}
    if to in {RegistrationState.DONE, RegistrationState.REFUSED}:
        values |= {"open_object": None, "finished_at": now}
    if refusal is not None:
        values["refusal"] = msgspec.json.encode(refusal).decode()
    changed = await tx.execute(
        REGISTRATION.update()
        .where(REGISTRATION.c.id == registration.id, REGISTRATION.c.state == registration.state.value)
        .values(**values)
    )
    return changed.rowcount == 1


async def postpone(tx: Tx, registration: Registration, due_at: datetime) -> None:
    """Postpone the next attempt."""
    await tx.execute(
        REGISTRATION.update()
        .where(REGISTRATION.c.id == registration.id)
        .values(attempts=registration.attempts + 1, due_at=due_at)
    )


async def delete_finished(tx: Tx, before: datetime) -> None:
    """Delete registrations that ended long ago."""
    await tx.execute(REGISTRATION.delete().where(REGISTRATION.c.finished_at < before))


def _read(row: AnyRow) -> Registration:
    return damage.read(REGISTRATION.name, row.id, lambda: _decode(row))


def _decode(row: AnyRow) -> Registration:
    kind = Kind(row.kind)
    core, resolver = BODIES[kind]
    return Registration(
        id=row.id,
        kind=kind,
        object=row.object,
        fingerprint=row.fingerprint,
        core=msgspec.json.decode(row.core_body, type=core),
        resolver=msgspec.json.decode(row.resolver_body, type=resolver),
        file_key=row.file_key,
        state=RegistrationState(row.state),
        attempts=row.attempts,
        refusal=msgspec.json.decode(row.refusal, type=Refusal) if row.refusal else None,
        created_at=row.created_at,
    )
