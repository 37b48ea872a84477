"""Waiting for a turn, for a limited time."""

from __future__ import annotations

import asyncio

from sota.kit.errors import Unavailable


async def take_turn(turns: asyncio.Semaphore, limit_s: float, otherwise: str) -> None:
    """Acquire a semaphore, in the order of the requests for it.

    Raises:
        Unavailable: too many others are first; ``otherwise`` says so.
    """
    if not turns.locked():
        await turns.acquire()  # does not wait, and needs no timer
        return
    try:
        async with asyncio.timeout(limit_s):
            await turns.acquire()
    except TimeoutError:
        raise Unavailable(otherwise) from None
