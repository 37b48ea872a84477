"""How a process of thousands of vehicles writes files and makes them durable.

Handing a small write to a thread costs more than the write. So the event loop writes into the kernel's memory, and only
the waiting for the disk goes to threads, for many files at once. Every writer still waits for its own sync.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sota.kit.files.disk import Disk, Sync
from sota.kit.files.durable import all_synced

Result = TypeVar("Result")

SYNCS_OF_A_JOB = 16
FEW = 4  # up to so many files, a sync for each is cheaper than one for the file system
LARGE_PIECES = 128


class FleetDisk(Disk):
    """A :class:`~sota.kit.files.disk.Disk` that writes at once and syncs in ``threads``, several files a job.

    With ``sync_all``, which syncs the whole file system, one job takes all that arrived while the disk was busy.
    """

    writes_at_once = True

    def __init__(self, *, threads: int, sync_all: Sync | None = None) -> None:
        self.pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="disk")
        self.large = asyncio.Semaphore(LARGE_PIECES)
        self._sync_all, self._jobs, self._running = sync_all, 1 if sync_all else threads, 0
        self._waiting: deque[tuple[Sync, asyncio.Future[None]]] = deque()

    async def do(self, work: Callable[[], Result]) -> Result:
        """Do work in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, work)

    async def write(self, work: Callable[[], Result], sync: Sync, *, large: bool = False) -> Result:
        """Write at once, or in a thread if it is large, and wait until it is durable."""
        result = await self.do(work) if large else work()
        await self.sync(sync)
        return result

    async def sync(self, sync: Sync) -> None:
        """Wait until earlier writes are durable; see :meth:`~sota.kit.files.disk.Disk.write`."""
        loop = asyncio.get_running_loop()
        durable = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._start_jobs)  # after all writes of this turn of the loop
        self._waiting.append((sync, durable))
        await durable

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown(wait=False)

    def _start_jobs(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._running < self._jobs:
            size = len(self._waiting) if self._sync_all else SYNCS_OF_A_JOB
            job = [self._waiting.popleft() for _ in range(min(len(self._waiting), size))]
            self._running += 1
            self.pool.submit(self._work, loop, job)

    def _work(self, loop: asyncio.AbstractEventLoop, job: list[tuple[Sync, asyncio.Future[None]]]) -> None:
        if self._sync_all is None or len(job) <= FEW:
            ends = [(durable, _try(sync)) for sync, durable in job]
        else:
            error = _try(self._sync_all)
            with all_synced():
                ends = [(durable, error or _try(sync)) for sync, durable in job]
        loop.call_soon_threadsafe(self._end, ends)

    def _end(self, ends: list[tuple[asyncio.Future[None], OSError | None]]) -> None:
        self._running -= 1
        for durable, error in ends:
            if durable.done():
                continue  # its writer was cancelled
            if error is None:
                durable.set_result(None)
            else:
                durable.set_exception(error)
        self._start_jobs()


def _try(sync: Sync) -> OSError | None:
    try:
        sync()
    except OSError as error:
        return error
    return None
