"""A notifier wakes the tasks that wait for a change, and none of them misses one.

>>> notifier = Notifier()
>>> seen = notifier.count           # look at the state first …
>>> notifier.notify()               # … whatever changes it meanwhile notifies …
>>> asyncio.run(notifier.wait(seen, 1.0))   # … and waiting ends at once
"""

from __future__ import annotations

import asyncio
import contextlib


class Notifier:
    """Counts its notifications; :meth:`wait` ends when the count differs from the one that the caller has seen."""

    def __init__(self) -> None:
        self.count = 0
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wake all waiting tasks."""
        self.count += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seen: int, timeout_s: float | None) -> None:
        """Wait for a notification after ``seen``, or until the time-out."""
        if self.count != seen:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
