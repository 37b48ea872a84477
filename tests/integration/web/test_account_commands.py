"""``sota users`` and ``sota tokens`` on the Web Server's database, on both engines."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sota.boundaries.interaction import Role
from sota.cli.ending import ending
from sota.cli.main import make
from sota.cli.schemas import create_schemas, database_url
from sota.kit.audit.model import RecordFilter
from sota.kit.audit.trail import AuditTrail
from sota.kit.runtime.clock import SystemClock
from sota.kit.sql.database import Database
from sota.kit.sql.migrations import upgrade
from sota.web.accounts.password import Passwords
from sota.web.accounts.service import accept_token, check_credentials
from tests.support.databases import MariaDbServer

pytestmark = pytest.mark.anyio


def sota(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sota.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def type_here(*arguments: str) -> None:
    """Type a command in this process, which it ends."""
    ending(lambda: make(arguments[0])(list(arguments)))


async def make_tables(url: str) -> None:
    database = Database(url)
    await upgrade(database, "sota.web.migrations")
    await database.close()


async def test_account_from_its_making_to_its_end(fresh_database_url: str) -> None:
    await make_tables(fresh_database_url)
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
    records = [record.action async for record in audit.read_all(RecordFilter())]
    assert [(action.interaction, action.object) for action in records] == [
        ("X-B1-46", "users name=alice role=admin"),
        ("X-B1-46", "users name=bob role=admin"),
        ("X-B1-48", "users/alice disabled=True"),
        ("X-B1-48", "users/alice disabled=False"),
        ("X-B1-48", "users/alice reset_password=True"),
    ]
    assert all(action.actor.startswith("command:") for action in records)
    assert password not in str(records)
    assert (await audit.verify()).broken is None
    await database.close()


async def test_token_from_its_making_to_its_end(fresh_database_url: str, tmp_path: Path) -> None:
    await make_tables(fresh_database_url)
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


async def test_token_is_printed_once_where_no_file_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/web.db"
    await make_tables(url)
    made = sota("tokens", "new", "once", "--role", "operator", "--database", url)
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
async def test_odd_values_are_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    url = f"sqlite:///{tmp_path}/web.db"
    await make_tables(url)
    done = sota(*arguments, "--database", url)
    assert done.returncode in (1, 2), done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("users", "add", "alice", "--role", "admin"),
        ("tokens", "new", "nightly", "--role", "viewer"),
        ("audit", "verify"),
        ("audit", "export"),
        ("db", "upgrade", "core"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_command_never_makes_a_database(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for place in ((), ("--data", "other"), ("--database", "sqlite:///other/web.db")):
        with pytest.raises(SystemExit) as ended:
            type_here(*command, *place)
        told = capsys.readouterr()
        assert (ended.value.code, told.out, told.err.count("\n")) == (2, "", 1), told
        assert "there is no such database" in told.err
        assert list(tmp_path.iterdir()) == []


def test_command_makes_no_tables_in_an_empty_schema(
    mariadb_server: MariaDbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    url = mariadb_server.new_schema()
    with pytest.raises(SystemExit) as ended:
        type_here("users", "list", "--database", url)
    told = capsys.readouterr().err
    assert (ended.value.code, "run sota db upgrade web first" in told, told.count("\n")) == (2, True, 1)
    assert mariadb_server.execute(f"SHOW TABLES IN {url.rpartition('/')[2]}") == ""


def test_data_folder_of_a_backend_on_a_server_names_its_schema(
    mariadb_server: MariaDbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = mariadb_server.url
    asyncio.run(create_schemas(server))
    asyncio.run(make_tables(database_url(tmp_path, server, "web")))
    monkeypatch.setenv("SOTA_UP_DATABASE", server)
    for command in (("add", "alice", "--role", "admin"), ("list",)):
        with pytest.raises(SystemExit) as ended:
            type_here("users", *command, "--data", str(tmp_path))
        assert ended.value.code == 0
    assert re.search(r"alice +admin", capsys.readouterr().out)
    assert list(tmp_path.iterdir()) == []
