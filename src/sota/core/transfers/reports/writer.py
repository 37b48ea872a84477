"""Records reports, those of many vehicles in one transaction.

A commit costs a sync of the disk, and a statement costs more than its rows: so the reports that come within
:data:`GATHER_S` are written together. What follows from them comes in batches then, too: facts for the Resolver, the
next updates. A vehicle alone waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from sota.boundaries.b7_core_rvi.messages import InstallReport
from sota.core.transfers.reports import service as reports
from sota.core.transfers.reports.service import Recorded
from sota.kit.errors import NotFound, SotaError
from sota.kit.runtime.batcher import Gathering
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database

AT_ONCE = 100
GATHER_S = 0.1
Waiting = tuple[InstallReport, asyncio.Future[Recorded]]


class ReportWriter:
    """The one writer of reports."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock
        self._waiting: list[Waiting] = []
        self._writing: asyncio.Task[None] | None = None
        self._gathering = Gathering(GATHER_S)

    async def record(self, report: InstallReport) -> Recorded:
        """Record a report; returns when it is durable.

        Raises:
            NotFound: the vehicle has no such download, or is not registered.
            SotaError, SQLAlchemyError: it could not be written.
        """
        done: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
        self._waiting.append((report, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="core reports")
        return await asyncio.shield(done)

    async def stop(self) -> None:
        """Return when nothing is being written."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write(self) -> None:
        try:
            while self._waiting:
                if len(self._waiting) < AT_ONCE:
                    await self._gathering.turn()
                batch = self._take()
                self._gathering.took(len(batch))
                await self._write_some(batch)
        finally:
            self._writing = None

    def _take(self) -> list[Waiting]:
        """Take the next reports, one of each vehicle."""
        batch: dict[str, Waiting] = {}
        rest: list[Waiting] = []
        for one in self._waiting:
            vin = one[0].vin
            if vin in batch or len(batch) == AT_ONCE:
                rest.append(one)
            else:
                batch[vin] = one
        self._waiting = rest
        return list(batch.values())

    async def _write_some(self, batch: Sequence[Waiting]) -> None:
        told = [report for report, _ in batch]
        try:
            results = await self._db.transact(lambda tx: reports.record_reports(tx, told, self._clock))
        except (SotaError, SQLAlchemyError) as error:
            if len(batch) == 1:
                _fail(batch[0][1], error)
                return
            for one in batch:  # what is wrong with one of them must not hold the others up
                await self._write_some([one])
        except BaseException:
            for _, done in batch:
                done.cancel()
            raise
        else:
            for (_, done), result in zip(batch, results, strict=True):
                if isinstance(result, NotFound):
                    _fail(done, result)
                elif not done.done():
                    done.set_result(result)


def _fail(done: asyncio.Future[Recorded], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
        done.exception()  # whoever still waits gets it; nobody waiting is no news
