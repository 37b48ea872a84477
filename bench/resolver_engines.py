"""The engines that the Resolver is measured beside: one fleet, one question, each in its own words.

MariaDB and SQLite hold the Resolver's own tables and answer with REGEXP and EXISTS; SQLite's REGEXP is a function of
ours over Python's ``re``. DuckDB holds the same columns in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from bench.resolver_data import Part, components, packages, parts, write_files
from sota.kit.sql.database import Database
from sota.kit.sql.migrations import upgrade
from sota.resolver.changes.model import Kind
from sota.resolver.program import MIGRATIONS
from tests.support.databases import MariaDbServer

VIN_TESTS = {"f1": "^1HGC.*[0-4]$", "f2": "[0-4]$"}
QUESTION = """
SELECT COUNT(*) FROM vehicle v WHERE {vin}
AND EXISTS (SELECT 1 FROM installed_component i JOIN component c ON c.id = i.component_id
            WHERE i.vehicle_id = v.id AND {component})
AND NOT EXISTS (SELECT 1 FROM installed_package p JOIN software s ON s.id = p.software_id
                WHERE p.vehicle_id = v.id AND {name} AND {version})
"""
COLUMNS = {
    "software": "(id, name, version)",
    "component": "(id, part_number)",
    "vehicle": "(id, vin)",
    "installed_package": "(vehicle_id, software_id)",
    "installed_component": "(vehicle_id, component_id)",
}
AT = "2026-01-01 00:00:00"


@dataclass(frozen=True, slots=True)
class Engine:
    """Something that counts the vehicles of ``f1`` or ``f2``."""

    name: str
    count: Callable[[str], int]


def seed(server: MariaDbServer, url: str, sqlite_file: Path, scratch: Path, vehicles: int) -> None:
    """Fill both databases, whose tables are those of the Resolver."""
    for address in (url, f"sqlite:///{sqlite_file}"):
        asyncio.run(_migrate(address))
    schema = url.rpartition("/")[2]
    scratch.chmod(0o755)
    with contextlib.closing(sqlite3.connect(sqlite_file)) as lite:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF", "cache_size=-500000"):
            lite.execute(f"PRAGMA {pragma}")
        for table, path in write_files(scratch, vehicles):
            created = f" SET created_at = '{AT}'" if table == "vehicle" else ""
            server.execute(
                f"USE {schema}",
                "SET foreign_key_checks=0, unique_checks=0",
                f"LOAD DATA INFILE '{path}' INTO TABLE {table} {COLUMNS[table]}{created}",
            )
            _load_sqlite(lite, table, path)
        lite.execute("PRAGMA journal_mode=WAL")
    server.execute(
        f"USE {schema}", "ANALYZE TABLE vehicle, software, component, installed_package, installed_component"
    )


def _load_sqlite(lite: sqlite3.Connection, table: str, path: Path) -> None:
    names = COLUMNS[table].strip("()").split(", ")
    extra = [AT] if table == "vehicle" else []
    listed = ", ".join([*names, *(["created_at"] if extra else [])])
    places = ", ".join("?" for _ in range(len(names) + len(extra)))
    with path.open() as lines:
        rows = ([*line.rstrip("\n").split("\t"), *extra] for line in lines)
        lite.executemany(f"INSERT INTO {table} ({listed}) VALUES ({places})", rows)
    lite.commit()


async def _migrate(url: str) -> None:
    database = Database(url)
    try:
        await upgrade(database, MIGRATIONS)
    finally:
        await database.close()


@contextlib.contextmanager
def mariadb_engine(url: str) -> Iterator[Engine]:
    """REGEXP and EXISTS on MariaDB, over one connection."""
    question = sa.text(
        QUESTION.format(
            vin="v.vin REGEXP :vin",
            component="c.part_number REGEXP '^ECU-7.*'",
            name="s.name REGEXP 'ivi'",
            version=r"s.version REGEXP '^1\\.[0-3]\\.'",
        )
    )
    with asyncio.Runner() as runner:
        database = runner.run(_open(url))

        async def count(name: str) -> int:
            async with database.read() as tx:
                return int((await tx.execute(question, {"vin": VIN_TESTS[name]})).scalar_one())

        yield Engine("mariadb", lambda name: runner.run(count(name)))
        runner.run(database.close())


async def _open(url: str) -> Database:
    return Database(url)


@contextlib.contextmanager
def sqlite_engine(path: Path) -> Iterator[Engine]:
    """REGEXP and EXISTS on SQLite."""
    question = QUESTION.format(
        vin="v.vin REGEXP ?",
        component="c.part_number REGEXP '^ECU-7.*'",
        name="s.name REGEXP 'ivi'",
        version=r"s.version REGEXP '^1\.[0-3]\.'",
    )
    with contextlib.closing(sqlite3.connect(path)) as lite:
        lite.execute("PRAGMA cache_size=-1000000")
        lite.create_function(
            "REGEXP", 2, lambda pattern, text: re.search(pattern, text) is not None, deterministic=True
        )
        yield Engine("sqlite", lambda name: int(lite.execute(question, (VIN_TESTS[name],)).fetchone()[0]))


@contextlib.contextmanager
def duckdb_engine(vehicles: int) -> Iterator[Engine]:
    """The same on DuckDB, in memory."""
    question = QUESTION.format(
        vin="regexp_matches(v.vin, $1)",
        component="regexp_matches(c.part_number, '^ECU-7.*')",
        name="regexp_matches(s.name, 'ivi')",
        version=r"regexp_matches(s.version, '^1\.[0-3]\.')",
    )
    with contextlib.closing(duckdb.connect()) as duck:
        _fill_duckdb(duck, vehicles)

        def count(name: str) -> int:
            row = duck.execute(question, [VIN_TESTS[name]]).fetchone()
            assert row is not None
            return int(row[0])

        yield Engine("duckdb", count)


def _fill_duckdb(duck: duckdb.DuckDBPyConnection, vehicles: int) -> None:
    names = packages()
    listed = components()
    tables = {
        "software": pa.table(
            {"id": list(names), "name": [n for n, _v in names.values()], "version": [v for _n, v in names.values()]}
        ),
        "component": pa.table({"id": list(listed), "part_number": list(listed.values())}),
    }
    for name, table in tables.items():
        duck.register("given", table)
        duck.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
    duck.execute("CREATE TABLE vehicle (id BIGINT, vin VARCHAR)")
    duck.execute("CREATE TABLE installed_package (vehicle_id BIGINT, software_id BIGINT)")
    duck.execute("CREATE TABLE installed_component (vehicle_id BIGINT, component_id BIGINT)")
    of_kind = {Kind.PACKAGE: "installed_package", Kind.COMPONENT: "installed_component"}
    for number in parts(vehicles):
        part = Part(number, vehicles)
        offsets = np.arange(0, 17 * (len(part.ids) + 1), 17, dtype=np.int32)
        vins = pa.StringArray.from_buffers(len(part.ids), pa.py_buffer(offsets), pa.py_buffer(part.vins))
        duck.register("given", pa.table({"id": part.ids, "vin": vins}))
        duck.execute("INSERT INTO vehicle SELECT * FROM given")
        for kind, things in part.links():
            duck.register("given", pa.table({"owner": part.ids, "thing": things}))
            duck.execute(f"INSERT INTO {of_kind[kind]} SELECT * FROM given")
