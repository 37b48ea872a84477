"""The threads that read and write small SQLite files.

A program gives its file a thread of its own (:class:`OwnThread`). A process of thousands of vehicles shares a few
for all files (``fleet/database_threads.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from sota.kit.files.disk import Disk, Sync, work_and_sync
from sota.kit.sql.local_file import LocalFile

Result = TypeVar("Result")


class Threads(Protocol):
    """Does the work on SQLite files."""

    @property
    def disk(self) -> Disk:
        """Does the blocking work on the program's other files."""

    def file(self, path: Path) -> LocalFile:
        """Return the file to use for ``path``; several programs may get the same."""

    async def run(self, file: LocalFile, work: Callable[[], Result], sync: Sync | None = None) -> Result:
        """Do work on a file, then ``sync``; work on one file is done in the order of the calls."""

    def may_work_here(self, file: LocalFile) -> bool:
        """Report whether short work on the file may run in the caller's thread now."""

    async def leave(self, file: LocalFile) -> None:
        """Close the file; no more work will come."""


class OwnThread:
    """One thread for one file."""

    def __init__(self, name: str) -> None:
        self.disk = Disk()
        self._name = f"sqlite-{name}"
        self._thread: ThreadPoolExecutor | None = None

    def file(self, path: Path) -> LocalFile:
        """Return a file of the program's own."""
        return LocalFile(path)

    async def run(self, _file: LocalFile, work: Callable[[], Result], sync: Sync | None = None) -> Result:
        """Do the work and the sync in the thread."""
        return await asyncio.get_running_loop().run_in_executor(self._started(), work_and_sync, work, sync)

    def may_work_here(self, _file: LocalFile) -> bool:
        """Return False: a disk that hangs must not block the vehicle's other work."""
        return False

    async def leave(self, file: LocalFile) -> None:
        """Close the file and end the thread; reopening the file starts a new one."""
        thread, self._thread = self._started(), None
        try:
            await asyncio.get_running_loop().run_in_executor(thread, file.release)
        finally:
            thread.shutdown(wait=False)

    def _started(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
        return self._thread
