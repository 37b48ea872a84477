"""Fills Core's and the Resolver's databases for the queue benchmark, set by set: no row passes through Python.

Every tenth vehicle has a package that a newer version is queued for, and a filter chooses exactly these; so each of
them is looked at for what it has, and none is left out. What the API benchmark counts its names by holds here too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.databases import MariaDbServer

PACKAGE, OLD, NEW = "ivi", "1.0.0", "2.0.0"
EXPRESSION = 'vin_matches "0$"'
ONE_IN = 10
CHUNK = 250_000
Run = Callable[[Sequence[str]], None]
AT = "'2026-01-01 00:00:00.000000'"


def mariadb(server: MariaDbServer, schema: str) -> Run:
    """Run statements on a schema. ``{seq}`` counts from 1."""

    def run(statements: Sequence[str]) -> None:
        server.execute(f"USE {schema}", "SET foreign_key_checks=0, unique_checks=0", *statements, "COMMIT")

    return run


def sqlite(file: Path) -> Run:
    """Run statements on a file."""

    def run(statements: Sequence[str]) -> None:
        connection = sqlite3.connect(file, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN")
            for statement in statements:
                connection.execute(statement)
            connection.execute("COMMIT")
        finally:
            connection.close()

    return run


def seed_core(run: Run, vehicles: int, *, is_sqlite: bool) -> None:
    """Fill Core's database: vehicles, two versions of a package, the older one installed on every tenth."""
    columns = "name, version, size, sha256, sha1, uri, installer, description, vendor, created_at"
    run(
        [
            f"INSERT INTO package ({columns}) VALUES ('{PACKAGE}', '{version}', 1048576, '{'a' * 64}', '{'b' * 40}', "
            f"'file-{version}', 'deb', 'What this package is for.', 'Vendor', {AT})"
            for version in (OLD, NEW)
        ]
    )
    for first, last in _chunks(vehicles):
        numbers, number = _numbers(first, last, is_sqlite=is_sqlite)
        vin = _vin(number, is_sqlite=is_sqlite)
        run(
            [
                f"INSERT INTO vehicle (vin, created_at) SELECT {vin}, {AT} FROM {numbers}",
                f"INSERT INTO installed_package (vin, name, version, installed_at) "
                f"SELECT {vin}, '{PACKAGE}', '{OLD}', {AT} FROM {numbers} WHERE {number} % {ONE_IN} = 0",
            ]
        )
    run(["ANALYZE" if is_sqlite else "ANALYZE TABLE vehicle, installed_package, package"])


def seed_resolver(run: Run, vehicles: int, *, is_sqlite: bool) -> None:
    """Fill the Resolver's database with the same fleet and a filter on the newer version."""
    package = (
        f"INSERT INTO package (id, name, version, description, vendor, created_at) VALUES (1, '{PACKAGE}', '{NEW}'"
    )
    run(
        [
            f"{package}, '', '', {AT})",
            f"INSERT INTO filter (id, name, expression, created_at) VALUES (1, 'tenth', '{EXPRESSION}', {AT})",
            "INSERT INTO package_filter (package_id, filter_id) VALUES (1, 1)",
            f"INSERT INTO software (id, name, version) VALUES (1, '{PACKAGE}', '{OLD}')",
        ]
    )
    for first, last in _chunks(vehicles):
        numbers, number = _numbers(first, last, is_sqlite=is_sqlite)
        vin = _vin(number, is_sqlite=is_sqlite)
        run(
            [
                f"INSERT INTO vehicle (id, vin, created_at) SELECT {number}, {vin}, {AT} FROM {numbers}",
                f"INSERT INTO installed_package (vehicle_id, software_id) SELECT {number}, 1 FROM {numbers} "
                f"WHERE {number} % {ONE_IN} = 0",
            ]
        )


def _numbers(first: int, last: int, *, is_sqlite: bool) -> tuple[str, str]:
    if not is_sqlite:
        return f"seq_{first}_to_{last} v", "v.seq"
    counted = f"WITH RECURSIVE c(seq) AS (SELECT {first} UNION ALL SELECT seq + 1 FROM c WHERE seq < {last})"
    return f"({counted} SELECT seq FROM c) v", "v.seq"


def _vin(number: str, *, is_sqlite: bool) -> str:
    return f"printf('BENCH%012d', {number})" if is_sqlite else f"CONCAT('BENCH', LPAD({number}, 12, '0'))"


def _chunks(count: int) -> list[tuple[int, int]]:
    return [(first, min(first + CHUNK, count + 1) - 1) for first in range(1, count + 1, CHUNK)]
