"""Commits acknowledgements of many vehicles together, soon after they came.

A commit costs a sync of the disk, whatever it holds, and each acknowledgement names everything that its vehicle has: so
the newest word of each download is written, every ``pause_s``, for all at once. What a crash takes away is at most
that moment's news, and the vehicle tells it again before it is sent anything.
"""

from __future__ import annotations

import asyncio

from sqlalchemy.exc import SQLAlchemyError

from sota.core.transfers import store
from sota.kit.db import Database
from sota.kit.errors import SotaError
from sota.kit.logging import get_logger
from sota.kit.ranges import Ranges

AT_ONCE = 500
RETRY_S = 1.0
Key = tuple[str, int]


class AckWriter:
    """The one writer of acknowledged ranges. :meth:`run` belongs to the program."""

    def __init__(self, db: Database, *, pause_s: float) -> None:
        self._db, self._pause_s = db, pause_s
        self._waiting: dict[Key, Ranges] = {}
        self._wake = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()

    def note(self, vin: str, download_index: int, received: Ranges) -> None:
        """Have these ranges committed. They are kept as they are, so they must not change any more."""
        self._waiting[vin, download_index] = received
        self._quiet.clear()
        self._wake.set()

    def forget(self, vin: str, download_index: int) -> None:
        """Write nothing more of a download: somebody else writes where it stands."""
        self._waiting.pop((vin, download_index), None)

    async def settled(self) -> None:
        """Wait until everything is committed."""
        if self._waiting:
            await self._quiet.wait()

    async def run(self) -> None:
        """Commit what waits, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            pause_s = self._pause_s
            while self._waiting:
                if not await self._commit():
                    pause_s = RETRY_S
                    break
            if not self._waiting:
                self._quiet.set()
            await asyncio.sleep(pause_s)

    async def flush(self) -> None:
        """Commit what waits, at the program's end."""
        while self._waiting and await self._commit():
            pass

    async def _commit(self) -> bool:
        batch = dict(list(self._waiting.items())[:AT_ONCE])
        for key in batch:
            del self._waiting[key]
        rows = [
            (vin, index, received.text()) for (vin, index), received in sorted(batch.items(), key=lambda one: one[0])
        ]
        try:
            await self._db.transact(lambda tx: store.save_received(tx, rows))
        except (SotaError, SQLAlchemyError) as error:
            get_logger(program="core").warning("acknowledgements_wait", count=len(rows), reason=str(error))
            self._waiting = {**batch, **self._waiting}  # what came meanwhile is newer
            self._wake.set()
            return False
        return True
