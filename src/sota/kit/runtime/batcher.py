"""What many ask for one after the other is done for all of them together.

Who comes after a quiet time is served at once; those who come soon after that wait a moment for one another. One who
asks again and again when he has his answer waits for nobody, since nobody else is there.
"""

from __future__ import annotations

import asyncio
import time


class Gathering:
    """Turns that begin ``pause_s`` after one another, or later."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s, self._next_at = pause_s, 0.0

    @property
    def left_s(self) -> float:
        """How long the next turn waits."""
        return max(0.0, self._next_at - time.monotonic())

    async def turn(self) -> None:
        """Wait for the next turn."""
        await asyncio.sleep(self.left_s)

    def took(self, count: int) -> None:
        """Note that a turn began, and how many share it."""
        self._next_at = time.monotonic() + self._pause_s if count > 1 else 0.0
