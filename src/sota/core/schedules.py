"""What the node is told of queued updates (B7-1) and asked to pass on (B7-8), by way of the outbox.

An update is left with the node when it is queued, and taken back when it ends otherwise than by installation.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from sota.boundaries.b7_core_rvi.messages import ScheduledUpdate, UnscheduledUpdate
from sota.core import tables
from sota.kit.clock import new_id
from sota.kit.db import Tx

SCHEDULE = "schedule"
UNSCHEDULE = "unschedule"
GET_PACKAGES = "getpackages"
AT_ONCE = 500


async def leave(tx: Tx, updates: Sequence[ScheduledUpdate], now: datetime) -> None:
    """Leave updates with the node."""
    await _write(tx, SCHEDULE, updates, now)


async def withdraw(tx: Tx, updates: Sequence[tuple[str, UUID]], now: datetime) -> None:
    """Take updates back from the node; each is a VIN and an update's id."""
    wanted = [UnscheduledUpdate(vin=vin, update_id=str(update_id)) for vin, update_id in updates]
    await _write(tx, UNSCHEDULE, wanted, now)


async def ask_for_packages(tx: Tx, vin: str, now: datetime) -> None:
    """Ask a vehicle what it has installed, as soon as the node is there."""
    entry_id = new_id()
    payload = msgspec.json.encode(vin).decode()
    entry = {"id": entry_id, "kind": GET_PACKAGES, "topic": f"{GET_PACKAGES}/{entry_id}", "payload": payload}
    await tx.execute(tables.outbox.insert().values(**entry, due_at=now))


async def _write(tx: Tx, kind: str, updates: Sequence[ScheduledUpdate | UnscheduledUpdate], now: datetime) -> None:
    entries: list[dict[str, Any]] = []
    for start in range(0, len(updates), AT_ONCE):
        entry_id = new_id()
        payload = msgspec.json.encode(updates[start : start + AT_ONCE]).decode()
        entries.append({"id": entry_id, "kind": kind, "topic": f"{kind}/{entry_id}", "payload": payload, "due_at": now})
    if entries:
        await tx.execute(tables.outbox.insert(), entries)
