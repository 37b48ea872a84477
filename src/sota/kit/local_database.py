"""A program's own small SQLite file, by the standard library: what the vehicle's programs keep across power loss.

One connection, used by one thread at a time, WAL and ``synchronous=FULL``: what a transaction wrote is on disk when
:meth:`transact` returns. (The backend's databases are in ``kit/db.py``; a vehicle has no SQLAlchemy.)

>>> database = LocalDatabase(path, SCHEMA)                                               # doctest: +SKIP
>>> await database.open()                                                                # doctest: +SKIP
>>> await database.transact(lambda tx: tx.execute("INSERT INTO report VALUES (?)", (1,)))  # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sota.kit import durable, faults
from sota.kit.database_threads import OwnThread, Threads
from sota.kit.errors import StartError, Unavailable

Result = TypeVar("Result")
Connection = sqlite3.Connection
Row = sqlite3.Row

BUSY_TIMEOUT_S = 10.0
DURABLE = ("journal_mode=WAL", "synchronous=FULL")
RELAXED = ("journal_mode=MEMORY", "synchronous=OFF")


class LocalDatabase:
    """The file, its schema, and the thread that speaks to it: its own, or one of ``threads``.

    ``schema`` is a list of steps; a file remembers (``user_version``) how many it has had, and gets the others when
    it is opened.
    """

    def __init__(self, path: Path, schema: tuple[str, ...], threads: Threads | None = None) -> None:
        self._path, self._schema = path, schema
        self._threads: Threads = threads or OwnThread(path.stem)
        self._connection: Connection | None = None
        self._is_open = False

    async def open(self) -> None:
        """Open the file and bring its schema up.

        Raises:
            StartError: it cannot be opened, is damaged, or was written by a newer program.
        """
        try:
            await self._run(self._open)
        except sqlite3.Error as error:
            raise StartError(f"{self._path}: {error}") from None
        self._is_open = True

    async def close(self) -> None:
        """Let what is under way end, and close."""
        self._is_open = False
        await self._threads.leave(self)

    def release(self) -> None:
        """Close the file for now; the next use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def transact(self, work: Callable[[Connection], Result]) -> Result:
        """Do ``work`` in one transaction; its writes are on disk when this returns, or none of them is.

        Raises:
            Unavailable: the disk is full or fails.
        """

        def run() -> Result:
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                faults.before(work)
                connection.execute("COMMIT")
                faults.after(work)
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

        try:
            return await self._run(run)
        except sqlite3.OperationalError as error:
            raise Unavailable(f"{self._path.name} cannot be written: {error}.") from error

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Read without writing."""
        if self._connection is not None and self._threads.may_read_here(self):
            return work(self._connection)
        return await self._run(lambda: work(self._opened()))

    async def _run(self, work: Callable[[], Result]) -> Result:
        # Shielded: a cancelled caller must not leave a transaction that nobody waits for half known.
        working = asyncio.ensure_future(self._threads.run(self, work))
        working.add_done_callback(_hear)
        return await asyncio.shield(working)

    def _opened(self) -> Connection:
        if not self._is_open:
            raise Unavailable(f"{self._path.name} is not open.")
        return self._connection or self._open()

    def _open(self) -> Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        for pragma in RELAXED if durable.is_relaxed() else DURABLE:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA foreign_keys=ON")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(self._schema):
            connection.close()
            raise StartError(f"{self._path} was written by a newer version of this program")
        for number, step in enumerate(self._schema[version:], start=version + 1):
            connection.executescript(f"BEGIN; {step}; PRAGMA user_version={number}; COMMIT;")
        self._connection = connection
        return connection


def _hear(working: asyncio.Future[Any]) -> None:
    """Take note of a failure: whoever was cancelled meanwhile does not."""
    if not working.cancelled():
        working.exception()
