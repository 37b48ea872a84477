"""The updates that Core has scheduled: which vehicle is awaited, and when.

The node notifies no vehicle by itself (docs/specification.md, ruling 14). While an update is scheduled and its interval
runs, Core is notified at once that the vehicle is connected. The calendar survives a restart; past intervals are
removed.
"""

from __future__ import annotations

import asyncio
import heapq
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from sota.boundaries.b7_core_rvi.messages import ScheduledUpdate, UnscheduledUpdate
from sota.kit.errors import Unavailable
from sota.rvi.database import NodeDatabase

MAX_ENTRIES = 1_000_000


@dataclass(slots=True)
class ScheduledInterval:
    """When a vehicle is awaited; ``notified`` once Core knows that it is connected in this interval."""

    start: float
    stop: float
    notified: bool = False


class Calendar:
    """All scheduled updates, by vehicle."""

    def __init__(self, disk: NodeDatabase) -> None:
        self._database = disk
        self._entries: dict[str, dict[str, ScheduledInterval]] = {}
        self._stops: list[tuple[float, str, str]] = []
        self._count = 0
        disk.on_start_over.append(self._write_again)

    async def open(self) -> None:
        """Load what an earlier run has left."""
        for vin, update_id, start, stop in await self._database.submit(_read):
            self._set(vin, update_id, ScheduledInterval(start, stop))

    def add(self, updates: Sequence[ScheduledUpdate]) -> asyncio.Future[None]:
        """Schedule updates; the future ends when they are durable.

        Raises:
            Unavailable: the calendar is full.
        """
        if self._count + len(updates) > MAX_ENTRIES:
            raise Unavailable("The node's calendar is full.")
        rows = []
        for update in updates:
            start, stop = update.interval.start.timestamp(), update.interval.end.timestamp()
            self._set(update.vin, update.update_id, ScheduledInterval(start, stop))
            rows.append((update.vin, update.update_id, start, stop, msgspec.json.encode(update)))
        return self._database.submit(lambda connection: _insert(connection, rows))

    def remove(self, updates: Sequence[UnscheduledUpdate]) -> asyncio.Future[None]:
        """Withdraw updates; unknown ones are ignored."""
        for update in updates:
            self._unset(update.vin, update.update_id)
        keys = [(update.vin, update.update_id) for update in updates]
        return self._database.submit(lambda connection: _delete(connection, keys))

    def mark_notified(self, vin: str, now: float) -> None:
        """Note that Core knows of this vehicle's connection."""
        for interval in self._running(vin, now):
            interval.notified = True

    def needs_notice(self, vin: str, now: float) -> bool:
        """Report whether Core must be notified that this vehicle is connected in a running interval."""
        return any(not interval.notified for interval in self._running(vin, now))

    def _running(self, vin: str, now: float) -> list[ScheduledInterval]:
        return [interval for interval in self._entries.get(vin, {}).values() if interval.start <= now < interval.stop]

    def __len__(self) -> int:
        return self._count

    def expire(self, now: float) -> None:
        """Remove past intervals."""
        over = []
        while self._stops and self._stops[0][0] <= now:
            _, vin, update_id = heapq.heappop(self._stops)
            entry = self._entries.get(vin, {}).get(update_id)
            if entry is not None and entry.stop <= now:  # it may have been scheduled again since
                self._unset(vin, update_id)
                over.append((vin, update_id))
        if over:
            self._database.submit(lambda connection: _delete(connection, over))

    def _write_again(self) -> None:
        """Write everything into a new file, after the old one was damaged."""
        rows = [
            (vin, update_id, entry.start, entry.stop, b"")
            for vin, entries in self._entries.items()
            for update_id, entry in entries.items()
        ]
        self._database.submit(lambda connection: _insert(connection, rows))

    def _set(self, vin: str, update_id: str, entry: ScheduledInterval) -> None:
        entries = self._entries.setdefault(vin, {})
        self._count += update_id not in entries
        entries[update_id] = entry
        heapq.heappush(self._stops, (entry.stop, vin, update_id))

    def _unset(self, vin: str, update_id: str) -> None:
        entries = self._entries.get(vin, {})
        if entries.pop(update_id, None) is not None:
            self._count -= 1
        if not entries:
            self._entries.pop(vin, None)


def _read(connection: sqlite3.Connection) -> list[tuple[str, str, float, float]]:
    return connection.execute("SELECT vin, update_id, start, stop FROM schedules").fetchall()


def _insert(connection: sqlite3.Connection, rows: Sequence[tuple[str, str, float, float, bytes]]) -> None:
    connection.executemany("INSERT OR REPLACE INTO schedules VALUES (?, ?, ?, ?, ?)", rows)


def _delete(connection: sqlite3.Connection, keys: Sequence[tuple[str, str]]) -> None:
    connection.executemany("DELETE FROM schedules WHERE vin = ? AND update_id = ?", keys)
