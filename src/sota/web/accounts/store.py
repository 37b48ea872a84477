"""Accounts and tokens in the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from sota.boundaries.interaction import Role
from sota.kit.clock import new_id
from sota.kit.db import Tx
from sota.web.accounts.model import Account, TokenHolder
from sota.web.tables import ACCOUNT, API_TOKEN


async def any_account(tx: Tx) -> bool:
    """Say whether there is an account at all."""
    return (await tx.execute(sa.select(ACCOUNT.c.id).limit(1))).first() is not None


async def find_account(tx: Tx, name: str) -> Account | None:
    """Find an account by its name."""
    row = (await tx.execute(sa.select(ACCOUNT).where(ACCOUNT.c.name == name))).first()
    return read_account(row) if row is not None else None


def read_account(row: Any) -> Account:
    """Turn a row with the account's columns into an account."""
    return Account(row.id, row.name, Role(row.role), row.password_hash, row.password_change_due, row.disabled)


async def insert_account(tx: Tx, name: str, role: Role, password_hash: str, *, change_due: bool, now: datetime) -> UUID:
    """Insert an account; its name must be free."""
    account_id = new_id()
    await tx.execute(
        ACCOUNT.insert().values(
            id=account_id,
            name=name,
            role=role.value,
            password_hash=password_hash,
            password_change_due=change_due,
            created_at=now,
            password_changed_at=now,
        )
    )
    return account_id


async def insert_token(
    tx: Tx, name: str, role: Role, token_hash: str, *, expires_at: datetime | None, now: datetime
) -> UUID:
    """Insert a token, of which only the hash is known here."""
    token_id = new_id()
    await tx.execute(
        API_TOKEN.insert().values(
            id=token_id, name=name, role=role.value, token_hash=token_hash, created_at=now, expires_at=expires_at
        )
    )
    return token_id


async def find_token(tx: Tx, token_hash: str, now: datetime) -> TokenHolder | None:
    """Find the token with this hash, unless it is revoked or over."""
    query = sa.select(API_TOKEN).where(
        API_TOKEN.c.token_hash == token_hash,
        API_TOKEN.c.revoked_at.is_(None),
        sa.or_(API_TOKEN.c.expires_at.is_(None), API_TOKEN.c.expires_at > now),
    )
    row = (await tx.execute(query)).first()
    return TokenHolder(row.id, row.name, Role(row.role), row.expires_at) if row is not None else None


async def revoke_tokens(tx: Tx, name: str, now: datetime) -> int:
    """Revoke all tokens of this name; gives how many."""
    changed = await tx.execute(
        API_TOKEN.update().where(API_TOKEN.c.name == name, API_TOKEN.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    return changed.rowcount
