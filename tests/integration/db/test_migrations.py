"""Every room's migrations, on both engines: each applies to the one before and can be taken back, and all of them
together make the tables of the code: the same columns, types, collations, defaults, keys and indexes.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from sota.kit.errors import StartError
from sota.kit.sql.database import Database
from sota.kit.sql.migrations import downgrade, newest, revisions, upgrade
from tests.conftest import new_database
from tests.support.databases import MariaDbServer

pytestmark = pytest.mark.anyio
ROOMS = ("web", "core", "resolver")
NewDatabase = Callable[[], Database]


@pytest.fixture(params=["sqlite", "mariadb"])
def new(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewDatabase:
    return lambda: Database(new_database(request, tmp_path_factory, request.param))


def migrations(program: str) -> str:
    return f"sota.{program}.migrations"


def metadata(program: str) -> sa.MetaData:
    found = importlib.import_module(f"sota.{program}.tables").METADATA
    assert isinstance(found, sa.MetaData)
    return found


async def tables(database: Database) -> dict[str, Any]:
    """Describe every table as the engine itself does, but for the order in which keys were made."""
    async with database.read() as tx:
        return await tx.run_sync(_describe)


def _describe(connection: sa.Connection) -> dict[str, Any]:
    names = [name for name in sa.inspect(connection).get_table_names() if name != "alembic_version"]
    if connection.dialect.name == "sqlite":
        return {name: _describe_in_sqlite(connection, name) for name in names}
    created = {name: connection.exec_driver_sql(f"SHOW CREATE TABLE `{name}`").one()[1] for name in names}
    return {name: sorted(line.strip().rstrip(",") for line in text.splitlines()) for name, text in created.items()}


def _describe_in_sqlite(connection: sa.Connection, table: str) -> dict[str, Any]:
    def pragma(what: str, name: str) -> list[Any]:
        return [tuple(row) for row in connection.exec_driver_sql(f'PRAGMA {what}("{name}")')]

    indexes = [
        ("" if name.startswith("sqlite_") else name, unique, origin, partial, pragma("index_info", name))
        for _, name, unique, origin, partial in pragma("index_list", table)
    ]
    return {
        "columns": pragma("table_info", table),
        "indexes": sorted(indexes, key=str),
        "foreign keys": sorted((row[2:] for row in pragma("foreign_key_list", table)), key=str),
    }


@pytest.mark.parametrize("program", ROOMS)
async def test_migrations_make_the_tables_of_the_code(new: NewDatabase, program: str) -> None:
    migrated, written = new(), new()
    await upgrade(migrated, migrations(program))
    await written.transact(lambda tx: tx.run_sync(metadata(program).create_all))
    made = await tables(migrated)
    assert made == await tables(written)
    assert set(made) == set(metadata(program).tables)
    await downgrade(migrated, migrations(program), "base")
    assert await tables(migrated) == {}
    await upgrade(migrated, migrations(program))
    assert await tables(migrated) == made
    await migrated.close()
    await written.close()


@pytest.mark.parametrize("program", ROOMS)
async def test_each_migration_can_be_taken_back_alone(new: NewDatabase, program: str) -> None:
    database = new()
    steps: list[tuple[str, Any]] = [("base", {})]
    for revision in revisions(migrations(program)):
        await upgrade(database, migrations(program), revision)
        steps.append((revision, await tables(database)))
    assert steps[-1][0] == newest(migrations(program))
    for revision, before in reversed(steps[:-1]):
        await downgrade(database, migrations(program), revision)
        assert await tables(database) == before, revision
    await database.close()


@pytest.mark.parametrize("program", ROOMS)
async def test_upgrading_what_is_upgraded_changes_nothing(new: NewDatabase, program: str) -> None:
    database = new()
    await upgrade(database, migrations(program))
    made = await tables(database)
    await upgrade(database, migrations(program))
    assert await tables(database) == made
    await database.close()


async def test_two_programs_that_start_at_once_on_one_schema_both_succeed(mariadb_server: MariaDbServer) -> None:
    url = mariadb_server.new_schema()
    command = [sys.executable, "-m", "sota.cli", "db", "upgrade", "core", "--database", url]
    programs = [await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT) for _ in range(2)]
    ends = [(await program.communicate())[0] for program in programs]
    assert [program.returncode for program in programs] == [0, 0], ends
    database = Database(url)
    assert set(await tables(database)) == set(metadata("core").tables)
    await database.close()


async def test_a_user_who_may_not_make_tables_is_told_so(mariadb_server: MariaDbServer) -> None:
    url = mariadb_server.new_schema()
    user = sa.make_url(url).username
    mariadb_server.execute(f"REVOKE CREATE ON {user}.* FROM {user}@'127.0.0.1'")
    database = Database(url)
    with pytest.raises(StartError, match=r"cannot be upgraded: CREATE command denied") as caught:
        await upgrade(database, migrations("core"))
    assert "\n" not in caught.value.detail
    assert caught.value.exit_code == 2
    await database.close()
