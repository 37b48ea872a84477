"""How a program writes files without blocking its event loop, and makes them durable.

A program does each write and its sync in one thread. A process of thousands of vehicles does it
otherwise (``fleet/disk.py``). Either way every writer waits for its own sync.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
Sync = Callable[[], None]

LARGE_PIECES = 8


class Disk:
    """Does the blocking work on files for asyncio: each piece in a thread (``asyncio.to_thread``)."""

    writes_at_once = False
    """Whether the event loop's thread may write into the kernel's memory."""

    def __init__(self) -> None:
        self.large = asyncio.Semaphore(LARGE_PIECES)
        """Bounds the large pieces of files in memory: held by a caller while it waits with one."""

    async def do(self, work: Callable[[], Result]) -> Result:
        """Do slow work in a thread."""
        return await asyncio.to_thread(work)

    async def write(self, work: Callable[[], Result], sync: Sync, *, large: bool = False) -> Result:
        """Do ``work``, which is short unless it is ``large``, and ``sync``; returns when the writes are durable.

        Raises:
            OSError: the disk failed; the writes may not be durable.
        """
        del large
        return await asyncio.to_thread(work_and_sync, work, sync)


def work_and_sync(work: Callable[[], Result], sync: Sync | None) -> Result:
    """Do both, one after the other."""
    result = work()
    if sync is not None:
        sync()
    return result
