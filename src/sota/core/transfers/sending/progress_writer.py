"""Writes how far transfers have come, those of many vehicles in one transaction.

A commit costs a sync of the disk, whatever it holds, and a statement costs more than its rows. So a caller that needs
its step to be durable shares a commit with all that come within :data:`PAUSE_S`; after a quiet time that is hardly any.

Acknowledgements wait for no commit. Each names everything that its vehicle has, so the newest one of each download is
written every ``pause_s``, and none in between. A crash loses at most the news of that moment, and the vehicle repeats
it before anything is sent to it.
"""

from __future__ import annotations

import asyncio
import time

from sqlalchemy.exc import SQLAlchemyError

from sota.core.transfers.model import Download, DownloadKey, Lease
from sota.core.transfers.sending import store
from sota.core.transfers.sending.store import Stage, Steps
from sota.kit.errors import SotaError, Unavailable
from sota.kit.ranges import Ranges
from sota.kit.runtime.batcher import BatchTimer
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Database

MAX_ACKNOWLEDGEMENTS = 500
RETRY_S = 1.0
FIRST_S, PAUSE_S = 0.01, 0.1


class ProgressWriter:
    """The one writer of steps and acknowledgements. :meth:`run` belongs to the program."""

    def __init__(self, db: Database, *, pause_s: float) -> None:
        self._db, self._pause_s = db, pause_s
        self._acknowledged: dict[DownloadKey, Ranges] = {}
        self._steps = Steps()
        self._waiting: list[asyncio.Future[None]] = []
        self._has_work, self._has_steps, self._is_idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._is_idle.set()
        self._since = 0.0
        self._timer = BatchTimer(PAUSE_S)

    def note(self, vin: str, download_index: int, received: Ranges) -> None:
        """Commit these ranges soon. They are kept by reference, so they must not change any more."""
        if not self._acknowledged:
            self._since = time.monotonic()
        self._acknowledged[vin, download_index] = received
        self._is_idle.clear()
        self._has_work.set()

    async def begin(self, of: Download, lease: Lease) -> None:
        """Write that a download has begun and its update is accepted; return when that is durable.

        Raises:
            Unavailable: the database is away.
        """
        self._steps.begun.append((of.vin, of.download_index))
        await self.stage(Stage(of.update_id, "accepted", lease))

    async def stage(self, stage: Stage) -> None:
        """Write how far an update under way has come; return when that is durable. A closed update stays as it is.

        Raises:
            Unavailable: the database is away.
        """
        self._steps.stages.append(stage)
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._is_idle.clear()
        self._has_steps.set()
        self._has_work.set()
        await asyncio.shield(future)

    async def finish(self, of: Download, received: Ranges, lease: Lease) -> None:
        """Write that the vehicle has the whole file; the update is ``transferred`` with its last one.

        Raises:
            Unavailable: the database is away.
        """
        self._acknowledged.pop((of.vin, of.download_index), None)
        self._steps.finished[of.vin, of.download_index] = received.text()
        await self.stage(Stage(of.update_id, "transferred", lease, keeps_owner=True))

    async def settled(self) -> None:
        """Wait until everything is committed."""
        await self._is_idle.wait()

    async def run(self) -> None:
        """Commit what waits, until cancelled."""
        while True:
            await self._has_work.wait()
            try:
                async with asyncio.timeout(self._left_s()):
                    await self._has_steps.wait()
                    await asyncio.sleep(min(max(FIRST_S, self._timer.left_s), self._pause_s))
            except TimeoutError:
                pass
            self._has_work.clear()
            self._has_steps.clear()
            self._timer.began(len(self._waiting))
            if not await self._commit():
                await asyncio.sleep(RETRY_S)
            if self._acknowledged or self._waiting:
                self._has_work.set()
            else:
                self._is_idle.set()

    async def flush(self) -> None:
        """Commit the last acknowledgements, when the program ends."""
        while self._acknowledged:
            if not await self._commit(ending=True):
                return

    def _left_s(self) -> float:
        """Return how long acknowledgements may still wait."""
        return max(0.0, self._since + self._pause_s - time.monotonic()) if self._acknowledged else self._pause_s

    async def _commit(self, *, ending: bool = False) -> bool:
        steps, self._steps = self._steps, Steps()
        waiting, self._waiting = self._waiting, []
        is_time = ending or not self._left_s()
        news = dict(list(self._acknowledged.items())[:MAX_ACKNOWLEDGEMENTS]) if is_time else {}
        for key in news:
            del self._acknowledged[key]
        steps.received = {key: ranges.text() for key, ranges in news.items()}
        try:
            await self._db.transact(lambda tx: store.write(tx, steps))
        except (SotaError, SQLAlchemyError) as error:
            get_logger(program="core").warning("acknowledgements_wait", count=len(news), reason=str(error))
            self._acknowledged = {**news, **self._acknowledged}  # what came meanwhile is newer
            for future in waiting:
                future.set_exception(Unavailable(f"The transfer's step could not be written: {error}"))
                future.exception()  # a caller that was cancelled must not leave a warning
            return False
        except BaseException:
            for future in waiting:
                future.cancel()
            raise
        for future in waiting:
            future.set_result(None)
        return True
