"""The queue benchmark's baseline: the same rows, inserted in bulk by the plain driver.

A request's updates are read back from Core's database and inserted into an empty copy of their table, with the same
columns and indexes, in the same database: both are measured on the same disk and the same server. Every chunk is a
transaction that is synced, as Core's are.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Sequence
from urllib.parse import unquote, urlsplit
from uuid import UUID

import asyncmy

from bench.processes import BenchmarkError

CHUNK_ROWS = 5_000
TABLE, COPY = "vehicle_update", "bare_insertion"

Rows = Sequence[Sequence[object]]


def rows_per_s(url: str, request_id: str) -> float:
    """Insert the rows of a request again; return the rate.

    Raises:
        BenchmarkError: the request has no rows.
    """
    if url.startswith("sqlite"):
        return _sqlite(url.removeprefix("sqlite:///"), request_id)
    return asyncio.run(_mariadb(url, request_id))


def _chunks(rows: Rows) -> Iterator[Rows]:
    return (rows[first : first + CHUNK_ROWS] for first in range(0, len(rows), CHUNK_ROWS))


def _insert(rows: Rows, mark: str) -> str:
    if not rows:
        raise BenchmarkError("the request has no rows to insert")
    return f"INSERT INTO {COPY} VALUES ({', '.join([mark] * len(rows[0]))})"


def _sqlite(file: str, request_id: str) -> float:
    connection = sqlite3.connect(file, isolation_level=None, timeout=10)
    try:
        connection.execute("PRAGMA synchronous=FULL")
        rows = connection.execute(f"SELECT * FROM {TABLE} WHERE request_id = ?", (UUID(request_id).bytes,)).fetchall()
        insert = _insert(rows, "?")
        made = "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL"
        for (statement,) in connection.execute(made, (TABLE,)).fetchall():
            connection.execute(statement.replace(TABLE, COPY))  # the names of its indexes begin with the table's
        began = time.perf_counter()
        for chunk in _chunks(rows):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, chunk)
            connection.execute("COMMIT")
        seconds = time.perf_counter() - began
        connection.execute(f"DROP TABLE {COPY}")
    finally:
        connection.close()
    return len(rows) / seconds


async def _mariadb(url: str, request_id: str) -> float:
    parts = urlsplit(url)
    connection = await asyncmy.connect(
        host=parts.hostname,
        port=parts.port,
        user=parts.username,
        password=unquote(parts.password or ""),
        db=parts.path.lstrip("/"),
    )
    try:
        async with connection.cursor() as cursor:
            await cursor.execute(f"SELECT * FROM {TABLE} WHERE request_id = %s", (UUID(request_id).bytes,))
            rows = await cursor.fetchall()
            insert = _insert(rows, "%s")
            await cursor.execute(f"CREATE TABLE {COPY} LIKE {TABLE}")
            began = time.perf_counter()
            for chunk in _chunks(rows):
                await connection.begin()
                await cursor.executemany(insert, chunk)
                await connection.commit()
            seconds = time.perf_counter() - began
            await cursor.execute(f"DROP TABLE {COPY}")
    finally:
        await connection.ensure_closed()
    return len(rows) / seconds
