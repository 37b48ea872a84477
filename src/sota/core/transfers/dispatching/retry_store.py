"""SQL of automatic retries: an update whose vehicle fell silent gets a successor that starts later.

The old update is history, as after a retry by hand, and its vehicle drops it. The new one has the same packages, under
new indexes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from sota.core import schedules
from sota.core.requests.set_store import read_parts
from sota.core.tables import update, vehicle
from sota.kit.runtime.clock import new_id
from sota.kit.sql.database import Tx

LONGEST_PAUSE = timedelta(days=1)
CARRIED = (
    "request_id", "position", "vin", "package_name", "package_version", "size", "priority", "end_at", "queue_priority",
    "queue_position", "set_number",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Retry:
    """How often an update is tried in total, and the first pause, which doubles up to a day."""

    tries: int
    pause: timedelta

    def pause_after(self, tries: int) -> timedelta:
        """Return the pause after so many tries.

        >>> Retry(5, timedelta(minutes=15)).pause_after(3)
        datetime.timedelta(seconds=3600)
        """
        pause: timedelta = self.pause * 2 ** min(tries - 1, 20)
        return min(LONGEST_PAUSE, pause)


async def try_again(tx: Tx, update_id: UUID, retry: Retry, now: datetime) -> bool:
    """Create the successor of a failed update; return False where its tries or its interval are over."""
    old = (await tx.execute(sa.select(update).where(update.c.update_id == update_id))).one()
    start_at = now + retry.pause_after(old.tries)
    if old.tries >= retry.tries or start_at >= old.end_at:
        return False
    parts = (await read_parts(tx, [update_id]))[update_id]
    successor = new_id()
    carried: dict[str, object] = {name: old._mapping[name] for name in CARRIED}
    times = {"start_at": start_at, "created_at": old.created_at, "changed_at": now, "next_try_at": start_at}
    row = {**carried, **times, "update_id": successor, "status": "pending", "attempts": 0, "tries": old.tries + 1}
    await tx.execute(update.insert().values(**row))
    await tx.execute(update.update().where(update.c.update_id == update_id).values(superseded_by=successor))
    dependencies = [(one.package_name, one.package_version) for one in parts[:-1]]
    alone = schedules.ScheduledSlice(old.request_id, old.position, dependencies, successor, successor)
    await schedules.leave(tx, [alone], now)
    return True


async def silent_updates(tx: Tx, owner: str, before: datetime, limit: int) -> list[tuple[UUID, str]]:
    """Return the updates driven by this Core whose vehicle has been silent since ``before``, each with its VIN."""
    query = (
        sa.select(update.c.update_id, update.c.vin)
        .join(vehicle, vehicle.c.vin == update.c.vin)
        .where(
            update.c.status == "in_flight",
            update.c.lease_owner == owner,
            update.c.changed_at < before,
            sa.or_(vehicle.c.last_seen_at.is_(None), vehicle.c.last_seen_at < before),
        )
        .limit(limit)
    )
    return [(row.update_id, row.vin) for row in await tx.execute(query)]
