"""Writes how far transfers have come, those of many vehicles in one transaction.

A commit costs a sync of the disk, whatever it holds, and a statement costs more than its rows. So whoever must wait for
his step to be durable shares a commit with all who come within :data:`GATHER_S`; after a quiet time that is hardly one.
Nobody waits for acknowledgements: each names everything that its vehicle has, so the newest of each download is written
every ``pause_s``, and not with each step in between. What a crash takes away is at most that moment's news, and the
vehicle tells it again before it is sent anything.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from sota.core.transfers.model import Download
from sota.core.transfers.sending import store as step_store
from sota.core.transfers.sending.store import Begun, Finished, Stage
from sota.kit.errors import SotaError, Unavailable
from sota.kit.ranges import Ranges
from sota.kit.runtime.batcher import Gathering
from sota.kit.runtime.clock import Clock
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Database, Tx

AT_ONCE = 500
RETRY_S = 1.0
FIRST_S, GATHER_S = 0.01, 0.1
Key = tuple[str, int]


@dataclass(slots=True)
class Batch:
    """What waits for the next commit."""

    stages: list[Stage] = field(default_factory=list)
    begun: list[Begun] = field(default_factory=list)
    finished: list[Finished] = field(default_factory=list)
    waiting: list[asyncio.Future[None]] = field(default_factory=list)


class ProgressWriter:
    """The one writer of steps and acknowledgements. :meth:`run` belongs to the program."""

    def __init__(self, db: Database, clock: Clock, *, pause_s: float) -> None:
        self._db, self._clock, self._pause_s = db, clock, pause_s
        self._acknowledged: dict[Key, Ranges] = {}
        self._batch = Batch()
        self._lazy, self._urgent, self._quiet = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._quiet.set()
        self._since = 0.0
        self._gathering = Gathering(GATHER_S)

    def note(self, vin: str, download_index: int, received: Ranges) -> None:
        """Have these ranges committed soon. They are kept as they are, so they must not change any more."""
        if not self._acknowledged:
            self._since = time.monotonic()
        self._acknowledged[vin, download_index] = received
        self._quiet.clear()
        self._lazy.set()

    async def begin(self, of: Download, *, next_try_at: datetime, lease_until: datetime, owner: str) -> None:
        """Write that a download has begun and its update is accepted; returns when that is durable.

        Raises:
            Unavailable: the database is away.
        """
        self._batch.begun.append(Begun(of.vin, of.download_index))
        await self.stage(of.update_id, "accepted", next_try_at=next_try_at, lease_until=lease_until, owner=owner)

    async def stage(
        self, update_id: UUID, stage: str, *, next_try_at: datetime, lease_until: datetime, owner: str
    ) -> None:
        """Write how far an update under way has come; returns when that is durable. One that is over stays as it is.

        Raises:
            Unavailable: the database is away.
        """
        self._batch.stages.append(Stage(update_id, stage, self._clock.now(), next_try_at, lease_until, owner))
        await self._durable()

    async def finish(self, of: Download, received: Ranges, *, next_try_at: datetime, lease_until: datetime) -> None:
        """Note that the vehicle has the whole file; the update is ``transferred`` with its last one.

        Raises:
            Unavailable: the database is away.
        """
        self._acknowledged.pop((of.vin, of.download_index), None)
        finished = Finished(of.vin, of.download_index, of.update_id, received.text(), self._clock.now())
        self._batch.finished.append(finished)
        self._batch.stages.append(Stage(of.update_id, "transferred", self._clock.now(), next_try_at, lease_until, None))
        await self._durable()

    async def settled(self) -> None:
        """Wait until everything is committed."""
        await self._quiet.wait()

    async def run(self) -> None:
        """Commit what waits, until cancelled."""
        while True:
            await self._lazy.wait()
            try:
                async with asyncio.timeout(self._left_s()):
                    await self._urgent.wait()
                    await asyncio.sleep(min(max(FIRST_S, self._gathering.left_s), self._pause_s))
            except TimeoutError:
                pass
            self._lazy.clear()
            self._urgent.clear()
            self._gathering.took(len(self._batch.waiting))
            if not await self._commit():
                await asyncio.sleep(RETRY_S)
            if self._acknowledged or self._batch.waiting:
                self._lazy.set()
            else:
                self._quiet.set()

    async def flush(self) -> None:
        """Commit the last acknowledgements, at the program's end."""
        while self._acknowledged:
            if not await self._commit(ending=True):
                return

    def _left_s(self) -> float:
        """Say how long acknowledgements may still wait."""
        return max(0.0, self._since + self._pause_s - time.monotonic()) if self._acknowledged else self._pause_s

    async def _durable(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._batch.waiting.append(future)
        self._quiet.clear()
        self._urgent.set()
        self._lazy.set()
        await asyncio.shield(future)

    async def _commit(self, *, ending: bool = False) -> bool:
        batch, self._batch = self._batch, Batch()
        is_time = ending or not self._left_s()
        news = dict(list(self._acknowledged.items())[:AT_ONCE]) if is_time else {}
        for key in news:
            del self._acknowledged[key]
        received = [(vin, index, ranges.text()) for (vin, index), ranges in sorted(news.items(), key=_key)]

        async def work(tx: Tx) -> None:
            await step_store.write(tx, received, batch.begun, batch.finished, batch.stages)

        try:
            await self._db.transact(work)
        except (SotaError, SQLAlchemyError) as error:
            get_logger(program="core").warning("acknowledgements_wait", count=len(received), reason=str(error))
            self._acknowledged = {**news, **self._acknowledged}  # what came meanwhile is newer
            _tell(batch.waiting, Unavailable(f"The transfer's step could not be written: {error}"))
            return False
        except BaseException:
            for future in batch.waiting:
                future.cancel()
            raise
        _tell(batch.waiting, None)
        return True


def _key(entry: tuple[Key, Ranges]) -> Key:
    return entry[0]


def _tell(waiting: list[asyncio.Future[None]], error: Exception | None) -> None:
    for future in waiting:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
            future.exception()  # whoever still waits gets it; nobody waiting is no news
