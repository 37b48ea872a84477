"""Records reports, those of many vehicles in one transaction.

A commit costs a sync of the disk, and a statement costs more than its rows: so reports that arrive close together are
written together. Their consequences are then batched too: facts for the Resolver, the next updates.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.exc import SQLAlchemyError

from sota.boundaries.b7_core_rvi.messages import InstallReport
from sota.core.transfers.reports import service
from sota.core.transfers.reports.service import Recorded
from sota.kit.errors import SotaError
from sota.kit.runtime.batcher import Batcher
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database

MAX_BATCH = 100
PAUSE_S = 0.1


class ReportWriter(Batcher[InstallReport, Recorded]):
    """The one writer of reports: ``submit`` returns when a report is durable.

    It raises NotFound where the vehicle is not registered, and SotaError or SQLAlchemyError where writing failed.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        super().__init__(self._write, key=lambda report: report.vin, most=MAX_BATCH, pause_s=PAUSE_S)
        self._db, self._clock = db, clock

    async def _write(self, reports: list[InstallReport]) -> Sequence[Recorded | Exception]:
        try:
            return await self._db.transact(lambda tx: service.record_reports(tx, reports, self._clock))
        except (SotaError, SQLAlchemyError) as error:
            if len(reports) == 1:
                return [error]
        # One report that cannot be written must not hold up the others.
        return [result for report in reports for result in await self._write([report])]
