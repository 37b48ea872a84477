"""Use cases of sessions: sign in, recognise, change one's password, sign out.

A session's last use is written once a minute at most, so that reading pages does not write to the database.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from functools import partial
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from sota.boundaries.b1_browser_web.admin_messages import SessionEntry
from sota.boundaries.interaction import Role
from sota.kit.errors import Invalid, Unavailable
from sota.kit.runtime.clock import Clock
from sota.kit.runtime.logging import get_logger
from sota.kit.sql import damaged_rows as damage
from sota.kit.sql.database import Database, Tx
from sota.web.accounts.model import Account, check_password, hash_token
from sota.web.accounts.password import Passwords
from sota.web.accounts.service import change_account, check_credentials
from sota.web.accounts.store import find_account
from sota.web.sessions import store
from sota.web.sessions.model import Attempt, Session
from sota.web.sessions.throttle import too_many

TOUCH_EVERY = timedelta(seconds=60)
OWN = "own"  # the mark of a signed-in user who changes the password


class Sessions:
    """The sessions of this Web Server's database."""

    def __init__(self, db: Database, clock: Clock, *, idle_s: float, limit_s: float) -> None:
        self._db, self._clock = db, clock
        self._idle, self._limit = timedelta(seconds=idle_s), timedelta(seconds=limit_s)
        self._passwords = Passwords()

    async def sign_in(self, attempt: Attempt, password: str, *, replaces: str | None) -> Session | None:
        """Check the credentials and begin a session; None when they are wrong. The session of ``replaces`` ends.

        Raises:
            TooMany: too many failures; the error says how long to wait.
        """
        await self._count(attempt)
        account = await check_credentials(self._db, self._passwords, attempt.name, password)
        if account is None:
            return None
        return await self._begin(account, attempt, replaces)

    async def known_name(self, name: str) -> str | None:
        """Return the name if an account has it."""
        async with self._db.read() as tx:
            account = await find_account(tx, name)
        return account.name if account is not None else None

    async def find(self, token: str) -> Session | None:
        """Find the session of a cookie, unless it has expired."""
        now, token_hash = self._clock.now(), hash_token(token)
        async with self._db.read() as tx:
            session = await store.find_session(tx, token, token_hash)
        if session is None or now >= session.ends_at or now >= session.last_used_at + self._idle:
            return None
        if now >= session.last_used_at + min(TOUCH_EVERY, self._idle / 4):
            try:
                await self._db.transact(lambda tx: store.touch_session(tx, token_hash, now))
            except Unavailable as error:  # readers can continue on a store that takes no writes
                get_logger(feature="sessions").warning("session_not_extended", reason=error.detail)
        return session

    async def end(self, token: str) -> None:
        """Sign out."""
        await self._db.transact(lambda tx: store.delete_session(tx, hash_token(token)))

    async def change_password(self, name: str, old: str, new: str, address: str) -> bool:
        """Change an account's password and end its sessions; False if the old password is wrong.

        A wrong one counts like a failed sign-in, so that an open session does not help to guess. It has its own count:
        guesses from outside must not keep an account's owner from changing the password.

        Raises:
            TooMany: too many failures.
            Invalid: the new password is not acceptable.
        """
        check_password(new)
        if new == old:
            raise Invalid("The new password is the old one.")
        attempt = Attempt(name, address, OWN)
        await self._count(attempt)
        account = await check_credentials(self._db, self._passwords, name, old)
        if account is None:
            return False
        await self._db.transact(lambda tx: store.forgive(tx, attempt))
        await change_account(self._db, account.name, password=new, clock=self._clock)
        return True

    async def begin_for(self, account_id: UUID, name: str, role: Role, address: str) -> Session:
        """Begin a session of an account that has just been authenticated."""
        now = self._clock.now()
        session = Session(secrets.token_urlsafe(32), account_id, name, role, now, now, now + self._limit)
        await self._db.transact(lambda tx: store.insert_session(tx, session, address))
        return session

    async def of_account(self, account_id: UUID, token: str | None) -> list[SessionEntry]:
        """List an account's sessions; ``token`` is the caller's cookie."""
        now = self._clock.now()
        async with self._db.read() as tx:
            return await store.list_sessions(
                tx, account_id, now, now - self._idle, hash_token(token) if token is not None else None
            )

    async def end_all(self, account_id: UUID) -> None:
        """Sign an account out everywhere."""
        await self._db.transact(lambda tx: store.delete_sessions(tx, account_id))

    async def sweep(self) -> None:
        """Delete expired sessions."""
        now = self._clock.now()
        await self._db.transact(lambda tx: store.delete_over(tx, now, now - self._idle))

    async def return_key(self) -> bytes:
        """Return the key that signs the page to return to; the first Web Server on a database creates it."""
        async with self._db.read() as tx:
            key = await store.find_key(tx, "return")
        if key is not None and damage.readable("web_key", "return", partial(bytes.fromhex, key), b"") == b"":
            await self._db.transact(lambda tx: store.delete_key(tx, "return"))  # its signatures are valid for minutes
            key = None
        if key is None:
            fresh = secrets.token_hex(32)
            try:
                await self._db.transact(lambda tx: store.insert_key(tx, "return", fresh))
                key = fresh
            except IntegrityError:  # another Web Server was faster
                return await self.return_key()
        return bytes.fromhex(key)

    async def _count(self, attempt: Attempt) -> None:
        now = self._clock.now()

        async def count(tx: Tx) -> float:
            until = await store.turn_at(tx, attempt, now)
            if until is not None:
                return (until - now).total_seconds()
            await store.count_attempt(tx, attempt, now)
            return 0.0

        wait_s = await self._db.transact(count, may_collide=True)
        if wait_s > 0:
            raise too_many("failed sign-ins", wait_s)

    async def _begin(self, account: Account, attempt: Attempt, replaces: str | None) -> Session:
        now, due = self._clock.now(), account.password_change_due
        token, ends_at = secrets.token_urlsafe(32), now + self._limit
        session = Session(token, account.id, account.name, account.role, now, now, ends_at, due)

        async def begin(tx: Tx) -> None:
            await store.forgive(tx, attempt)
            if replaces is not None:  # a cookie planted before the sign-in becomes worthless
                await store.delete_session(tx, hash_token(replaces))
            await store.insert_session(tx, session, attempt.address)

        await self._db.transact(begin)
        return session
