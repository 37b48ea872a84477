"""Waiting for something to become true, with an end: what tests use where a sleep would be a guess."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Seen = TypeVar("Seen")
INTERVAL_S = 0.02


async def until(
    look: Callable[[], Awaitable[Seen | None]],
    what: str,
    *,
    timeout_s: float = 30.0,
    interval_s: float = INTERVAL_S,
    latest: Callable[[], object] = lambda: "",
) -> Seen:
    """Look again and again until there is something to see, and give it.

    Raises:
        AssertionError: ``timeout_s`` passed; says what was waited for, and the ``latest`` that is known.
    """
    end = time.monotonic() + timeout_s
    while True:
        seen = await look()
        if seen:
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout_s:g} s in vain: {what}. {latest()}")
        await asyncio.sleep(interval_s)
