"""A program's own small SQLite file: what the vehicle's programs keep across power loss.

One connection, used by one thread at a time, in WAL mode: a transaction is on disk when ``transact`` returns. SQLite
itself syncs only to keep the file consistent (``synchronous=NORMAL``). After a transaction its log is synced here. So a
process of many vehicles can wait for many logs together, and a transaction whose loss does no harm need not wait.
(The backend's databases are in ``kit/sql/database.py``; a vehicle has no SQLAlchemy.)

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

from sota.kit.errors import StartError, Unavailable
from sota.kit.files.disk import Sync
from sota.kit.files.set_aside import is_damage
from sota.kit.runtime import faults
from sota.kit.sql.local_file import Connection
from sota.kit.sql.local_threads import OwnThread, Threads

Result = TypeVar("Result")
Value = TypeVar("Value")
Row = sqlite3.Row

REMEMBERED_READS = 256
META = (
    "CREATE TABLE IF NOT EXISTS schema_steps (program TEXT PRIMARY KEY, steps INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS begun_again (program TEXT PRIMARY KEY)",
)


class Damaged(Unavailable):
    """The file was damaged: it has been set aside, and the program starts with an empty one."""

    code = "damaged"


class LocalDatabase:
    """A program's tables in the file, and their schema.

    ``schema`` is a list of steps. The table ``schema_steps`` in the file counts those that were applied; the others
    are applied when the file is opened. ``threads`` decides where the work is done and whether programs share one
    file; the default is a file and a thread of its own.
    """

    def __init__(self, path: Path, schema: tuple[str, ...], threads: Threads | None = None) -> None:
        self._path, self._schema = path, schema
        self._threads: Threads = threads or OwnThread(path.stem)
        self._file = self._threads.file(path)
        self._is_open = False
        self._generation = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self.on_begun_again: Callable[[], None] = lambda: None
        """Called in the event loop when the file was set aside at run time; see :meth:`begun_again`."""
        self._recalled: dict[Hashable, Any] = {}  # Any: each key has its own type
        self._changes = 0

    async def open(self) -> None:
        """Open the file and apply its schema. A damaged file is set aside and replaced by an empty one.

        Raises:
            StartError: it cannot be opened, or was written by a newer program.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await self._run(self._bring_up_or_begin_again)
        except BaseException as error:  # also a cancelled caller: the thread opens the file all the same
            if not self._file.users:
                await self._threads.leave(self._file)
            if isinstance(error, (sqlite3.Error, OSError)):
                raise StartError(f"{self._path}: {error}") from None
            raise
        self._is_open = True
        self._file.users += 1

    async def close(self) -> None:
        """Let running work end, then close; a file that other programs use stays open."""
        if self._is_open:
            self._file.users -= 1
        self._is_open = False
        if not self._file.users:
            await self._threads.leave(self._file)

    async def transact(self, work: Callable[[Connection], Result], *, durable: bool = True) -> Result:
        """Run ``work`` in one transaction; when this returns, all its writes are on disk, or none was made.

        Without ``durable`` the writes outlive this process, but a loss of power takes them unless a durable transaction
        follows. For changes that are repeated without harm when they were lost.

        Raises:
            Unavailable: the disk is full (nothing was written) or fails (something may have been written).
            Damaged: the file was set aside.
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
            return await self._run(self._guarded(run), sync if durable else None)
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"{self._path.name} cannot be written: {error}.") from error
        finally:
            self._change()

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Read without writing.

        Raises:
            Unavailable: the disk fails.
            Damaged: the file was set aside.
        """
        run = self._guarded(lambda: work(self._opened()))
        try:
            if self._file.connection is not None and self._threads.may_work_here(self._file):
                return run()
            return await self._run(run)
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"{self._path.name} cannot be read: {error}.") from error

    async def recall(self, key: Hashable, work: Callable[[Connection], Result]) -> Result:
        """Read, or return what was read under this ``key`` since the last transaction. Do not change the result.

        >>> await database.recall(("download", 7), work)                                 # doctest: +SKIP
        """
        if key in self._recalled and self._generation == self._file.generation:
            found: Result = self._recalled[key]
            return found
        changes = self._changes
        result = await self.read(work)
        if changes == self._changes:
            if len(self._recalled) >= REMEMBERED_READS:
                self._recalled.clear()
            self._recalled[key] = result
        return result

    async def rows(
        self, read: Callable[[Row], Value], query: str, *values: object, key: Hashable | None = None
    ) -> list[Value]:
        """Return the rows of a query, converted by ``read``; with a ``key``, like :meth:`recall`."""

        def work(tx: Connection) -> list[Value]:
            return [read(row) for row in tx.execute(query, values)]

        return await (self.read(work) if key is None else self.recall(key, work))

    async def begun_again(self) -> bool:
        """Report whether the program lost its data and has not handled that yet (:meth:`settle`)."""
        program = self._path.stem
        query = "SELECT 1 FROM begun_again WHERE program = ?"
        return await self.read(lambda tx: tx.execute(query, (program,)).fetchone() is not None)

    async def settle(self) -> None:
        """Note that the loss was handled."""
        program = self._path.stem
        await self.transact(lambda tx: tx.execute("DELETE FROM begun_again WHERE program = ?", (program,)))

    def _change(self) -> None:
        self._changes += 1
        self._recalled.clear()

    async def _run(self, work: Callable[[], Result], sync: Sync | None = None) -> Result:
        if self._file.is_loaded and self._threads.may_work_here(self._file):
            return await self._threads.run(self._file, work, sync)
        # Shielded: when its caller is cancelled, a transaction still runs to its end.
        working = asyncio.ensure_future(self._threads.run(self._file, work, sync))
        working.add_done_callback(_hear)
        return await asyncio.shield(working)

    def _opened(self) -> Connection:
        if not self._is_open:
            raise Unavailable(f"{self._path.name} is not open.")
        self._file.opened()
        if self._generation != self._file.generation:  # another program of the same file has set it aside
            self._bring_up()
            self._tell()
        return self._file.opened()

    def _guarded(self, work: Callable[[], Result]) -> Callable[[], Result]:
        """Wrap work so that a damaged file is set aside and replaced by an empty one."""

        def run() -> Result:
            try:
                return work()
            except (sqlite3.Error, ValueError) as error:
                if not is_damage(error):
                    raise
                self._file.set_aside(str(error))
                self._bring_up()
                self._tell()
                raise Damaged(f"{self._path.name} was damaged and is begun again: {error}.") from error

        return run

    def _bring_up_or_begin_again(self) -> None:
        try:
            self._bring_up()
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            self._file.set_aside(str(error))
            self._bring_up()

    def _bring_up(self) -> None:
        connection, program = self._file.opened(), self._path.stem
        for table in META:
            connection.execute(table)
        row = connection.execute("SELECT steps FROM schema_steps WHERE program = ?", (program,)).fetchone()
        done = row["steps"] if row else 0
        if done > len(self._schema):
            raise StartError(f"{self._path} was written by a newer version of this program")
        for number, step in enumerate(self._schema[done:], start=done + 1):
            try:
                connection.executescript(f"BEGIN; {step}")
                connection.execute("INSERT OR REPLACE INTO schema_steps VALUES (?, ?)", (program, number))
                if self._file.was_lost and number == 1:
                    connection.execute("INSERT OR REPLACE INTO begun_again VALUES (?)", (program,))
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        self._generation = self._file.generation

    def _tell(self) -> None:
        """Notify the program that its data was lost; this runs in the file's thread."""
        self._change()
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.on_begun_again)


def _hear(working: asyncio.Future[Result]) -> None:
    """Retrieve an exception that a cancelled caller does not retrieve."""
    if not working.cancelled():
        working.exception()
