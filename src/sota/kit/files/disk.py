"""Where files are written, and how what was written becomes durable.

A program alone goes to a thread for each write, with everything that belongs to it: the bytes and the sync. In a
process of thousands of vehicles the way to a thread costs more than what is done there. It writes where it is, into
the kernel's memory, and leaves to threads only the waiting for the disk: what many vehicles wait for goes there
together. Either way nobody goes on before his own bytes are durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from sota.kit.files.durable import all_synced

Result = TypeVar("Result")
Sync = Callable[[], None]

SYNCS_OF_A_JOB = 16
FEW = 4  # files, for which one call each is cheaper than one for the file system
LARGE_PIECES, LARGE_PIECES_OF_MANY = 8, 128


class Disk(Protocol):
    """Does the blocking work on files for asyncio."""

    @property
    def writes_at_once(self) -> bool:
        """Whether the caller's own thread may write, into the kernel's memory."""
        ...

    @property
    def large(self) -> asyncio.Semaphore:
        """Held by whoever has a large piece of a file in memory while he waits for others."""
        ...

    async def do(self, work: Callable[[], Result]) -> Result:
        """Do work that may take its time, in a thread."""
        ...

    async def write(self, work: Callable[[], Result], sync: Sync, *, large: bool = False) -> Result:
        """Do ``work``, which is short if it is not ``large``, and ``sync``; what it wrote is durable when this returns.

        Raises:
            OSError: the disk failed: what ``work`` wrote is perhaps not durable.
        """
        ...


class PlainDisk:
    """A thread for each piece of work, as ``asyncio.to_thread`` gives them."""

    writes_at_once = False

    def __init__(self) -> None:
        self.large = asyncio.Semaphore(LARGE_PIECES)

    async def do(self, work: Callable[[], Result]) -> Result:
        """Do work in a thread."""
        return await asyncio.to_thread(work)

    async def write(self, work: Callable[[], Result], sync: Sync, *, large: bool = False) -> Result:
        """Do both in one thread."""
        del large

        def both() -> Result:
            result = work()
            sync()
            return result

        return await asyncio.to_thread(both)


class SharedDisk:
    """For a process of many vehicles: writes at once, and syncs in ``threads``, several files a job.

    With ``whole``, which syncs all of the file system, what came while the disk was busy is the next job.
    """

    writes_at_once = True

    def __init__(self, *, threads: int, whole: Sync | None = None) -> None:
        self.pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="disk")
        self.large = asyncio.Semaphore(LARGE_PIECES_OF_MANY)
        self._whole, self._jobs, self._at_work = whole, 1 if whole else threads, 0
        self._waiting: deque[tuple[Sync, asyncio.Future[None]]] = deque()

    async def do(self, work: Callable[[], Result]) -> Result:
        """Do work in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, work)

    async def write(self, work: Callable[[], Result], sync: Sync, *, large: bool = False) -> Result:
        """Write at once, or in a thread, and wait for the disk with others."""
        result = await self.do(work) if large else work()
        await self.sync(sync)
        return result

    async def sync(self, sync: Sync) -> None:
        """Have something made durable; see :meth:`Disk.write`."""
        loop = asyncio.get_running_loop()
        durable = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._begin)  # after all that this turn of the loop has to write
        self._waiting.append((sync, durable))
        await durable

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown(wait=False)

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._at_work < self._jobs:
            size = len(self._waiting) if self._whole else SYNCS_OF_A_JOB
            job = [self._waiting.popleft() for _ in range(min(len(self._waiting), size))]
            self._at_work += 1
            self.pool.submit(self._work, loop, job)

    def _work(self, loop: asyncio.AbstractEventLoop, job: list[tuple[Sync, asyncio.Future[None]]]) -> None:
        if self._whole is None or len(job) <= FEW:
            ends = [(durable, _try(sync)) for sync, durable in job]
        else:
            error = _try(self._whole)
            with all_synced():
                ends = [(durable, error or _try(sync)) for sync, durable in job]
        loop.call_soon_threadsafe(self._end, ends)

    def _end(self, ends: list[tuple[asyncio.Future[None], OSError | None]]) -> None:
        self._at_work -= 1
        for durable, error in ends:
            if durable.done():
                continue  # whoever waited was cancelled
            if error is None:
                durable.set_result(None)
            else:
                durable.set_exception(error)
        self._begin()


def _try(sync: Sync) -> OSError | None:
    try:
        sync()
    except OSError as error:
        return error
    return None
