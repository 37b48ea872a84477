"""Removes erased VINs from frozen records: in the background, one record at a time, until none contains them.

The erasing fact notes its VIN in its own transaction (``store.note_erasures``), so that a kill loses nothing. A record
keeps only how many vehicles were removed from it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from sota.kit.errors import Damaged, SotaError
from sota.kit.runtime.clock import Clock
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.notifier import Notifier
from sota.kit.sql import damaged_rows as damage
from sota.kit.sql.database import Database, Tx
from sota.resolver.recorded import store

AT_ONCE = 100
LOOK_INTERVAL_S = 60.0
LINGERING = timedelta(minutes=10)
"""How long a VIN stays noted at least: a resolve that saw the vehicle may not have begun its record yet."""

ABANDONED = timedelta(days=1)
"""An incomplete record of this age will never be complete."""


class Erasures:
    """Removes erased VINs from recorded resolutions."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock
        self._notifier = Notifier()
        self._log = get_logger(program="resolver")

    def wake(self) -> None:
        """Look for noted VINs now."""
        self._notifier.notify()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            heard = self._notifier.count
            try:
                await self.erase_noted()
            except SotaError as error:
                self._log.warning("erasing_failed", reason=error.detail)
            await self._notifier.wait(heard, LOOK_INTERVAL_S)

    async def erase_noted(self) -> None:
        """Remove all noted VINs from all records, and forget those that cannot get into one any more."""
        async with self._db.read() as tx:
            noted = await store.list_erasures(tx, AT_ONCE)
        for vin, noted_at in noted:
            # A resolve that ran when the vehicle was erased may still write it: then check again later.
            now = self._clock.now()
            is_over = noted_at < now - LINGERING and not await self._is_one_begun(now)
            await self._erase(vin)
            if is_over:
                await self._db.transact(partial(store.forget_erasure, vin=vin, noted_at=noted_at))

    async def drop_abandoned(self) -> None:
        """Remove records that were begun and never completed."""
        before = self._clock.now() - ABANDONED
        while await self._db.transact(partial(store.drop_abandoned, before=before, count=AT_ONCE)):
            pass

    async def _is_one_begun(self, now: datetime) -> bool:
        async with self._db.read() as tx:
            return await store.is_one_begun(tx, before=now, after=now - ABANDONED)

    async def _erase(self, vin: str) -> None:
        after: UUID | None = None
        while True:
            async with self._db.read() as tx:
                ids = await store.find_records_around(tx, vin, after, AT_ONCE)
            if not ids:
                return
            for id in ids:
                await self._db.transact(partial(_erase_from, id=id, vin=vin))
            after = ids[-1]


async def _erase_from(tx: Tx, id: UUID, vin: str) -> None:
    for attempt, chunk in await store.find_chunks_around(tx, id, vin):
        try:
            without = damage.read("resolution_chunk", f"{id} {chunk.name}", partial(chunk.without, vin))
        except Damaged:  # the VIN cannot be read there either; the other chunks and VINs continue
            continue
        if without is not None:
            await store.replace_chunk(tx, id, attempt, without)
