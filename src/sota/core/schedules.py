"""Messages for the node in the outbox: schedules of queued updates (B7-1), and requests for package lists (B7-8).

An update is scheduled at the node when it is queued, and unscheduled when it ends without installation. An entry names
a slice of at most 2,000 updates by their first and last id; the updates are read when the entry is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from sota.boundaries.b7_core_rvi.messages import UnscheduledUpdate
from sota.core import tables
from sota.kit.runtime.clock import new_id
from sota.kit.sql.database import Tx

SCHEDULE = "schedule"
UNSCHEDULE = "unschedule"
GET_PACKAGES = "getpackages"
AT_ONCE = 500


class ScheduledSlice(msgspec.Struct, frozen=True):
    """Updates of one package of a request that have the same prerequisites, those from ``first`` to ``last``."""

    request_id: UUID
    position: int
    dependencies: list[tuple[str, str]]
    first: UUID
    last: UUID


async def leave(tx: Tx, slices: Sequence[ScheduledSlice], now: datetime) -> None:
    """Schedule updates at the node."""
    await _write(tx, SCHEDULE, slices, now)


async def withdraw(tx: Tx, updates: Sequence[tuple[str, UUID]], now: datetime) -> None:
    """Unschedule updates at the node; each is a VIN and an update's id."""
    wanted = [UnscheduledUpdate(vin=vin, update_id=str(update_id)) for vin, update_id in updates]
    await _write(tx, UNSCHEDULE, [wanted[at : at + AT_ONCE] for at in range(0, len(wanted), AT_ONCE)], now)


async def ask_for_packages(tx: Tx, vin: str, now: datetime) -> None:
    """Ask a vehicle what it has installed, as soon as the node is reachable."""
    await _write(tx, GET_PACKAGES, [vin], now)


async def _write(tx: Tx, kind: str, payloads: Sequence[object], now: datetime) -> None:
    entries: list[dict[str, object]] = []
    for payload in payloads:
        entry_id = new_id()
        text = msgspec.json.encode(payload).decode()
        entries.append({"id": entry_id, "kind": kind, "topic": f"{kind}/{entry_id}", "payload": text, "due_at": now})
    if entries:
        await tx.execute(tables.outbox.insert(), entries)
