"""A few threads for the SQLite files of thousands of vehicles, of which only so many are open at a time.

A process may open a limited number of files, so the file that was unused longest is closed first. An open, idle file is
used in the event loop: a thread and back costs more than the read or write itself. Syncs wait together
(:class:`~sota.fleet.disk.FleetDisk`).
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sota.fleet.disk import FleetDisk
from sota.kit.files.disk import Sync
from sota.kit.sql.local_file import LocalFile

Result = TypeVar("Result")

ROOM_PAUSE_S = 0.005


class FleetThreads:
    """``threads`` for any number of files, of which at most ``open_files`` are open."""

    def __init__(self, *, threads: int, open_files: int, sync_all: Sync | None = None) -> None:
        self.disk = FleetDisk(threads=threads, sync_all=sync_all)
        self._limit, self._slots = open_files, asyncio.Semaphore(open_files)
        self._locks: dict[LocalFile, asyncio.Lock] = {}
        self._open: OrderedDict[LocalFile, None] = OrderedDict()

    def file(self, path: Path) -> LocalFile:
        """Return a file of the program's own."""
        return LocalFile(path)

    async def run(self, file: LocalFile, work: Callable[[], Result], sync: Sync | None = None) -> Result:
        """Do work on a file: here if it is open, else in a thread that opens it first."""
        async with self._slots, self._lock(file):
            is_open = file in self._open and file.is_loaded
            self._open[file] = None
            self._open.move_to_end(file)
            if is_open:
                result = work()
            else:
                await self._close_unused()
                result = await self.disk.do(work)
            if sync is not None:  # under the lock: nothing may be read that is not durable yet
                await self.disk.sync(sync)
            return result

    def may_work_here(self, file: LocalFile) -> bool:
        """Report whether the file is open and idle."""
        return file in self._open and not self._lock(file).locked()

    async def leave(self, file: LocalFile) -> None:
        """Close the file."""
        async with self._lock(file):
            await self.disk.do(file.release)
        self._open.pop(file, None)
        self._locks.pop(file, None)

    async def _close_unused(self) -> None:
        while len(self._open) > self._limit:
            unused = next((file for file in self._open if not self._lock(file).locked()), None)
            if unused is None:  # a file that is being closed holds its lock for a moment, perhaps without a slot
                await asyncio.sleep(ROOM_PAUSE_S)
                continue
            async with self._lock(unused):  # another task may have used the file meanwhile, and opened it again
                self._open.pop(unused, None)
                await self.disk.do(unused.release)

    def _lock(self, file: LocalFile) -> asyncio.Lock:
        return self._locks.setdefault(file, asyncio.Lock())


class VehicleThreads:
    """The fleet's threads for the programs of one vehicle, which share one file."""

    def __init__(self, threads: FleetThreads, path: Path) -> None:
        self.disk, self.run, self.leave = threads.disk, threads.run, threads.leave
        self.may_work_here = threads.may_work_here
        self._file = LocalFile(path, is_shared=True)

    def file(self, _path: Path) -> LocalFile:
        """Return the vehicle's file, whichever a program asks for."""
        return self._file
