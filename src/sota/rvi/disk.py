"""The node's SQLite file: one connection, one thread, and one transaction for all work that came together.

Work is handed in by ``submit`` and done in that order. While a transaction is on its way to the disk, further work
gathers and goes into the next one: under load a thousand messages cost one ``fsync``. What was answered survives a
power cut.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sota.kit import faults
from sota.kit.durable import private_folder
from sota.kit.errors import StartError, Unavailable

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], Any]

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
PRAGMA user_version = 1;
"""


class Disk:
    """Runs work on the file, in order, off the event loop."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rvi-disk")
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[tuple[Work, asyncio.Future[Any]]] = []
        self._flushing: asyncio.Task[None] | None = None
        self.refuses: str | None = None
        """Why the last work could not be done; None where it could."""

    async def open(self) -> None:
        """Open the file, or make it.

        Raises:
            StartError: it cannot be used.
        """
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connect)
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"cannot keep messages in {self._file}: {error}", exit_code=1) from None

    def submit(self, work: Callable[[sqlite3.Connection], Result]) -> asyncio.Future[Result]:
        """Hand work in; the future ends when it is durable. Nothing else may happen between two calls' order.

        The future raises Unavailable if the disk refuses.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="rvi-disk:flush")
        return future

    async def close(self) -> None:
        """Do what is still waiting, then close."""
        if self._flushing is not None:
            await self._flushing
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown()

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                results = await loop.run_in_executor(self._thread, self._apply, [work for work, _ in batch])
            except (sqlite3.Error, OSError) as error:
                self.refuses = f"its disk refuses: {error}"
                for _, future in batch:
                    if not future.done():
                        future.set_exception(Unavailable(f"The node's disk refuses: {error}."))
                        future.exception()  # seen, even where nobody waits for it
                continue
            self.refuses = None
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)
        self._flushing = None

    def _apply(self, batch: list[Work]) -> list[Any]:
        if self._connection is None:
            raise sqlite3.OperationalError("it is closed")
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            results = [work(self._connection) for work in batch]
            faults.before("Disk.flush")
        faults.after("Disk.flush")
        return results

    def _connect(self) -> None:
        private_folder(self._file.parent)
        connection = sqlite3.connect(self._file, timeout=5, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(SCHEMA)
        self._connection = connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
