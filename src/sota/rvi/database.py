"""The node's SQLite file: one transaction for all work that arrives together.

Work is handed in by ``submit`` and done in that order. While a transaction is being written, further work waits for the
next one: under load a thousand messages cost one ``fsync``. Whatever was answered survives a power cut.

A damaged file is set aside and an empty one started, at the start and at any later moment. Its messages are lost to the
node; their senders send unconfirmed ones again. ``on_start_over`` is for code that counts what the file holds.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sota.kit.errors import StartError, Unavailable
from sota.kit.runtime.batcher import Batcher
from sota.kit.sql.local_database import LocalDatabase

Result = TypeVar("Result")
Work = Callable[[sqlite3.Connection], object]
MOST = 10_000

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
"""


class NodeDatabase:
    """Runs work on the file, in order, outside the event loop."""

    def __init__(self, file: Path) -> None:
        self._file = LocalDatabase(file, (SCHEMA,))
        self._file.on_begun_again = self._start_over
        self._batcher: Batcher[Work, Any] = Batcher(self._write, most=MOST)  # Any: each work has its own result
        self.refuses: str | None = None
        """Why the last work failed; None if it did not."""
        self.on_start_over: list[Callable[[], None]] = []

    async def open(self) -> None:
        """Open the file, or create it.

        Raises:
            StartError: the file cannot be used.
        """
        try:
            await self._file.open()
        except StartError as error:
            raise StartError(f"cannot keep messages in {error}", exit_code=1) from None

    def submit(self, work: Callable[[sqlite3.Connection], Result]) -> asyncio.Future[Result]:
        """Hand work in; work is done in the order of the calls, and the future ends when it is durable.

        The future raises Unavailable if the disk fails.
        """
        return self._batcher.put(work)

    async def close(self) -> None:
        """Finish the waiting work, then close."""
        await self._batcher.settle()
        await self._file.close()

    @staticmethod
    def flush(batch: list[Work], connection: sqlite3.Connection) -> list[object]:
        """Do a batch of work, in the file's thread."""
        return [work(connection) for work in batch]

    async def _write(self, batch: list[Work]) -> list[object]:
        try:
            results = await self._file.transact(partial(self.flush, batch))
        except Unavailable as error:
            self.refuses = f"its disk refuses: {error.detail}"
            raise Unavailable(f"The node's disk refuses: {error.detail}") from None
        self.refuses = None
        return results

    def _start_over(self) -> None:
        for listener in self.on_start_over:
            listener()
