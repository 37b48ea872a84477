"""A bell: tasks wait for it to ring, and nobody who looked before it rang misses it.

>>> bell = Bell()
>>> heard = bell.rings          # look first …
>>> bell.ring()                 # … whatever changes meanwhile rings …
>>> asyncio.run(bell.wait(heard, 1.0))   # … and waiting ends at once
"""

from __future__ import annotations

import asyncio


class Bell:
    """Counts its rings; :meth:`wait` ends when the count is another one than the caller has seen."""

    def __init__(self) -> None:
        self.rings = 0
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody who waits."""
        self.rings += 1
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, heard: int, timeout_s: float | None) -> None:
        """Wait for a ring after ``heard``, or until the time is over."""
        if self.rings != heard:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return
