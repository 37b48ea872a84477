"""The threads in which small SQLite files are read and written: one a file, or a few for many files.

A program alone gives its file a thread of its own. A process with thousands of vehicles shares a few threads, and
keeps only so many files open at a time, since a process may open only so many; the longest unused is closed first.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from sota.kit.files.disk import Disk, PlainDisk, SharedDisk, Sync
from sota.kit.sql.local_file import LocalFile

Result = TypeVar("Result")

ROOM_PAUSE_S = 0.005


class Threads(Protocol):
    """Where a file's work is done; ``disk`` is for the program's other files."""

    @property
    def disk(self) -> Disk:
        """Where the blocking work on other files is done."""
        ...

    def file(self, path: Path) -> LocalFile:
        """Give the file in which a program shall keep what it would keep in ``path``."""
        ...

    async def run(self, file: LocalFile, work: Callable[[], Result], sync: Sync | None = None) -> Result:
        """Do work on a file, and then ``sync``; the work of one file is done in the order in which it came."""
        ...

    def may_work_here(self, file: LocalFile) -> bool:
        """Say whether short work need not go to a thread: the caller's own is as good now."""
        ...

    async def leave(self, file: LocalFile) -> None:
        """Nothing more comes for this file: close it."""
        ...


class OwnThread:
    """One thread for one file."""

    def __init__(self, name: str) -> None:
        self.disk: Disk = PlainDisk()
        self._name = f"sqlite-{name}"
        self._thread: ThreadPoolExecutor | None = None

    def file(self, path: Path) -> LocalFile:
        """Give a file of the program's own."""
        return LocalFile(path)

    async def run(self, file: LocalFile, work: Callable[[], Result], sync: Sync | None = None) -> Result:
        """Do work in the thread, and make it durable there."""
        del file

        def both() -> Result:
            result = work()
            if sync is not None:
                sync()
            return result

        return await asyncio.get_running_loop().run_in_executor(self._started(), both)

    def may_work_here(self, file: LocalFile) -> bool:
        """Never: a disk that hangs must not hold a vehicle's other work up."""
        del file
        return False

    async def leave(self, file: LocalFile) -> None:
        """Close the file and end the thread; a file that is opened again gets another one."""
        thread, self._thread = self._started(), None
        try:
            await asyncio.get_running_loop().run_in_executor(thread, file.release)
        finally:
            thread.shutdown(wait=False)

    def _started(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
        return self._thread


class SharedThreads:
    """``threads`` for any number of files, of which ``open_files`` at most are open.

    A file that is open and idle is worked on where the caller is: a way to a thread and back costs more than what is
    read or written. What must be durable waits for the disk together with what others wrote.
    """

    def __init__(self, *, threads: int, open_files: int, whole: Sync | None = None) -> None:
        self.disk = SharedDisk(threads=threads, whole=whole)
        self._limit, self._slots = open_files, asyncio.Semaphore(open_files)
        self._turns: dict[LocalFile, asyncio.Lock] = {}
        self._open: OrderedDict[LocalFile, None] = OrderedDict()

    def file(self, path: Path) -> LocalFile:
        """Give a file of the program's own."""
        return LocalFile(path)

    async def run(self, file: LocalFile, work: Callable[[], Result], sync: Sync | None = None) -> Result:
        """Do work here, or in any of the threads where the file has to be opened first."""
        async with self._slots, self._turn(file):
            is_open = file in self._open and file.is_loaded
            self._open[file] = None
            self._open.move_to_end(file)
            if is_open:
                result = work()
            else:
                await self._make_room()
                result = await self.disk.do(work)
            if sync is not None:  # within its turn: nobody sees what is not durable yet
                await self.disk.sync(sync)
            return result

    def may_work_here(self, file: LocalFile) -> bool:
        """Say yes to a file that is open and idle."""
        return file in self._open and not self._turn(file).locked()

    async def leave(self, file: LocalFile) -> None:
        """Close the file."""
        async with self._turn(file):
            await self.disk.do(file.release)
        self._open.pop(file, None)
        self._turns.pop(file, None)

    def close(self) -> None:
        """End the threads."""
        self.disk.close()

    async def _make_room(self) -> None:
        while len(self._open) > self._limit:
            unused = next((file for file in self._open if not self._turn(file).locked()), None)
            if unused is None:  # whoever closes a file has its turn, and perhaps no slot: it takes a moment
                await asyncio.sleep(ROOM_PAUSE_S)
                continue
            async with self._turn(unused):  # perhaps behind somebody who was about to have it, and has opened it again
                self._open.pop(unused, None)
                await self.disk.do(unused.release)

    def _turn(self, file: LocalFile) -> asyncio.Lock:
        return self._turns.setdefault(file, asyncio.Lock())


class OneFile:
    """``threads`` for the programs of one vehicle, which keep what they have in one file."""

    def __init__(self, threads: SharedThreads, path: Path) -> None:
        self.disk, self.run, self.leave = threads.disk, threads.run, threads.leave
        self.may_work_here = threads.may_work_here
        self._file = LocalFile(path, is_shared=True)

    def file(self, path: Path) -> LocalFile:
        """Give the one file."""
        del path
        return self._file
