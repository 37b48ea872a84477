"""``deploy/mariadb/users.sql`` on a real server: each program's user can do its work, and nothing elsewhere."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from sota.kit.db import Database
from sota.kit.errors import StartError
from sota.kit.migrations import downgrade, upgrade
from tests.support.databases import MariaDbServer

USERS_SQL = (Path(__file__).parents[2] / "deploy" / "mariadb" / "users.sql").read_text()
PROGRAMS = ("web", "core", "resolver")


@pytest.fixture(scope="module")
def passwords(mariadb_server: MariaDbServer) -> Iterator[dict[str, str]]:
    made = {program: f"it's {secrets.token_hex(16)}" for program in PROGRAMS}
    variables = [f"""SET @{program}_password = "{password}";""" for program, password in made.items()]
    mariadb_server.execute("\n".join([*variables, USERS_SQL]))
    yield made
    for program in PROGRAMS:
        mariadb_server.execute(f"DROP DATABASE sota_{program}", f"DROP USER sota_{program}@'127.0.0.1'")


def database(server: MariaDbServer, program: str, schema: str, password: str) -> Database:
    name = f"sota_{program}"
    url = sa.URL.create("mysql", name, password, "127.0.0.1", server.port, f"sota_{schema}")
    return Database(url.render_as_string(hide_password=False))


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


@pytest.mark.parametrize("program", PROGRAMS)
async def test_user_reaches_no_other_schema(
    mariadb_server: MariaDbServer, passwords: dict[str, str], program: str
) -> None:
    neighbour = PROGRAMS[PROGRAMS.index(program) - 1]
    other = database(mariadb_server, program, neighbour, passwords[program])
    try:
        with pytest.raises(StartError, match="rejects the connection"):
            await other.check()
    finally:
        await other.close()


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
