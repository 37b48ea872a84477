"""Sessions, sign-in buckets and the signing key in the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from sota.boundaries.b1_browser_web.admin_messages import SessionEntry
from sota.boundaries.interaction import Role
from sota.kit.sql.database import Tx
from sota.web.accounts.model import hash_token
from sota.web.sessions.model import (
    FORGOTTEN_AFTER,
    LONGEST_WAIT,
    PAIR,
    Attempt,
    Patience,
    Session,
    buckets,
    first_try_bucket,
    own_buckets,
)
from sota.web.tables import ACCOUNT, LOGIN_BUCKET, SESSION, WEB_KEY

MOST_SESSIONS = 200


async def insert_session(tx: Tx, session: Session, address: str) -> None:
    """Insert a session that began from this address."""
    await tx.execute(
        SESSION.insert().values(
            token_hash=hash_token(session.token),
            account_id=session.account_id,
            address=address[:64],
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            ends_at=session.ends_at,
        )
    )


async def find_session(tx: Tx, token: str, token_hash: str) -> Session | None:
    """Find a session with its account, unless that is disabled. The caller checks its expiry."""
    query = (
        sa.select(SESSION, ACCOUNT.c.name, ACCOUNT.c.role, ACCOUNT.c.password_change_due)
        .join(ACCOUNT, ACCOUNT.c.id == SESSION.c.account_id)
        .where(SESSION.c.token_hash == token_hash, ACCOUNT.c.disabled.is_(sa.false()))
    )
    row = (await tx.execute(query)).first()
    if row is None:
        return None
    return Session(
        token,
        row.account_id,
        row.name,
        Role(row.role),
        row.created_at,
        row.last_used_at,
        row.ends_at,
        row.password_change_due,
    )


async def touch_session(tx: Tx, token_hash: str, now: datetime) -> None:
    """Note that a session was used."""
    await tx.execute(SESSION.update().where(SESSION.c.token_hash == token_hash).values(last_used_at=now))


async def delete_session(tx: Tx, token_hash: str) -> None:
    """End a session."""
    await tx.execute(SESSION.delete().where(SESSION.c.token_hash == token_hash))


async def list_sessions(
    tx: Tx, account_id: UUID, now: datetime, idle_since: datetime, token_hash: str | None
) -> list[SessionEntry]:
    """List the valid sessions of an account, the latest first; ``token_hash`` is the caller's own."""
    columns = SESSION.c
    query = (
        sa.select(SESSION)
        .where(columns.account_id == account_id, columns.ends_at > now, columns.last_used_at > idle_since)
        .order_by(columns.last_used_at.desc(), columns.token_hash)
        .limit(MOST_SESSIONS)
    )
    return [
        SessionEntry(row.address, row.created_at, row.last_used_at, row.ends_at, row.token_hash == token_hash)
        for row in await tx.execute(query)
    ]


async def delete_sessions(tx: Tx, account_id: UUID) -> None:
    """End all sessions of an account."""
    await tx.execute(SESSION.delete().where(SESSION.c.account_id == account_id))


async def delete_over(tx: Tx, now: datetime, idle_since: datetime) -> None:
    """Delete expired sessions and old buckets."""
    await tx.execute(SESSION.delete().where(sa.or_(SESSION.c.ends_at <= now, SESSION.c.last_used_at <= idle_since)))
    await tx.execute(LOGIN_BUCKET.delete().where(LOGIN_BUCKET.c.last_at < now - FORGOTTEN_AFTER))


async def turn_at(tx: Tx, attempt: Attempt, now: datetime) -> datetime | None:
    """Return the moment from which such an attempt is allowed; None if that is now.

    A first attempt that is allowed although its address has to wait counts as such.
    """
    until = await full_until(tx, buckets(attempt), now)
    if until is None:
        return None
    own = own_buckets(attempt)
    if attempt.mark is not None or await _count_recent(tx, own, now) > 0:
        return until
    # Only the address has to wait, and this account was not tried from there: its owner must not be locked out.
    first = first_try_bucket(attempt.address)
    waits = await full_until(tx, {**own, **first}, now)
    if waits is None:
        await count_failure(tx, first, now)
    return waits


async def full_until(tx: Tx, ids: Mapping[str, Patience], now: datetime) -> datetime | None:
    """Return the moment until which one of these buckets has to wait; None if none has to."""
    query = sa.select(sa.func.max(LOGIN_BUCKET.c.blocked_until)).where(
        LOGIN_BUCKET.c.id.in_(list(ids)),
        LOGIN_BUCKET.c.blocked_until > now,
        LOGIN_BUCKET.c.blocked_until <= now + LONGEST_WAIT,  # a later one was written by a wrong clock
    )
    until: datetime | None = (await tx.execute(query)).scalar()
    return until


async def _count_recent(tx: Tx, own: Mapping[str, Patience], now: datetime) -> int:
    pairs = [bucket for bucket, patience in own.items() if patience is PAIR]
    query = sa.select(sa.func.sum(LOGIN_BUCKET.c.failures)).where(
        LOGIN_BUCKET.c.id.in_(pairs), LOGIN_BUCKET.c.last_at > now - FORGOTTEN_AFTER
    )
    return int((await tx.execute(query)).scalar() or 0)


async def count_attempt(tx: Tx, attempt: Attempt, now: datetime) -> None:
    """Count an attempt as failed before the password is checked, so that parallel guesses count, too."""
    await count_failure(tx, buckets(attempt), now)


async def count_failure(tx: Tx, ids: Mapping[str, Patience], now: datetime) -> None:
    """Count a failure in these buckets."""
    for bucket_id, patience in ids.items():
        query = sa.select(LOGIN_BUCKET).where(LOGIN_BUCKET.c.id == bucket_id).with_for_update()
        row = (await tx.execute(query)).first()
        recent = row is not None and row.last_at > now - FORGOTTEN_AFTER
        failures = (row.failures if row is not None and recent else 0) + 1
        values = {"failures": failures, "last_at": now, "blocked_until": now + patience.wait_after(failures)}
        if row is None:
            await tx.execute(LOGIN_BUCKET.insert().values(id=bucket_id, **values))
        else:
            await tx.execute(LOGIN_BUCKET.update().where(LOGIN_BUCKET.c.id == bucket_id).values(**values))


async def forgive(tx: Tx, attempt: Attempt) -> None:
    """Clear the failures of this name; of the address only this one, or a good account would hide many guesses.

    A known browser is not concerned with others' failures: only its own are cleared.
    """
    found = buckets(attempt)
    own = list(own_buckets(attempt))
    whole_address = [bucket for bucket in found if bucket not in own]
    if whole_address:
        whole_address += first_try_bucket(attempt.address)
    await tx.execute(LOGIN_BUCKET.delete().where(LOGIN_BUCKET.c.id.in_(own)))
    await tx.execute(
        LOGIN_BUCKET.update()
        .where(LOGIN_BUCKET.c.id.in_(whole_address), LOGIN_BUCKET.c.failures > 0)
        .values(failures=LOGIN_BUCKET.c.failures - 1)
    )


async def find_key(tx: Tx, name: str) -> str | None:
    """Find a key of the Web Servers on this database."""
    value: str | None = (await tx.execute(sa.select(WEB_KEY.c.value).where(WEB_KEY.c.name == name))).scalar()
    return value


async def delete_key(tx: Tx, name: str) -> None:
    """Delete a key."""
    await tx.execute(WEB_KEY.delete().where(WEB_KEY.c.name == name))


async def insert_key(tx: Tx, name: str, value: str) -> None:
    """Keep a key."""
    await tx.execute(WEB_KEY.insert().values(name=name, value=value))
