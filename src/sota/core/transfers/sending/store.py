"""SQL of the steps of many transfers at once: one statement a kind of step, executed for all rows.

The statements are made once: building one costs more than executing it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from sota.boundaries.values import BEGUN
from sota.core.tables import download, update
from sota.core.transfers.model import DownloadState
from sota.kit.sql.database import Tx

# Written out: a list of values cannot be used with executemany.
IS_OPEN = sa.and_(*(download.c.state != state.value for state in DownloadState if state.is_final))
IS_TO_COME = sa.or_(*(download.c.state == state.value for state in (DownloadState.PENDING, DownloadState.TRANSFERRING)))


@dataclass(frozen=True, slots=True)
class Begun:
    """A download that has begun."""

    vin: str
    download_index: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A download that its vehicle has whole."""

    vin: str
    download_index: int
    update_id: UUID
    received: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Stage:
    """How far an update has come; ``transferred`` counts only when none of its downloads is to come.

    ``owner`` is the Core that drives it from now on; None leaves that as it is.
    """

    update_id: UUID
    stage: str
    at: datetime
    next_try_at: datetime
    lease_until: datetime
    owner: str | None


_OF = sa.and_(download.c.vin == sa.bindparam("of_vin"), download.c.download_index == sa.bindparam("of_index"))
_RECEIVED = download.update().where(_OF).values(received=sa.bindparam("ranges"))
_BEGUN = download.update().where(_OF, IS_OPEN).values(state=DownloadState.TRANSFERRING.value)
_FINISHED = (
    download.update().where(_OF, IS_OPEN).values(received=sa.bindparam("ranges"), state=DownloadState.TRANSFERRED.value)
)
_IS_UNDER_WAY = sa.and_(update.c.update_id == sa.bindparam("of_update"), update.c.status == "in_flight")
_STAGE_VALUES: dict[Any, Any] = {
    update.c.stage: sa.bindparam("new_stage"),
    update.c.changed_at: sa.bindparam("at"),
    update.c.next_try_at: sa.bindparam("try_at"),
    update.c.lease_until: sa.bindparam("until"),
}
_STAGE = update.update().where(_IS_UNDER_WAY).values({**_STAGE_VALUES, update.c.lease_owner: sa.bindparam("owner")})
_TRANSFERRED = (
    update.update()
    .where(
        _IS_UNDER_WAY,
        # The vehicle's word that it installs may come before this is written.
        sa.or_(update.c.stage.is_(None), sa.and_(*(update.c.stage != stage.value for stage in sorted(BEGUN)))),
        ~sa.exists().where(download.c.update_id == update.c.update_id, IS_TO_COME),
    )
    .values(_STAGE_VALUES)
)


async def write(
    tx: Tx,
    received: Sequence[tuple[str, int, str]],
    begun: Sequence[Begun],
    finished: Sequence[Finished],
    stages: Sequence[Stage],
) -> None:
    """Write acknowledged ranges as (VIN, index, text), and steps. What is over stays as it is."""
    if begun:
        await tx.execute(_BEGUN, [{"of_vin": one.vin, "of_index": one.download_index} for one in begun])
    if received:
        rows = [{"of_vin": vin, "of_index": index, "ranges": ranges} for vin, index, ranges in received]
        await tx.execute(_RECEIVED, rows)
    if finished:
        rows = [
            {"of_vin": one.vin, "of_index": one.download_index, "ranges": one.received}
            for one in sorted(finished, key=lambda one: (one.vin, one.download_index))
        ]
        await tx.execute(_FINISHED, rows)
    moved = [_stage_row(one) for one in stages if one.owner is not None]
    if moved:
        await tx.execute(_STAGE, moved)
    whole = [_stage_row(one) for one in stages if one.owner is None]
    if whole:
        await tx.execute(_TRANSFERRED, whole)


def _stage_row(one: Stage) -> dict[str, object]:
    row: dict[str, object] = {
        "of_update": one.update_id,
        "new_stage": one.stage,
        "at": one.at,
        "try_at": one.next_try_at,
        "until": one.lease_until,
    }
    return row if one.owner is None else {**row, "owner": one.owner}
