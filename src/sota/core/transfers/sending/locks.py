"""A lock for each vehicle, so that its messages are handled in their order."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class VehicleLocks:
    """Locks by VIN, kept only while they are held or awaited; first come, first served."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, vin: str) -> asyncio.Lock:
        """Return the vehicle's lock."""
        lock = self._locks.get(vin)
        if lock is None:
            lock = self._locks[vin] = asyncio.Lock()
        return lock
