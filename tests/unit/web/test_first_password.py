"""The first account's password: kept until its owner has another one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sota.boundaries.interaction import Role
from sota.kit.runtime.clock import SystemClock
from sota.kit.sql.database import Database
from sota.kit.sql.migrations import upgrade
from sota.web.accounts.first_password import FirstPassword
from sota.web.accounts.password import Passwords
from sota.web.accounts.service import add_account, change_account, check_credentials

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ANOTHER = "another long password"


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.fixture
async def db(fresh_database_url: str) -> AsyncIterator[Database]:
    database = Database(fresh_database_url)
    await upgrade(database, "sota.web.migrations")
    yield database
    await database.close()


async def test_each_start_shows_the_password_until_it_is_changed(db: Database, tmp_path: Path) -> None:
    first = FirstPassword(tmp_path / "web", db)
    password = await first.prepare(SystemClock())
    assert password is not None
    assert await check_credentials(db, Passwords(), "admin", password) is not None
    file = tmp_path / "web" / "first-password"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)

    assert await FirstPassword(tmp_path / "web", db).prepare(SystemClock()) == password
    await first.forget_when_used()
    assert file.exists()
    await change_account(db, "admin", password=ANOTHER)
    await first.forget_when_used()
    assert not file.exists()
    assert await first.prepare(SystemClock()) is None


async def test_password_that_was_reset_is_shown_no_more(db: Database, tmp_path: Path) -> None:
    first = FirstPassword(tmp_path, db)
    await first.prepare(SystemClock())
    await change_account(db, "admin", password=ANOTHER, change_due=True)
    assert await first.prepare(SystemClock()) is None
    assert files_in(tmp_path) == []


async def test_kill_before_the_account_was_made_loses_nothing(db: Database, tmp_path: Path) -> None:
    (tmp_path / "first-password").write_text("the password that was written first")
    password = await FirstPassword(tmp_path, db).prepare(SystemClock())
    assert password == "the password that was written first"
    assert await check_credentials(db, Passwords(), "admin", password) is not None


async def test_database_with_accounts_gets_no_first_password(db: Database, tmp_path: Path) -> None:
    await add_account(db, "alice", Role.ADMIN, ANOTHER)
    assert await FirstPassword(tmp_path, db).prepare(SystemClock()) is None
    assert files_in(tmp_path) == []
