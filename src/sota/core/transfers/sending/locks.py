"""One at a time for each vehicle: what is said by and to one of them is handled in its order."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class VehicleLocks:
    """A lock for each vehicle, kept only while somebody holds or awaits it. Fair: first come, first served."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, vin: str) -> asyncio.Lock:
        """Give the vehicle's lock."""
        lock = self._locks.get(vin)
        if lock is None:
            lock = self._locks[vin] = asyncio.Lock()
        return lock
