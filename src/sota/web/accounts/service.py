"""Use cases of accounts. The first two are also for commands that prepare a Web Server before it runs::

password = await ensure_admin(db)          # None if there are accounts already
token = await issue_token(db, Role.OPERATOR, "demo")
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from sota.boundaries.interaction import Role
from sota.kit.errors import Invalid, NotFound, Refused, Unauthenticated
from sota.kit.runtime.clock import Clock, SystemClock
from sota.kit.sql.database import Database, Tx
from sota.web.accounts import store, token_store
from sota.web.accounts.model import (
    FIRST_ADMIN,
    Account,
    Origin,
    Token,
    check_name,
    check_password,
    generate_password,
    generate_token,
    hash_token,
)
from sota.web.accounts.password import Passwords

TOUCH_EVERY = timedelta(seconds=60)


async def ensure_admin(db: Database, *, password: str | None = None, clock: Clock | None = None) -> str | None:
    """Create the first account, ``admin``, if there is none; return its password, generated if not given."""
    async with db.read() as tx:
        if await store.any_account(tx):
            return None
    password = password or generate_password()
    password_hash = await Passwords().hash(password)
    now = (clock or SystemClock()).now()

    async def insert(tx: Tx) -> bool:
        if await store.any_account(tx):  # another Web Server on this database was faster
            return False
        await store.insert_account(tx, FIRST_ADMIN, Role.ADMIN, password_hash, change_due=True, now=now)
        return True

    return password if await db.transact(insert, may_collide=True) else None


async def add_account(
    db: Database, name: str, role: Role, password: str, *, change_due: bool = False, clock: Clock | None = None
) -> None:
    """Add an account.

    Raises:
        Invalid: the name or the password is not acceptable.
        Refused: the name is taken.
    """
    check_name(name)
    password_hash = await Passwords().hash(check_password(password))
    now = (clock or SystemClock()).now()
    if role is Role.PUBLIC:
        raise Invalid("An account's role is viewer, operator or admin.")
    try:
        await db.transact(
            lambda tx: store.insert_account(tx, name, role, password_hash, change_due=change_due, now=now)
        )
    except IntegrityError:
        raise Refused("user_exists", f"There is an account {name} already.", title="Account already exists") from None


async def change_account(
    db: Database,
    name: str,
    *,
    role: Role | None = None,
    disabled: bool | None = None,
    password: str | None = None,
    change_due: bool = False,
    clock: Clock | None = None,
) -> None:
    """Change an account's role, disable or enable it, or give it a password; its sessions end.

    A password change also revokes its tokens and tokens created with them: who knew the old one may have created
    some.
        Raises:
            NotFound: no such account exists.
            Refused: no active admin would be left.
            Invalid: the password is not acceptable.
    """
    values: dict[str, object] = {}
    now = (clock or SystemClock()).now()
    if role is not None:
        values["role"] = role.value
    if disabled is not None:
        values["disabled"] = disabled
    if password is not None:
        values["password_hash"] = await Passwords().hash(check_password(password))
        values["password_change_due"] = change_due
        values["password_changed_at"] = now

    async def change(tx: Tx) -> None:
        account = await _of_name(tx, name)
        if disabled or (role is not None and role is not Role.ADMIN):
            await _keep_an_admin(tx, account)
        if values:
            await store.update_account(tx, account.id, **values)
        if password is not None:
            await token_store.revoke_of_account(tx, account.id, now)
        elif disabled:
            await token_store.revoke_made_by(tx, account.id, now)

    await db.transact(change)


async def delete_account(db: Database, name: str, *, clock: Clock | None = None) -> None:
    """Delete an account, its sessions and its tokens; tokens created with those are revoked.

    Raises:
        NotFound: no such account exists.
        Refused: no active admin would be left.
    """

    async def delete(tx: Tx) -> None:
        account = await _of_name(tx, name)
        await _keep_an_admin(tx, account)
        await token_store.revoke_of_account(tx, account.id, (clock or SystemClock()).now())
        await store.delete_account(tx, account.id)

    await db.transact(delete)


async def _of_name(tx: Tx, name: str) -> Account:
    account = await store.find_account(tx, name)
    if account is None:
        raise NotFound(f"There is no account {name[:64]}.")
    return account


async def _keep_an_admin(tx: Tx, account: Account) -> None:
    if await store.lock_admins(tx) == {account.id}:
        raise Refused("last_admin", f"{account.name} is the last admin: make another one first.", title="Last admin")


async def issue_token(
    db: Database,
    role: Role | str,
    name: str,
    *,
    account_id: UUID | None = None,
    valid_for: timedelta | None = None,
) -> str:
    """Create an API token of a service or of an account; return it once, and store its hash."""
    now = SystemClock().now()
    expires_at = now + valid_for if valid_for is not None else None
    _, token = await make_token(db, role, name, account_id=account_id, expires_at=expires_at, now=now)
    return token


async def make_token(
    db: Database,
    role: Role | str,
    name: str,
    *,
    account_id: UUID | None,
    expires_at: datetime | None,
    now: datetime,
    parent_id: UUID | None = None,
) -> tuple[UUID, str]:
    """Create an API token; return its id and the token itself, of which only the hash is stored.

    ``parent_id`` is the token that it is created with, and ends with.

    Raises:
        Unauthenticated: that one was revoked meanwhile.
    """
    token = generate_token()

    async def insert(tx: Tx) -> UUID:
        if parent_id is not None and not await token_store.hold_valid(tx, parent_id):
            raise Unauthenticated("This token is not known, or no longer valid.")
        return await token_store.insert_token(
            tx,
            name,
            Role(role),
            hash_token(token),
            origin=Origin(account_id, parent_id),
            expires_at=expires_at,
            now=now,
        )

    return await db.transact(insert), token


async def accept_token(tx: Tx, token: str, now: datetime) -> Token:
    """Find a token by its secret.

    Raises:
        Unauthenticated: it is unknown, revoked or expired.
    """
    found = await token_store.find_token(tx, hash_token(token), now)
    if found is None:
        raise Unauthenticated("This token is not known, or no longer valid.")
    return found


class TokenUses:
    """Collects the times of token uses and writes them now and then: a read must not wait for a write."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._uses: dict[UUID, datetime] = {}

    def note(self, token: Token, now: datetime) -> None:
        """Note a use."""
        if token.last_used_at is None or now >= token.last_used_at + TOUCH_EVERY:
            self._uses[token.id] = now

    async def write(self) -> None:
        """Write the noted uses."""
        if self._uses:
            uses, self._uses = self._uses, {}
            await self._db.transact(lambda tx: token_store.touch_tokens(tx, uses))


async def check_credentials(db: Database, passwords: Passwords, name: str, password: str) -> Account | None:
    """Return the account if the password is right. An unknown name takes as long as a wrong password."""
    async with db.read() as tx:
        account = await store.find_account(tx, name)
    usable = account is not None and not account.disabled
    right = await passwords.check(password, account.password_hash if account is not None and usable else None)
    return account if right else None
