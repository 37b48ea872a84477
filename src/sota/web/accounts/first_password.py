"""The generated password of the first account, kept in a file until its owner has chosen another one.

Rules kept here:

* the file is written before the account is created, so a kill leaves no account whose password is unknown;
* each start shows the password as long as it is valid and must still be changed;
* the file is deleted when the password was changed or reset, or the account disabled.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from sota.kit.files.durable import private_folder, sync_folder, write_atomic
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database
from sota.web.accounts import store
from sota.web.accounts.model import FIRST_ADMIN, Account, generate_password
from sota.web.accounts.password import Passwords
from sota.web.accounts.service import ensure_admin


class FirstPassword:
    """The file ``first-password`` in the Web Server's data folder."""

    def __init__(self, folder: Path, db: Database) -> None:
        self._file, self._db = folder / "first-password", db

    async def prepare(self, clock: Clock) -> str | None:
        """Create the first account if there is none; return its password as long as it was not changed."""
        kept = self._read()
        async with self._db.read() as tx:
            is_new = not await store.any_account(tx)
        if is_new:
            kept = kept or generate_password()
            private_folder(self._file.parent)
            write_atomic(self._file, kept.encode())
            await ensure_admin(self._db, password=kept, clock=clock)
        account = await self._due()
        if kept is not None and account is not None and await Passwords().check(kept, account.password_hash):
            return kept
        self._forget()
        return None

    async def forget_when_used(self) -> None:
        """Delete the file once the account has another password."""
        if self._file.exists() and await self._due() is None:
            self._forget()

    async def _due(self) -> Account | None:
        """Return the first account, as long as it must change its password."""
        async with self._db.read() as tx:
            account = await store.find_account(tx, FIRST_ADMIN)
        return account if account is not None and account.password_change_due and not account.disabled else None

    def _read(self) -> str | None:
        try:
            return self._file.read_text("ascii").strip() or None
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def _forget(self) -> None:
        with contextlib.suppress(OSError):  # the next round, or the next start, tries again
            self._file.unlink()
            sync_folder(self._file.parent)
