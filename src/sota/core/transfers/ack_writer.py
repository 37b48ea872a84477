"""Commits acknowledgements of many vehicles together: whoever waits while one commit runs shares the next.

A commit costs a sync of the disk, whatever it holds; so thousands of vehicles side by side cost few of them.
"""

from __future__ import annotations

import asyncio

from sqlalchemy.exc import SQLAlchemyError

from sota.core.transfers import store
from sota.kit.db import Database
from sota.kit.errors import SotaError, Unavailable

AT_ONCE = 500
Key = tuple[str, int]


class AckWriter:
    """The one writer of acknowledged ranges. :meth:`run` belongs to the program."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: dict[Key, tuple[str, asyncio.Future[None]]] = {}
        self._wake = asyncio.Event()

    async def save(self, vin: str, download_index: int, ranges: str) -> None:
        """Return when these ranges are committed.

        Raises:
            Unavailable: the database is away: nothing is committed.
        """
        key = (vin, download_index)
        known = self._waiting.get(key)
        # The newer word of one download holds for both who wait.
        future = known[1] if known else asyncio.get_running_loop().create_future()
        self._waiting[key] = (ranges, future)
        self._wake.set()
        await asyncio.shield(future)

    async def run(self) -> None:
        """Commit what waits, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._commit()

    async def _commit(self) -> None:
        batch = dict(list(self._waiting.items())[:AT_ONCE])
        for key in batch:
            del self._waiting[key]
        rows = [(vin, index, ranges) for (vin, index), (ranges, _) in sorted(batch.items())]
        try:
            await self._db.transact(lambda tx: store.save_received(tx, rows))
        except (SotaError, SQLAlchemyError) as error:
            for _, future in batch.values():
                if not future.done():
                    future.set_exception(Unavailable(f"Acknowledgements could not be committed: {error}"))
            return
        except BaseException:
            for _, future in batch.values():
                future.cancel()
            raise
        for _, future in batch.values():
            if not future.done():
                future.set_result(None)
