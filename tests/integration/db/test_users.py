"""``deploy/mariadb/users.sql`` on a real server: each program's user can do its work, and nothing elsewhere.

A program applies its migrations at its start, and so its user may change tables, in its own schema alone.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from sota.kit.errors import StartError
from sota.kit.sql.database import Database
from sota.kit.sql.migrations import downgrade, upgrade
from tests.support.backend import running_backend
from tests.support.databases import MariaDbServer

USERS_SQL = (Path(__file__).parents[3] / "deploy" / "mariadb" / "users.sql").read_text()
PROGRAMS = ("web", "core", "resolver")
# Access denied: to a schema, to a user, to a command on a table, for want of a global right.
DENIED = frozenset({1044, 1045, 1142, 1227})


@pytest.fixture(scope="module")
def passwords(mariadb_server: MariaDbServer) -> Iterator[dict[str, str]]:
    made = {program: f"it's {secrets.token_hex(16)}" for program in PROGRAMS}
    variables = [f"""SET @{program}_password = "{password}";""" for program, password in made.items()]
    mariadb_server.execute("\n".join([*variables, USERS_SQL]))
    yield made
    for program in PROGRAMS:
        mariadb_server.execute(f"DROP DATABASE sota_{program}", f"DROP USER sota_{program}@'127.0.0.1'")


def url(server: MariaDbServer, program: str, schema: str, password: str) -> str:
    made = sa.URL.create("mysql", f"sota_{program}", password, "127.0.0.1", server.port, f"sota_{schema}")
    return made.render_as_string(hide_password=False)


def database(server: MariaDbServer, program: str, schema: str, password: str) -> Database:
    return Database(url(server, program, schema, password))


@pytest.mark.parametrize("program", PROGRAMS)
async def test_user_can_apply_its_program_s_migrations(
    mariadb_server: MariaDbServer, passwords: dict[str, str], program: str
) -> None:
    own = database(mariadb_server, program, program, passwords[program])
    try:
        await own.check()
        await upgrade(own, f"sota.{program}.migrations")
        await downgrade(own, f"sota.{program}.migrations", "base")
        await upgrade(own, f"sota.{program}.migrations")
    finally:
        await own.close()


async def test_programs_do_their_work_as_these_users(
    mariadb_server: MariaDbServer, passwords: dict[str, str], tmp_path: Path
) -> None:
    """The main calls of B1, which reach Core and the Resolver through B2, B3 and B5."""
    urls = [url(mariadb_server, program, program, passwords[program]) for program in ("core", "resolver", "web")]
    async with running_backend(tmp_path, urls) as backend:
        vin = await backend.with_vehicle()
        package = await backend.with_targeted_package(f'vin_matches "{vin}"')
        now = datetime.now(UTC)
        order = {
            "package": dict(zip(("name", "version"), package.split("/"), strict=True)),
            "priority": 10,
            "interval": {"start": now.isoformat(), "end": (now + timedelta(hours=1)).isoformat()},
        }
        queued = await backend.ask("POST", "/api/v1/install-requests", order)
        assert queued.status == 200, queued
        request = f"/api/v1/install-requests/{queued.body['install_request_id']}"
        updates = await backend.ask("GET", f"{request}/vehicles")
        assert [update["vin"] for update in updates.body] == [vin]
        for path in ("/vehicles", "/packages", "/filters", "/install-requests"):
            listed = await backend.ask("GET", f"/api/v1{path}")
            assert (listed.status, len(listed.body)) == (200, 1), (path, listed)
        browser = await backend.signed_in()
        assert browser is not None


@pytest.mark.parametrize("program", PROGRAMS)
async def test_user_reaches_no_other_schema(
    mariadb_server: MariaDbServer, passwords: dict[str, str], program: str
) -> None:
    for neighbour in (*(name for name in PROGRAMS if name != program), "not_there"):
        other = database(mariadb_server, program, neighbour, passwords[program])
        try:
            with pytest.raises(StartError, match="rejects the connection"):
                await other.check()
        finally:
            await other.close()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE USER mallory@'127.0.0.1'",
        "CREATE DATABASE sota_mallory",
        "GRANT SELECT ON sota_{program}.* TO sota_{neighbour}@'127.0.0.1'",
        "SELECT user, authentication_string FROM mysql.global_priv",
        "SELECT * FROM mysql.user",
        "SELECT * FROM sota_{neighbour}.alembic_version",
        "CREATE TABLE sota_{neighbour}.mallory (id INTEGER)",
        "SELECT * FROM sota_{program}.alembic_version INTO OUTFILE '/tmp/mallory'",
        "SET GLOBAL max_connections = 1",
        "CREATE TRIGGER mallory AFTER INSERT ON alembic_version FOR EACH ROW SET @x = 1",
    ],
)
async def test_user_may_do_nothing_else(
    mariadb_server: MariaDbServer, passwords: dict[str, str], program: str, statement: str
) -> None:
    own = database(mariadb_server, program, program, passwords[program])
    neighbour = PROGRAMS[PROGRAMS.index(program) - 1]
    try:
        await upgrade(own, f"sota.{program}.migrations")
        text = statement.format(program=program, neighbour=neighbour)
        with pytest.raises(sa.exc.DBAPIError) as caught:
            await own.transact(lambda tx: tx.exec_driver_sql(text))
        assert caught.value.orig is not None
        assert caught.value.orig.args[0] in DENIED, caught.value
    finally:
        await own.close()


@pytest.mark.parametrize("program", PROGRAMS)
def test_user_has_no_global_right(mariadb_server: MariaDbServer, passwords: dict[str, str], program: str) -> None:
    grants = mariadb_server.execute(f"SHOW GRANTS FOR sota_{program}@'127.0.0.1'").splitlines()[1:]
    assert [line.split(" TO ")[0] for line in grants if " ON *.* " in line] == ["GRANT USAGE ON *.*"]
    assert not any("GRANT OPTION" in line for line in grants)


def test_missing_password_is_an_error(mariadb_server: MariaDbServer, passwords: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match="ERROR"):
        mariadb_server.execute(USERS_SQL)


def test_command_in_its_head_sets_the_passwords_from_files(tmp_path: Path) -> None:
    """The shell's part of the command, up to the pipe: what it prints is what the server is to read."""
    for program in PROGRAMS:
        (tmp_path / f"{program}-database.password").write_text(f"secret-{program}\n")
    shown = [line.removeprefix("--").strip() for line in USERS_SQL.splitlines() if line.startswith("--   ")]
    command = (
        "\n".join(shown)
        .replace("/etc/sota/secrets", str(tmp_path))
        .replace("cat deploy/mariadb/users.sql; } | mariadb", "}")
    )
    printed = subprocess.run(["bash", "-euc", command], capture_output=True, text=True, timeout=60, check=True).stdout
    assert printed.splitlines() == [f"SET @{program}_password = 'secret-{program}';" for program in PROGRAMS]
