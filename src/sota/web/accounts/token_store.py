"""Tokens in the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from sota.boundaries.interaction import Role
from sota.kit.clock import new_id
from sota.kit.db import Tx
from sota.web.accounts.model import Token, lesser
from sota.web.tables import ACCOUNT, API_TOKEN

# Asked with every request of a program, so it is built once: building a statement takes longer than asking.
_VALID = (
    sa.select(API_TOKEN, ACCOUNT.c.name.label("account"), ACCOUNT.c.role.label("account_role"))
    .join(ACCOUNT, ACCOUNT.c.id == API_TOKEN.c.account_id, isouter=True)
    .where(
        API_TOKEN.c.revoked_at.is_(None),
        sa.or_(API_TOKEN.c.expires_at.is_(None), API_TOKEN.c.expires_at > sa.bindparam("now")),
        sa.or_(API_TOKEN.c.account_id.is_(None), ACCOUNT.c.disabled.is_(sa.false())),
    )
)
_ONE_VALID = _VALID.where(API_TOKEN.c.token_hash == sa.bindparam("token_hash"))


async def insert_token(
    tx: Tx,
    name: str,
    role: Role,
    token_hash: str,
    *,
    account_id: UUID | None = None,
    expires_at: datetime | None,
    now: datetime,
) -> UUID:
    """Insert a token, of which only the hash is known here."""
    token_id = new_id()
    await tx.execute(
        API_TOKEN.insert().values(
            id=token_id,
            name=name,
            role=role.value,
            token_hash=token_hash,
            account_id=account_id,
            created_at=now,
            expires_at=expires_at,
        )
    )
    return token_id


async def find_token(tx: Tx, token_hash: str, now: datetime) -> Token | None:
    """Find the token with this hash, unless it is revoked or over, or its owner disabled."""
    row = (await tx.execute(_ONE_VALID, {"now": now, "token_hash": token_hash})).first()
    return _read(row) if row is not None else None


async def list_tokens(
    tx: Tx, now: datetime, limit: int, after: UUID | None, *, account_id: UUID | None, everybodys: bool
) -> list[Token]:
    """List the valid tokens of an account, or everybody's and the services', oldest first."""
    query = _VALID.order_by(API_TOKEN.c.id).limit(limit)
    if after is not None:
        query = query.where(API_TOKEN.c.id > after)
    if not everybodys:
        query = query.where(_owned_by(account_id))
    return [_read(row) for row in await tx.execute(query, {"now": now})]


async def revoke_token(
    tx: Tx, token_id: UUID, now: datetime, *, account_id: UUID | None, everybodys: bool
) -> str | None:
    """Revoke a token of an account, or anybody's; gives its name, None where there is no such token."""
    this = sa.and_(API_TOKEN.c.id == token_id, API_TOKEN.c.revoked_at.is_(None))
    if not everybodys:
        this = sa.and_(this, _owned_by(account_id))
    name: str | None = (await tx.execute(sa.select(API_TOKEN.c.name).where(this))).scalar()
    await tx.execute(API_TOKEN.update().where(this).values(revoked_at=now))
    return name


async def revoke_tokens(tx: Tx, name: str, now: datetime) -> int:
    """Revoke all services' tokens of this name; gives how many."""
    this = sa.and_(API_TOKEN.c.name == name, API_TOKEN.c.account_id.is_(None), API_TOKEN.c.revoked_at.is_(None))
    changed = await tx.execute(API_TOKEN.update().where(this).values(revoked_at=now))
    return changed.rowcount


async def touch_tokens(tx: Tx, uses: Mapping[UUID, datetime]) -> None:
    """Note when tokens were last used."""
    for token_id, at in sorted(uses.items()):
        await tx.execute(API_TOKEN.update().where(API_TOKEN.c.id == token_id).values(last_used_at=at))


def _owned_by(account_id: UUID | None) -> sa.ColumnElement[bool]:
    return API_TOKEN.c.account_id == account_id if account_id is not None else sa.false()


def _read(row: Any) -> Token:
    role = Role(row.role) if row.account is None else lesser(Role(row.role), Role(row.account_role))
    return Token(row.id, row.name, role, row.account_id, row.account, row.created_at, row.expires_at, row.last_used_at)
