"""Files that the SOTA Client sends block by block, on disk before they are acknowledged.

Every call is idempotent: a repeated start keeps the blocks unless the SHA-256 changed, a repeated block is discarded, a
repeated finish gets the same answer.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

from sota.boundaries.b7_core_rvi.messages import StartDownload
from sota.boundaries.values import Command
from sota.kit.errors import Conflict, Invalid, NotFound, Refused
from sota.kit.files.block_file import BlockWriter, StorageFull, count_blocks, open_block_file
from sota.kit.files.durable import private_folder
from sota.kit.ranges import Ranges
from sota.kit.runtime.locks import all_locked
from sota.kit.runtime.notifier import Notifier
from sota.slm.entry import DownloadEntry, State
from sota.slm.journal import Journal

ARRIVING = {State.OFFERED, State.WANTED, State.RECEIVING}


class IncomingFiles:
    """The folder of incoming files. ``notifier`` notifies when a file is complete."""

    def __init__(self, journal: Journal, folder: Path, quota_bytes: int, notifier: Notifier) -> None:
        self._journal = journal
        self._disk = journal.disk
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._notifier = notifier
        self._writers: dict[int, BlockWriter] = {}
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def prepare(self) -> None:
        """Create the folder, and remove files of downloads that have ended or are unknown."""
        private_folder(self._folder)
        wanted = {str(entry.download_index) for entry in await self._journal.open_downloads()}
        for path in list(self._folder.iterdir()):
            if path.name.partition(".")[0].partition("-")[0] not in wanted:
                path.unlink()

    def path(self, download_index: int) -> Path:
        """Return the path of a download's complete file."""
        return self._folder / f"{download_index}.package"

    async def start(self, start: StartDownload) -> DownloadEntry:
        """Prepare for a file.

        Raises:
            NotFound: no accepted update has this download.
            Invalid: its numbers are inconsistent, or it is not the offered package.
            StorageFull: it does not fit on the disk.
        """
        async with self._locks[start.download_index]:
            entry = await self._entry(start.download_index)
            if start.identity != entry.identity:
                raise Invalid(f"Download {start.download_index} is another one: {entry.package.text}.")
            if start.block_count != count_blocks(start.size, start.block_size):
                raise Invalid(f"{start.size} bytes are not {start.block_count} blocks of {start.block_size}.")
            if entry.state not in ARRIVING:
                return entry
            if entry.start is not None and entry.start.sha256 != start.sha256:
                await self.discard_files(entry)
            self._check_quota(start)
            await self._journal.move(start.download_index, State.RECEIVING, start=start)
            await self._writer(start)
            return await self._entry(start.download_index)

    async def add_block(self, download_index: int, number: int, content: bytes) -> Ranges:
        """Store one block, or discard a duplicate; return all blocks on disk.

        Raises:
            NotFound: no accepted update has this download.
            Invalid: there is no such block, or its length is wrong.
            Conflict: the download was not started.
        """
        entry = await self._entry(download_index)
        if entry.start is None or entry.state in {State.OFFERED, State.WANTED}:
            raise Conflict(f"Download {download_index} was not started.")
        if entry.state is not State.RECEIVING:
            return Ranges.up_to(entry.start.block_count)
        async with self._locks[download_index]:
            writer = await self._writer(entry.start)
        await writer.write(number, content)
        return writer.file.received

    async def finish(self, download_index: int) -> DownloadEntry:
        """Complete a file: every block has arrived and the SHA-256 matches.

        Raises:
            NotFound: no accepted update has this download.
            Refused: ``incomplete``.
            Conflict: it was cancelled.
        """
        async with self._locks[download_index]:
            entry = await self._entry(download_index)
            if entry.state in {State.FAILED, State.CANCELLED}:
                raise Conflict(f"Download {download_index} has ended: {entry.state}.")
            if entry.state not in ARRIVING:
                return entry
            if entry.start is None:
                raise Refused("incomplete", f"Download {download_index} was not started.")
            if entry.start.command is Command.INSTALL:
                await self._complete(entry, entry.start)
            await self._journal.move(download_index, State.READY)
        self._notifier.notify()
        return await self._entry(download_index)

    def replacing(self, indexes: Iterable[int]) -> AbstractAsyncContextManager[None]:
        """Hold up incoming files of these indexes."""
        return all_locked(self._locks, indexes)

    async def discard(self, download_index: int) -> None:
        """Remove all files of a download."""
        async with self._locks[download_index]:
            entry = await self._journal.download(download_index)
            if entry is not None:
                await self.discard_files(entry)
        self._locks.pop(download_index, None)

    async def close(self) -> None:
        """Close the files; received blocks stay."""
        for writer in self._writers.values():
            await writer.close()
        self._writers.clear()

    async def _entry(self, download_index: int) -> DownloadEntry:
        entry = await self._journal.download(download_index)
        if entry is None:
            raise NotFound(f"There is no download {download_index}: no accepted update has it.")
        return entry

    async def _complete(self, entry: DownloadEntry, start: StartDownload) -> None:
        index = entry.download_index
        if index not in self._writers and self.path(index).exists() and not self._part(start).exists():
            return  # complete, and the power failed before the journal had it
        writer = await self._writer(start)
        if not writer.file.complete:
            missing = next(writer.file.received.missing(start.block_count))
            raise Refused("incomplete", f"Block {missing} of download {index} is missing.")
        await writer.settle()
        file = writer.file
        if (file.sha256() if file.is_hashed else await self._disk.do(file.sha256)) != start.sha256:
            await self.discard_files(entry)
            raise Refused(
                "incomplete", f"The file of download {index} arrived damaged and was discarded: send it again."
            )
        await file.save_as(self.path(index), self._disk)
        del self._writers[index]

    async def _writer(self, start: StartDownload) -> BlockWriter:
        writer = self._writers.get(start.download_index)
        if writer is None or (writer.file.size, writer.file.block_size) != (start.size, start.block_size):
            if writer is not None:
                await writer.close()
            file = await open_block_file(self._part(start), start.size, start.block_size, self._disk)
            writer = self._writers[start.download_index] = BlockWriter(file, self._disk)
        return writer

    async def discard_files(self, entry: DownloadEntry) -> None:
        """Remove all files of a download; the caller holds its lock, or it is no longer in the journal."""
        writer = self._writers.pop(entry.download_index, None)
        if writer is not None:
            await writer.close()
        if entry.start is not None:
            for file in (self._part(entry.start), self.path(entry.download_index)):
                await self._disk.do(partial(file.unlink, missing_ok=True))

    def _part(self, start: StartDownload) -> Path:
        return self._folder / f"{start.download_index}-{start.sha256[:16]}.part"

    def _check_quota(self, start: StartDownload) -> None:
        others = (path for path in self._folder.iterdir() if not path.name.startswith(f"{start.download_index}-"))
        taken = sum(path.stat().st_size for path in others)
        if taken + start.size > self._quota_bytes:
            raise StorageFull(f"{start.size} bytes do not fit beside {taken}: {self._quota_bytes} may be used in all.")
