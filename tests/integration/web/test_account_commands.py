"""``sota users`` and ``sota tokens`` on the Web Server's database, on both engines."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sota.boundaries.interaction import Role
from sota.kit.audit.model import Wanted
from sota.kit.audit.trail import AuditTrail
from sota.kit.clock import SystemClock
from sota.kit.db import Database
from sota.web.accounts.password import Passwords
from sota.web.accounts.service import accept_token, check_credentials

pytestmark = pytest.mark.anyio


def sota(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sota.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


async def test_account_from_its_making_to_its_end(fresh_database_url: str) -> None:
    at = ("--database", fresh_database_url)
    added = sota("users", "add", "alice", "--role", "admin", *at)
    assert added.returncode == 0, added.stderr
    password = added.stdout.split()[-1]
    database, passwords = Database(fresh_database_url), Passwords()
    account = await check_credentials(database, passwords, "alice", password)
    assert account is not None
    assert (account.role, account.password_change_due) == (Role.ADMIN, True)
    assert re.search(r"alice +admin +password to be changed +0", sota("users", "list", *at).stdout)

    twice = sota("users", "add", "alice", "--role", "viewer", *at)
    assert (twice.returncode, twice.stderr) == (
        1,
        "sota: Account already exists: There is an account alice already.\n",
    )
    last = sota("users", "disable", "alice", *at)
    assert (last.returncode, last.stderr) == (1, "sota: Last admin: alice is the last admin: make another one first.\n")

    assert sota("users", "add", "bob", "--role", "admin", *at).returncode == 0
    assert sota("users", "disable", "alice", *at).returncode == 0
    assert await check_credentials(database, passwords, "alice", password) is None
    assert sota("users", "enable", "alice", *at).returncode == 0
    reset = sota("users", "reset", "alice", *at)
    assert await check_credentials(database, passwords, "alice", password) is None
    assert await check_credentials(database, passwords, "alice", reset.stdout.split()[-1]) is not None

    audit = AuditTrail(database)
    records = [record.deed async for record in audit.read_all(Wanted())]
    assert [(deed.interaction, deed.object) for deed in records] == [
        ("X-B1-46", "users name=alice role=admin"),
        ("X-B1-46", "users name=bob role=admin"),
        ("X-B1-48", "users/alice disabled=True"),
        ("X-B1-48", "users/alice disabled=False"),
        ("X-B1-48", "users/alice reset_password=True"),
    ]
    assert all(deed.actor.startswith("command:") for deed in records)
    assert password not in str(records)
    assert (await audit.verify()).broken is None
    await database.close()


async def test_token_from_its_making_to_its_end(fresh_database_url: str, tmp_path: Path) -> None:
    at = ("--database", fresh_database_url)
    file = tmp_path / "nightly.token"
    made = sota("tokens", "new", "nightly report", "--role", "viewer", "--days", "7", "--token-file", str(file), *at)
    assert made.returncode == 0, made.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    database = Database(fresh_database_url)
    async with database.read() as tx:
        token = await accept_token(tx, file.read_text(), SystemClock().now())
    assert (token.actor, token.role) == ("token:nightly report", Role.VIEWER)
    listed = sota("tokens", "list", *at).stdout
    assert re.search(rf"{token.id} +nightly report +viewer +a service +\d{{4}}-\d\d-\d\d +never", listed)
    assert sota("tokens", "revoke", str(token.id), *at).returncode == 0
    assert sota("tokens", "revoke", str(token.id), *at).returncode == 1
    assert "nightly report" not in sota("tokens", "list", *at).stdout
    await database.close()


def test_token_is_printed_once_where_no_file_is_named(tmp_path: Path) -> None:
    made = sota("tokens", "new", "once", "--role", "operator", "--database", f"sqlite:///{tmp_path}/web.db")
    assert re.fullmatch(r"sota_[A-Za-z0-9_-]{43}\n", made.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ("tokens", "new", "x/y", "--role", "viewer"),
        ("tokens", "new", "long", "--role", "viewer", "--days", "367"),
        ("tokens", "new", "root", "--role", "public"),
        ("users", "add", "with space", "--role", "viewer"),
        ("users", "disable", "nobody"),
    ],
)
def test_odd_values_are_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = sota(*arguments, "--database", f"sqlite:///{tmp_path}/web.db")
    assert done.returncode in (1, 2), done.stdout
    assert "Traceback" not in done.stderr
