"""SQL of the steps of many transfers: one statement for each kind of step, executed for all rows.

The statements are built once: building one costs more than executing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import sqlalchemy as sa

from sota.boundaries.values import BEGUN
from sota.core.tables import download, update
from sota.core.transfers.model import DownloadKey, DownloadState, Lease
from sota.kit.sql.database import Tx

# Written out: a list of values cannot be used with executemany.
IS_OPEN = sa.and_(*(download.c.state != state.value for state in DownloadState if state.is_final))
IS_TO_COME = sa.or_(*(download.c.state == state.value for state in (DownloadState.PENDING, DownloadState.TRANSFERRING)))


@dataclass(frozen=True, slots=True)
class Stage:
    """How far an update has come; ``transferred`` counts only when none of its downloads is to come.

    The owner of the lease drives the update from now on, unless ``keeps_owner``.
    """

    update_id: UUID
    stage: str
    lease: Lease
    keeps_owner: bool = False


@dataclass(slots=True)
class Steps:
    """What one transaction writes; ``received`` and ``finished`` have the acknowledged ranges as text."""

    begun: list[DownloadKey] = field(default_factory=list)
    received: dict[DownloadKey, str] = field(default_factory=dict)
    finished: dict[DownloadKey, str] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)


_OF = sa.and_(download.c.vin == sa.bindparam("of_vin"), download.c.download_index == sa.bindparam("of_index"))
# What is set beside this are the columns that the rows of an execution name.
_RECEIVED = download.update().where(_OF)
_BEGUN = download.update().where(_OF, IS_OPEN).values(state=DownloadState.TRANSFERRING.value)
_FINISHED = download.update().where(_OF, IS_OPEN).values(state=DownloadState.TRANSFERRED.value)
_IS_UNDER_WAY = sa.and_(update.c.update_id == sa.bindparam("of_update"), update.c.status == "in_flight")
_STAGE = update.update().where(_IS_UNDER_WAY)
_TRANSFERRED = _STAGE.where(
    # The vehicle may report that it installs before this is written.
    sa.or_(update.c.stage.is_(None), sa.and_(*(update.c.stage != stage.value for stage in sorted(BEGUN)))),
    ~sa.exists().where(download.c.update_id == update.c.update_id, IS_TO_COME),
)


async def write(tx: Tx, steps: Steps) -> None:
    """Write steps. What is closed stays as it is."""
    if steps.begun:
        await tx.execute(_BEGUN, [{"of_vin": vin, "of_index": index} for vin, index in steps.begun])
    if steps.received:
        await tx.execute(_RECEIVED, _ranges_rows(steps.received))
    if steps.finished:
        await tx.execute(_FINISHED, _ranges_rows(steps.finished))
    moved = [{**_stage_row(one), "lease_owner": one.lease.owner} for one in steps.stages if not one.keeps_owner]
    if moved:
        await tx.execute(_STAGE, moved)
    transferred = [_stage_row(one) for one in steps.stages if one.keeps_owner]
    if transferred:
        await tx.execute(_TRANSFERRED, transferred)


def _ranges_rows(ranges: Mapping[DownloadKey, str]) -> list[dict[str, object]]:
    return [{"of_vin": vin, "of_index": index, "received": text} for (vin, index), text in sorted(ranges.items())]


def _stage_row(one: Stage) -> dict[str, object]:
    return {
        "of_update": one.update_id,
        "stage": one.stage,
        "changed_at": one.lease.now,
        "next_try_at": one.lease.next_try_at,
        "lease_until": one.lease.lease_until,
    }
