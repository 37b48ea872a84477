"""A program's own small SQLite file, by the standard library: what the vehicle's programs keep across power loss.

One connection, used by one thread at a time, WAL: what a transaction wrote is on disk when ``transact`` returns.
SQLite itself syncs only where the file's soundness needs it (``synchronous=NORMAL``); the log that a transaction was
written to is synced here, after it, so that a process of many vehicles can wait for many logs at once, and that a
transaction whose loss does no harm need not be waited for at all. (The backend's databases are in ``kit/db.py``; a
vehicle has no SQLAlchemy.)

>>> database = LocalDatabase(path, SCHEMA)                                               # doctest: +SKIP
>>> await database.open()                                                                # doctest: +SKIP
>>> await database.transact(lambda tx: tx.execute("INSERT INTO report VALUES (?)", (1,)))  # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

from sota.kit import faults
from sota.kit.database_threads import OwnThread, Threads
from sota.kit.disk import Sync
from sota.kit.errors import StartError, Unavailable
from sota.kit.local_file import Connection

Result = TypeVar("Result")
Row = sqlite3.Row

REMEMBERED_READS = 256
STEPS = "CREATE TABLE IF NOT EXISTS schema_steps (program TEXT PRIMARY KEY, steps INTEGER NOT NULL)"


class LocalDatabase:
    """A program's tables in the file, and their schema.

    ``schema`` is a list of steps; the file remembers (table ``schema_steps``) how many a program's tables have had,
    and they get the others when they are opened. ``threads`` says where the work is done, and whether the file is
    another one that the program shares; without them it has a thread of its own.
    """

    def __init__(self, path: Path, schema: tuple[str, ...], threads: Threads | None = None) -> None:
        self._path, self._schema = path, schema
        self._threads: Threads = threads or OwnThread(path.stem)
        self._file = self._threads.file(path)
        self._is_open = False
        self._recalled: dict[Hashable, Any] = {}
        self._changes = 0

    async def open(self) -> None:
        """Open the file and bring its schema up.

        Raises:
            StartError: it cannot be opened, is damaged, or was written by a newer program.
        """
        try:
            await self._run(self._bring_up)
        except sqlite3.Error as error:
            raise StartError(f"{self._path}: {error}") from None
        self._is_open = True
        self._file.users += 1

    async def close(self) -> None:
        """Let what is under way end, and close; a file that others use stays open."""
        if self._is_open:
            self._file.users -= 1
        self._is_open = False
        if not self._file.users:
            await self._threads.leave(self._file)

    async def transact(self, work: Callable[[Connection], Result], *, durable: bool = True) -> Result:
        """Do ``work`` in one transaction; its writes are on disk when this returns, or none of them was made.

        Not ``durable``: they outlive this process, but a loss of power takes them unless another transaction follows,
        which makes them durable with its own. For what is only done again, harmlessly, when it was forgotten.

        Raises:
            Unavailable: the disk is full (nothing was written) or fails (perhaps it was).
        """

        def run() -> Result:
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                faults.before(work)
                connection.execute("COMMIT")
                if not durable:
                    faults.after(work)
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

        def sync() -> None:
            self._file.sync()
            faults.after(work)

        self._change()
        try:
            return await self._run(run, sync if durable else None)
        except (sqlite3.OperationalError, OSError) as error:
            raise Unavailable(f"{self._path.name} cannot be written: {error}.") from error
        finally:
            self._change()

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Read without writing."""
        connection = self._file.connection
        if connection is not None and self._threads.may_work_here(self._file):
            return work(connection)
        return await self._run(lambda: work(self._opened()))

    async def recall(self, key: Hashable, work: Callable[[Connection], Result]) -> Result:
        """Read what was perhaps read under this ``key`` since the last transaction; nobody may change what this gives.

        >>> await database.recall(("download", 7), work)                                 # doctest: +SKIP
        """
        if key in self._recalled:
            found: Result = self._recalled[key]
            return found
        changes = self._changes
        result = await self.read(work)
        if changes == self._changes:
            if len(self._recalled) >= REMEMBERED_READS:
                self._recalled.clear()
            self._recalled[key] = result
        return result

    def _change(self) -> None:
        self._changes += 1
        self._recalled.clear()

    async def _run(self, work: Callable[[], Result], sync: Sync | None = None) -> Result:
        if self._file.is_loaded and self._threads.may_work_here(self._file):
            return await self._threads.run(self._file, work, sync)
        # Shielded: a cancelled caller must not leave a transaction that nobody waits for half known.
        working = asyncio.ensure_future(self._threads.run(self._file, work, sync))
        working.add_done_callback(_hear)
        return await asyncio.shield(working)

    def _opened(self) -> Connection:
        if not self._is_open:
            raise Unavailable(f"{self._path.name} is not open.")
        return self._file.opened()

    def _bring_up(self) -> None:
        connection, program = self._file.opened(), self._path.stem
        connection.execute(STEPS)
        row = connection.execute("SELECT steps FROM schema_steps WHERE program = ?", (program,)).fetchone()
        done = row["steps"] if row else 0
        if done > len(self._schema):
            self._file.release()
            raise StartError(f"{self._path} was written by a newer version of this program")
        for number, step in enumerate(self._schema[done:], start=done + 1):
            try:
                connection.executescript(f"BEGIN; {step}")
                connection.execute("INSERT OR REPLACE INTO schema_steps VALUES (?, ?)", (program, number))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise


def _hear(working: asyncio.Future[Any]) -> None:
    """Take note of a failure: whoever was cancelled meanwhile does not."""
    if not working.cancelled():
        working.exception()
