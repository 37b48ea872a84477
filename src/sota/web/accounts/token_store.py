"""Tokens in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from sota.boundaries.interaction import Role
from sota.kit.runtime.clock import new_id
from sota.kit.sql.database import Tx
from sota.kit.sql.statements import AnyRow
from sota.web.accounts.model import Origin, Token, lesser
from sota.web.tables import ACCOUNT, API_TOKEN

# Needed for each request of a program, so it is built once: building a statement takes longer than executing it.
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
    origin: Origin,
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
            account_id=origin.account_id,
            parent_id=origin.parent_id,
            created_at=now,
            expires_at=expires_at,
        )
    )
    return token_id


async def find_token(tx: Tx, token_hash: str, now: datetime) -> Token | None:
    """Find the token with this hash, unless it is revoked or expired, or its owner disabled."""
    row = (await tx.execute(_ONE_VALID, {"now": now, "token_hash": token_hash})).first()
    return _read(row) if row is not None else None


async def list_tokens(
    tx: Tx, now: datetime, limit: int, after: UUID | None, *, account_id: UUID | None, everybodys: bool
) -> list[Token]:
    """List the valid tokens of an account, or all accounts' and services', oldest first."""
    query = _VALID.order_by(API_TOKEN.c.id).limit(limit)
    if after is not None:
        query = query.where(API_TOKEN.c.id > after)
    if not everybodys:
        query = query.where(_owned_by(account_id))
    return [_read(row) for row in await tx.execute(query, {"now": now})]


async def revoke_token(
    tx: Tx, token_id: UUID, now: datetime, *, account_id: UUID | None, everybodys: bool
) -> str | None:
    """Revoke a token of an account, or of any; return its name, None if no such token exists."""
    this = sa.and_(API_TOKEN.c.id == token_id, API_TOKEN.c.revoked_at.is_(None))
    if not everybodys:
        this = sa.and_(this, _owned_by(account_id))
    name: str | None = (await tx.execute(sa.select(API_TOKEN.c.name).where(this))).scalar()
    if name is not None:
        await _revoke_all(tx, [token_id], now)
    return name


async def revoke_tokens(tx: Tx, name: str, now: datetime) -> int:
    """Revoke all services' tokens of this name; return how many there were."""
    this = sa.and_(API_TOKEN.c.name == name, API_TOKEN.c.account_id.is_(None), API_TOKEN.c.revoked_at.is_(None))
    found = list((await tx.execute(sa.select(API_TOKEN.c.id).where(this))).scalars())
    await _revoke_all(tx, found, now)
    return len(found)


async def revoke_of_account(tx: Tx, account_id: UUID, now: datetime) -> None:
    """Revoke an account's tokens, and tokens created with them."""
    this = sa.and_(API_TOKEN.c.account_id == account_id, API_TOKEN.c.revoked_at.is_(None))
    await _revoke_all(tx, list((await tx.execute(sa.select(API_TOKEN.c.id).where(this))).scalars()), now)


async def revoke_made_by(tx: Tx, account_id: UUID, now: datetime) -> None:
    """Revoke the services' tokens that were created with an account's: they stay valid while it is disabled."""
    own = list((await tx.execute(sa.select(API_TOKEN.c.id).where(API_TOKEN.c.account_id == account_id))).scalars())
    made = await _made_with(tx, own)
    others = sa.and_(API_TOKEN.c.id.in_(made), API_TOKEN.c.account_id.is_(None))
    await _revoke_all(tx, list((await tx.execute(sa.select(API_TOKEN.c.id).where(others))).scalars()), now)


async def hold_valid(tx: Tx, token_id: UUID) -> bool:
    """Return whether a token is valid, and lock it until the transaction ends."""
    query = sa.select(API_TOKEN.c.revoked_at).where(API_TOKEN.c.id == token_id).with_for_update()
    row = (await tx.execute(query)).first()
    return row is not None and row.revoked_at is None


async def _revoke_all(tx: Tx, ids: Sequence[UUID], now: datetime) -> None:
    """Revoke these tokens and, level by level, all that were created with them."""
    level = list(ids)
    while level:
        still_valid = sa.and_(API_TOKEN.c.id.in_(level), API_TOKEN.c.revoked_at.is_(None))
        await tx.execute(API_TOKEN.update().where(still_valid).values(revoked_at=now))
        level = await _made_with(tx, level)


async def _made_with(tx: Tx, ids: Sequence[UUID]) -> list[UUID]:
    if not ids:
        return []
    return list((await tx.execute(sa.select(API_TOKEN.c.id).where(API_TOKEN.c.parent_id.in_(list(ids))))).scalars())


async def touch_tokens(tx: Tx, uses: Mapping[UUID, datetime]) -> None:
    """Note when tokens were last used."""
    for token_id, at in sorted(uses.items()):
        await tx.execute(API_TOKEN.update().where(API_TOKEN.c.id == token_id).values(last_used_at=at))


def _owned_by(account_id: UUID | None) -> sa.ColumnElement[bool]:
    return API_TOKEN.c.account_id == account_id if account_id is not None else sa.false()


def _read(row: AnyRow) -> Token:
    role = Role(row.role) if row.account is None else lesser(Role(row.role), Role(row.account_role))
    return Token(row.id, row.name, role, row.account_id, row.account, row.created_at, row.expires_at, row.last_used_at)
