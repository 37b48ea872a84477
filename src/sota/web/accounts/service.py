"""Use cases of accounts. The first two are also for commands, which prepare a Web Server before it runs::

password = await ensure_admin(db)          # None where there are accounts already
token = await issue_token(db, Role.OPERATOR, "demo")
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.exc import IntegrityError

from sota.boundaries.interaction import Role
from sota.kit.clock import Clock, SystemClock
from sota.kit.db import Database, Tx
from sota.kit.errors import Conflict, Invalid, Unauthenticated
from sota.web.accounts import store
from sota.web.accounts.model import (
    FIRST_ADMIN,
    Account,
    TokenHolder,
    check_name,
    check_password,
    generate_password,
    generate_token,
    hash_token,
)
from sota.web.accounts.password import Passwords


async def ensure_admin(db: Database, *, clock: Clock | None = None) -> str | None:
    """Make the first account, ``admin``, where there is none; gives its generated password, kept nowhere else."""
    async with db.read() as tx:
        if await store.any_account(tx):
            return None
    password = generate_password()
    password_hash = await Passwords().hash(password)
    now = (clock or SystemClock()).now()

    async def insert(tx: Tx) -> bool:
        if await store.any_account(tx):  # another Web Server on this database was quicker
            return False
        await store.insert_account(tx, FIRST_ADMIN, Role.ADMIN, password_hash, change_due=True, now=now)
        return True

    try:
        return password if await db.transact(insert) else None
    except IntegrityError:
        return None


async def add_account(db: Database, name: str, role: Role, password: str, *, clock: Clock | None = None) -> None:
    """Add an account.

    Raises:
        Invalid: the name or the password will not do.
        Conflict: the name is taken.
    """
    check_name(name)
    password_hash = await Passwords().hash(check_password(password))
    now = (clock or SystemClock()).now()
    if role is Role.PUBLIC:
        raise Invalid("An account's role is viewer, operator or admin.")
    try:
        await db.transact(lambda tx: store.insert_account(tx, name, role, password_hash, change_due=False, now=now))
    except IntegrityError:
        raise Conflict(f"There is an account {name} already.") from None


async def issue_token(
    db: Database, role: Role | str, name: str, *, valid_for: timedelta | None = None, clock: Clock | None = None
) -> str:
    """Make an API token for a program; gives it once, and keeps its hash."""
    token = generate_token()
    now = (clock or SystemClock()).now()
    expires_at = now + valid_for if valid_for is not None else None
    await db.transact(
        lambda tx: store.insert_token(tx, name, Role(role), hash_token(token), expires_at=expires_at, now=now)
    )
    return token


async def accept_token(tx: Tx, token: str, now: datetime) -> TokenHolder:
    """Find who holds this token.

    Raises:
        Unauthenticated: it is unknown, revoked or over.
    """
    holder = await store.find_token(tx, hash_token(token), now)
    if holder is None:
        raise Unauthenticated("This token is not known, or no longer valid.")
    return holder


async def check_credentials(db: Database, passwords: Passwords, name: str, password: str) -> Account | None:
    """Give the account if the password is its own. A name that nobody has takes as long as a wrong password."""
    async with db.read() as tx:
        account = await store.find_account(tx, name[:64])
    usable = account is not None and not account.disabled
    right = await passwords.check(password, account.password_hash if account is not None and usable else None)
    return account if right else None
