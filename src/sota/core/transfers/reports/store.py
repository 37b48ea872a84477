"""SQL of reports, set-wise for many vehicles."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from sota.boundaries.b7_core_rvi.messages import InstallReport
from sota.core.tables import download, operation_result
from sota.core.transfers.model import Download, DownloadState
from sota.kit.sql.database import Tx
from sota.kit.sql.keys import not_alone

MAX_RESULT_TEXT = 60_000
_IS_IT = sa.and_(download.c.vin == sa.bindparam("of_vin"), download.c.download_index == sa.bindparam("of_index"))
_STATE = download.update().where(_IS_IT)
_UNFINISHED = sa.select(download.c.update_id).where(
    download.c.update_id.in_(sa.bindparam("ids", expanding=True)), download.c.state != DownloadState.INSTALLED.value
)
_FORGET = operation_result.delete().where(
    sa.tuple_(operation_result.c.vin, operation_result.c.download_index).in_(sa.bindparam("keys", expanding=True))
)


async def set_states(tx: Tx, states: Sequence[tuple[Download, DownloadState, str | None]]) -> None:
    """Write the states of downloads, with the reason of those that failed."""
    rows = [
        {"of_vin": of.vin, "of_index": of.download_index, "state": state.value, "reason": reason}
        for of, state, reason in sorted(states, key=lambda one: (one[0].vin, one[0].download_index))
    ]
    if rows:
        await tx.execute(_STATE, rows)


async def installed_updates(tx: Tx, update_ids: Collection[UUID]) -> set[UUID]:
    """Return those of these updates that have all their downloads installed."""
    if not update_ids:
        return set()
    return set(update_ids) - set((await tx.execute(_UNFINISHED, {"ids": list(update_ids)})).scalars())


async def write_operations(tx: Tx, reports: Sequence[InstallReport], now: datetime) -> None:
    """Write the results of operations; a second report of a download replaces the first."""
    if not reports:
        return
    await tx.execute(_FORGET, {"keys": not_alone([(report.vin, report.download_index) for report in reports])})
    rows = [
        {
            "vin": report.vin,
            "download_index": report.download_index,
            "position": position,
            "operation": operation.id,
            "result_code": operation.result_code,
            "result_text": operation.result_text[:MAX_RESULT_TEXT],
            "created_at": now,
        }
        for report in reports
        for position, operation in enumerate(report.operations)
    ]
    if rows:
        await tx.execute(operation_result.insert(), rows)
