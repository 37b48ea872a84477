"""SQL of trying again by itself: an update whose vehicle fell silent is followed by another one, later.

The old one is history, as after a retry by hand, and its vehicle was told to drop it; the new one gets the same
packages, under indexes of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
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
    """How often an update is tried in all, and how long the first pause is; it doubles, up to a day."""

    tries: int
    pause: timedelta

    def pause_after(self, tries: int) -> timedelta:
        """Give the pause after so many tries.

        >>> Retry(5, timedelta(minutes=15)).pause_after(3)
        datetime.timedelta(seconds=3600)
        """
        pause: timedelta = self.pause * 2 ** min(tries - 1, 20)
        return min(LONGEST_PAUSE, pause)


async def try_again(tx: Tx, update_id: UUID, retry: Retry, now: datetime) -> bool:
    """Give an update that has failed a successor; says whether it has one: its tries and its interval may be over."""
    old = (await tx.execute(sa.select(update).where(update.c.update_id == update_id))).one()
    start_at = now + retry.pause_after(old.tries)
    if old.tries >= retry.tries or start_at >= old.end_at:
        return False
    parts = (await read_parts(tx, [update_id]))[update_id]
    successor = new_id()
    carried: dict[str, Any] = {name: old._mapping[name] for name in CARRIED}
    times = {"start_at": start_at, "created_at": old.created_at, "changed_at": now, "next_try_at": start_at}
    row = {**carried, **times, "update_id": successor, "status": "pending", "attempts": 0, "tries": old.tries + 1}
    await tx.execute(update.insert().values(**row))
    await tx.execute(update.update().where(update.c.update_id == update_id).values(superseded_by=successor))
    dependencies = [(one.package_name, one.package_version) for one in parts[:-1]]
    alone = schedules.ScheduledSlice(old.request_id, old.position, dependencies, successor, successor)
    await schedules.leave(tx, [alone], now)
    return True


async def silent_updates(tx: Tx, owner: str, before: datetime, limit: int) -> list[tuple[UUID, str]]:
    """Give updates under way, driven by this Core, of whose vehicle nothing was heard since; each with its VIN."""
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
