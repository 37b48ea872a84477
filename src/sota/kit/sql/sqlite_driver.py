"""SQLite's driver for SQLAlchemy, with fewer ways to the thread in which a file is read and written, and back.

Each such way costs more than a small statement: the driver makes one to open a cursor, one to execute, one to fetch and
one to close. Here a statement is one, its rows included, and the transaction's BEGIN goes with its first statement.
So a connection can only be used as this program does: rows are fetched whole, and none is streamed.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import aiosqlite

CHUNK_ROWS = 64  # the driver's own, for cursors that nobody opens here


class Connection(aiosqlite.Connection):
    """A connection whose statements are executed and fetched in one piece."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, CHUNK_ROWS)
        self._thread.daemon = True  # as SQLAlchemy has it: a connection that nobody closed does not hold the program
        self._begin: str | None = None
        self._is_begun = self._is_stopped = False
        self._stopped: asyncio.Future[Any] | None = None

    def stop(self) -> asyncio.Future[Any] | None:
        """Stop the thread, once: one that has stopped answers nobody, and a second stop would be waited for for ever.

        There are two where a connection is given up while it is being closed, as when a program ends.
        """
        if not self._is_stopped:
            self._is_stopped, self._stopped = True, super().stop()
        # Whoever waited for it and was cancelled took it along.
        return None if self._stopped is None or self._stopped.cancelled() else self._stopped

    def begin(self, statement: str) -> None:
        """Begin a transaction by ``statement``, together with the first statement in it."""
        self._begin = statement

    def cursor(self) -> Cursor:  # type: ignore[override]
        """Give a cursor; it takes no way to the thread."""
        return Cursor(self)

    async def commit(self) -> None:
        """Commit; nothing is to be done for a transaction without statements."""
        if self._is_begun:
            await super().commit()
        self._begin, self._is_begun = None, False

    async def rollback(self) -> None:
        """Roll back; likewise. Every connection is rolled back when it is given back, most after their commit."""
        if self._is_begun:
            await super().rollback()
        self._begin, self._is_begun = None, False

    async def run(self, work: Callable[[sqlite3.Cursor], Any]) -> Done:
        """Execute in the thread, and fetch what there is."""
        begin, self._begin = self._begin, None
        self._is_begun = self._is_begun or begin is not None
        done: Done = await self._execute(_run, self._conn, begin, work)  # type: ignore[no-untyped-call]
        return done


class Done:
    """What came of a statement."""

    __slots__ = ("description", "lastrowid", "rowcount", "rows")

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self.description = cursor.description
        self.rows: Sequence[Any] = cursor.fetchall() if cursor.description else ()
        self.lastrowid, self.rowcount = cursor.lastrowid, cursor.rowcount


class Cursor:
    """What SQLAlchemy uses of a cursor."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._done: Done | None = None

    async def __aenter__(self) -> Cursor:
        """Open it, which takes nothing."""
        return self

    @property
    def description(self) -> Any:
        """The columns of the rows; None where the statement gives none."""
        return self._done.description if self._done is not None else None

    @property
    def lastrowid(self) -> int | None:
        """The number of the row that was inserted last."""
        return self._done.lastrowid if self._done is not None else None

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""
        return self._done.rowcount if self._done is not None else -1

    async def execute(self, statement: str, parameters: Iterable[Any] = ()) -> Cursor:
        """Execute a statement."""
        self._done = await self._connection.run(partial(_execute, statement, parameters))
        return self

    async def executemany(self, statement: str, rows: Iterable[Iterable[Any]]) -> Cursor:
        """Execute a statement for each of these rows."""
        self._done = await self._connection.run(partial(_execute_many, statement, rows))
        return self

    async def fetchall(self) -> Sequence[Any]:
        """Give the rows."""
        return self._done.rows if self._done is not None else ()

    async def close(self) -> None:
        """Forget them."""
        self._done = None


async def connect(database: str, **options: Any) -> Connection:
    """Open a file, as SQLAlchemy asks its driver to."""
    connection = Connection(partial(sqlite3.connect, database, **options))
    await connection
    return connection


def _run(connection: sqlite3.Connection, begin: str | None, work: Callable[[sqlite3.Cursor], Any]) -> Done:
    cursor = connection.cursor()
    try:
        if begin is not None:
            cursor.execute(begin)
        work(cursor)
        return Done(cursor)
    finally:
        cursor.close()


def _execute(statement: str, parameters: Iterable[Any], cursor: sqlite3.Cursor) -> None:
    cursor.execute(statement, parameters)  # type: ignore[arg-type]


def _execute_many(statement: str, rows: Iterable[Iterable[Any]], cursor: sqlite3.Cursor) -> None:
    cursor.executemany(statement, rows)  # type: ignore[arg-type]
