"""A SQLite connection for SQLAlchemy: the standard library's, used in a thread of its own.

A switch to the thread and back costs more than a small statement, and aiosqlite makes four for each statement. Here
one switch covers the transaction's BEGIN, the statement and its rows. So rows are always fetched completely.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Result = TypeVar("Result")
Job = tuple[asyncio.Future[Any] | None, Callable[[], object]]  # Any: each job has its own result
Row = tuple[object, ...]
Value = str | bytes | int | float | None
Done = tuple[sqlite3.Cursor, Sequence[Row]]
"""The closed cursor, which still says what its statement did, and the rows."""


class Connection:
    """A connection whose statements are executed and fetched in one piece."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        self._connector = connector
        self._connection: sqlite3.Connection | None = None  # SQLAlchemy reads this attribute: None when closed
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        # A daemon: a connection that was never closed must not keep the program from ending.
        self._thread = Thread(target=_work, args=(self._jobs,), name="sqlite", daemon=True)
        self._begin: str | None = None
        self._is_begun = False

    def __del__(self) -> None:
        """End the thread of a connection that was dropped without being closed."""
        self.stop()

    async def open(self) -> Connection:
        """Open the file."""
        self._thread.start()
        try:
            self._connection = await self._in_thread(self._connector)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Close the file and end the thread, without waiting. A second call has no effect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._jobs.put((None, connection.close))
        self._jobs.put(None)

    async def close(self) -> None:
        """Close the file and end the thread. A second call has no effect."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await self._in_thread(connection.close)
            finally:
                self._jobs.put(None)

    def begin(self, statement: str) -> None:
        """Begin a transaction by ``statement``, together with the first statement in it."""
        self._begin = statement

    def cursor(self) -> Cursor:
        """Return a cursor; this needs no switch to the thread."""
        return Cursor(self)

    async def commit(self) -> None:
        """Commit; a transaction without statements needs nothing."""
        if self._is_begun:
            await self._in_thread(self._opened().commit)
        self._begin, self._is_begun = None, False

    async def rollback(self) -> None:
        """Roll back. The pool does so whenever a connection is returned, mostly after a commit: that costs nothing."""
        if self._is_begun:
            await self._in_thread(self._opened().rollback)
        self._begin, self._is_begun = None, False

    async def create_function(self, name: str, arguments: int, function: Callable[..., Value], **options: bool) -> None:
        """Register a function of ours in SQL."""
        await self._in_thread(partial(self._opened().create_function, name, arguments, function, **options))

    async def run(self, work: Callable[[sqlite3.Cursor], object]) -> Done:
        """Execute ``work`` in the thread, and fetch its rows."""
        begin, self._begin = self._begin, None
        self._is_begun = self._is_begun or begin is not None
        return await self._in_thread(partial(_run, self._opened(), begin, work))

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise ValueError("no active connection")  # SQLAlchemy knows these words
        return self._connection

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._jobs.put((future, work))
        return await future


class Cursor:
    """The part of a cursor that SQLAlchemy uses."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.description: tuple[tuple[str, None, None, None, None, None, None], ...] | None = None
        self.lastrowid: int | None = None
        self.rowcount = -1
        self._rows: Sequence[Row] = ()

    async def __aenter__(self) -> Cursor:
        """Return the cursor itself; opening it needs nothing."""
        return self

    async def execute(self, statement: str, parameters: Sequence[object] = ()) -> Cursor:
        """Execute a statement."""
        return self._take(await self._connection.run(lambda cursor: cursor.execute(statement, parameters)))

    async def executemany(self, statement: str, rows: Iterable[Sequence[object]]) -> Cursor:
        """Execute a statement for each of these rows."""
        return self._take(await self._connection.run(lambda cursor: cursor.executemany(statement, rows)))

    async def fetchall(self) -> Sequence[Row]:
        """Return the rows."""
        return self._rows

    async def close(self) -> None:
        """Free the rows."""
        self._rows = ()

    def _take(self, done: Done) -> Cursor:
        found, self._rows = done
        self.description, self.lastrowid, self.rowcount = found.description, found.lastrowid, found.rowcount
        return self


async def connect(database: str, **options: bool) -> Connection:
    """Open a file, as SQLAlchemy asks its driver to."""
    return await Connection(partial(sqlite3.connect, database, isolation_level=None, **options)).open()


def _run(connection: sqlite3.Connection, begin: str | None, work: Callable[[sqlite3.Cursor], object]) -> Done:
    cursor = connection.cursor()
    try:
        if begin is not None:
            cursor.execute(begin)
        work(cursor)
        return cursor, cursor.fetchall() if cursor.description else ()
    finally:
        cursor.close()


def _work(jobs: SimpleQueue[Job | None]) -> None:
    """Do jobs until None comes, or until the event loop that waits for one is closed. Close the file at the end."""
    opened: sqlite3.Connection | None = None
    try:
        while (job := jobs.get()) is not None:
            future, work = job
            result: object = None
            failure: BaseException | None = None
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - raised again where the job came from
                failure = error
            if isinstance(result, sqlite3.Connection):  # the caller may have been cancelled, and never see it
                opened = result
            if future is None:
                continue
            try:
                future.get_loop().call_soon_threadsafe(_settle, future, result, failure)
            except RuntimeError:  # the loop is closed
                return
    finally:
        if opened is not None:
            opened.close()


def _settle(future: asyncio.Future[object], result: object, failure: BaseException | None) -> None:
    if future.done():  # it was cancelled
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
