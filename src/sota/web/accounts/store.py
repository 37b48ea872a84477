"""Accounts in the database."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from sota.boundaries.interaction import Role
from sota.kit.runtime.clock import new_id
from sota.kit.sql.database import Tx
from sota.kit.sql.statements import AnyRow, AnySelect
from sota.web.accounts.model import Account
from sota.web.tables import ACCOUNT, API_TOKEN, SESSION


async def any_account(tx: Tx) -> bool:
    """Return whether any account exists."""
    return (await tx.execute(sa.select(ACCOUNT.c.id).limit(1))).first() is not None


async def find_account(tx: Tx, name: str) -> Account | None:
    """Find an account by its exact name."""
    row = (await tx.execute(sa.select(ACCOUNT).where(ACCOUNT.c.name == name))).first()
    # MariaDB ignores trailing spaces: with some, a name would count as another one for failed sign-ins.
    return read_account(row) if row is not None and row.name == name else None


def read_account(row: AnyRow) -> Account:
    """Build an account from a row with its columns."""
    return Account(
        row.id,
        row.name,
        Role(row.role),
        row.password_hash,
        row.password_change_due,
        row.disabled,
        row.created_at,
        row.password_changed_at,
    )


async def insert_account(tx: Tx, name: str, role: Role, password_hash: str, *, change_due: bool, now: datetime) -> None:
    """Insert an account; its name must be free."""
    await tx.execute(
        ACCOUNT.insert().values(
            id=new_id(),
            name=name,
            role=role.value,
            password_hash=password_hash,
            password_change_due=change_due,
            created_at=now,
            password_changed_at=now,
        )
    )


async def list_accounts(tx: Tx, limit: int, after: str | None) -> list[tuple[Account, int]]:
    """List accounts by name, each with the number of its sessions."""
    query = _with_sessions().order_by(ACCOUNT.c.name).limit(limit)
    if after is not None:
        query = query.where(ACCOUNT.c.name > after)
    return [(read_account(row), row.sessions) for row in await tx.execute(query)]


async def describe_account(tx: Tx, name: str) -> tuple[Account, int] | None:
    """Find an account by its name, with the number of its sessions."""
    row = (await tx.execute(_with_sessions().where(ACCOUNT.c.name == name))).first()
    return (read_account(row), row.sessions) if row is not None and row.name == name else None


def _with_sessions() -> AnySelect:
    count = sa.select(sa.func.count()).where(SESSION.c.account_id == ACCOUNT.c.id).scalar_subquery()
    return sa.select(ACCOUNT, count.label("sessions"))


async def lock_admins(tx: Tx) -> set[UUID]:
    """Return the admins who can sign in, and lock them until this transaction ends."""
    query = (
        sa.select(ACCOUNT.c.id)
        .where(ACCOUNT.c.role == Role.ADMIN.value, ACCOUNT.c.disabled.is_(sa.false()))
        .order_by(ACCOUNT.c.id)
        .with_for_update()
    )
    return set((await tx.execute(query)).scalars())


async def update_account(tx: Tx, account_id: UUID, **values: object) -> None:
    """Change columns of an account, and end its sessions: their rights may have changed."""
    await tx.execute(ACCOUNT.update().where(ACCOUNT.c.id == account_id).values(**values))
    await tx.execute(SESSION.delete().where(SESSION.c.account_id == account_id))


async def delete_account(tx: Tx, account_id: UUID) -> None:
    """Delete an account with its sessions and tokens."""
    await tx.execute(SESSION.delete().where(SESSION.c.account_id == account_id))
    await tx.execute(API_TOKEN.delete().where(API_TOKEN.c.account_id == account_id))
    await tx.execute(ACCOUNT.delete().where(ACCOUNT.c.id == account_id))
