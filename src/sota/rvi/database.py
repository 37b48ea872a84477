"""The node's SQLite file: one connection, one thread, and one transaction for all work that arrives together.

Work is handed in by ``submit`` and done in that order. While a transaction is being written, further work waits for the
next one: under load a thousand messages cost one ``fsync``. Whatever was answered survives a power cut.

A damaged file is set aside and an empty one started, at the start and at any later moment. Its messages are lost to the
node; their senders send unconfirmed ones again. ``on_start_over`` is for code that counts what the file holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sota.kit.errors import StartError, Unavailable
from sota.kit.files.durable import private_file, private_folder
from sota.kit.files.set_aside import is_damage, set_aside
from sota.kit.runtime import faults
from sota.kit.runtime.logging import get_logger

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], object]

SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY, service TEXT NOT NULL, parameters BLOB NOT NULL, timeout_ms INTEGER NOT NULL,
    deadline REAL NOT NULL, peer BLOB
) STRICT;
CREATE INDEX IF NOT EXISTS messages_of_service ON messages (service, number);
CREATE INDEX IF NOT EXISTS messages_by_deadline ON messages (deadline);
CREATE TABLE IF NOT EXISTS schedules (
    vin TEXT NOT NULL, update_id TEXT NOT NULL, start REAL NOT NULL, stop REAL NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (vin, update_id)
) STRICT;
CREATE TABLE IF NOT EXISTS clock (
    one INTEGER PRIMARY KEY CHECK (one = 1), boot_id TEXT NOT NULL, base REAL NOT NULL
) STRICT;
PRAGMA user_version = 1;
"""


class NodeDatabase:
    """Runs work on the file, in order, outside the event loop."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rvi-disk")
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[tuple[Work, asyncio.Future[Any]]] = []  # each future has its work's result type
        self._flushing: asyncio.Task[None] | None = None
        self.refuses: str | None = None
        """Why the last work failed; None if it did not."""
        self._is_closed = False
        self.on_start_over: list[Callable[[], None]] = []

    async def open(self) -> None:
        """Open the file, or create it.

        Raises:
            StartError: the file cannot be used.
        """
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connect_or_start_over)
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"cannot keep messages in {self._file}: {error}", exit_code=1) from None

    def submit(self, work: Callable[[sqlite3.Connection], Result]) -> asyncio.Future[Result]:
        """Hand work in; work is done in the order of the calls, and the future ends when it is durable.

        The future raises Unavailable if the disk fails.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="rvi-disk:flush")
        return future

    async def close(self) -> None:
        """Finish the waiting work, then close."""
        if self._flushing is not None:
            await self._flushing
        self._is_closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                results = await loop.run_in_executor(self._thread, self._apply, [work for work, _ in batch])
            except (sqlite3.Error, OSError, ValueError) as error:
                if isinstance(error, ValueError) and not is_damage(error):
                    raise
                self.refuses = f"its disk refuses: {error}"
                if is_damage(error):
                    await self._start_over(error)
                for _, future in batch:
                    if not future.done():
                        future.set_exception(Unavailable(f"The node's disk refuses: {error}."))
                        future.exception()  # seen, even if no task waits for it
                continue
            self.refuses = None
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
        self._flushing = None

    async def _start_over(self, error: BaseException) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._set_aside, error)
        except (sqlite3.Error, OSError) as refused:  # the next work meets the damage again, or no connection
            get_logger().error("damaged_messages_not_set_aside", file=str(self._file), detail=str(refused))
        for listener in self.on_start_over:
            listener()

    def _set_aside(self, error: BaseException) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._disconnect()
        self._connection = None
        new = set_aside(self._file)
        get_logger().error(
            "local_file_set_aside",
            file=str(self._file),
            kept_as=new.name,
            detail=str(error),
            hint="this node lost the messages in it; their senders repeat unconfirmed ones; check the disk",
        )
        self._connect()

    def _apply(self, batch: list[Work]) -> list[object]:
        if self._is_closed:
            raise sqlite3.OperationalError("it is closed")
        connection = self._connection or self._connect()  # set aside earlier, when there was no room for another file
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            results = [work(connection) for work in batch]
            faults.before("NodeDatabase.flush")
        faults.after("NodeDatabase.flush")
        return results

    def _connect_or_start_over(self) -> None:
        try:
            self._connect()
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            self._set_aside(error)

    def _connect(self) -> sqlite3.Connection:
        private_folder(self._file.parent)
        private_file(self._file)
        connection = sqlite3.connect(self._file, timeout=5, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(SCHEMA)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
