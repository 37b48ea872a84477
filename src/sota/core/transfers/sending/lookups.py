"""Looks downloads up, those of many vehicles in one statement.

A look costs a transaction, whatever it finds: so the vehicles that ask within :data:`GATHER_S` share one. A vehicle
alone waits for nobody.
"""

from __future__ import annotations

import asyncio

from sqlalchemy.exc import SQLAlchemyError

from sota.core.transfers import store
from sota.core.transfers.model import Download
from sota.kit.errors import SotaError
from sota.kit.runtime.batcher import Gathering
from sota.kit.sql.database import Database

AT_ONCE = 200
GATHER_S = 0.1
Key = tuple[str, int]


class Lookups:
    """The one reader of downloads by VIN and index."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: dict[Key, asyncio.Future[Download | None]] = {}
        self._reading: asyncio.Task[None] | None = None
        self._gathering = Gathering(GATHER_S)

    async def find(self, vin: str, download_index: int) -> Download | None:
        """Look a download up as it is now, or soon.

        Raises:
            SotaError, SQLAlchemyError: the database is away.
        """
        key = (vin, download_index)
        found = self._waiting.get(key)
        if found is None:
            found = self._waiting[key] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="core lookups")
        return await asyncio.shield(found)

    async def stop(self) -> None:
        """Return when nothing is being read."""
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def _read(self) -> None:
        try:
            while self._waiting:
                if len(self._waiting) < AT_ONCE:
                    await self._gathering.turn()
                keys = list(self._waiting)[:AT_ONCE]
                self._gathering.took(len(keys))
                await self._read_some({key: self._waiting.pop(key) for key in keys})
        finally:
            self._reading = None

    async def _read_some(self, asked: dict[Key, asyncio.Future[Download | None]]) -> None:
        try:
            async with self._db.read() as tx:
                found = await store.find_downloads(tx, list(asked))
        except (SotaError, SQLAlchemyError, OSError) as error:
            for future in asked.values():
                future.set_exception(error)
                future.exception()  # whoever still waits gets it; nobody waiting is no news
        except BaseException:
            for future in asked.values():
                future.cancel()
            raise
        else:
            for key, future in asked.items():
                future.set_result(found.get(key))
