"""Files that the SOTA Client hands over block by block (B10-4, B10-5, finish), on disk before they are acknowledged.

Whatever is said twice does nothing twice: a repeated start keeps the blocks unless the SHA-256 changed, a repeated
block is discarded, a repeated finish is answered as the first one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from sota.boundaries.b10_client_slm.messages import StartDownload
from sota.boundaries.values import Command
from sota.kit.errors import Conflict, Invalid, NotFound, Refused
from sota.kit.files.block_file import BlockWriter, StorageFull, count_blocks, open_block_file
from sota.kit.files.durable import private_folder
from sota.kit.ranges import Ranges
from sota.kit.runtime.notifier import Notifier
from sota.slm.entry import DownloadEntry, State
from sota.slm.journal import Journal

ARRIVING = {State.OFFERED, State.WANTED, State.RECEIVING}


class IncomingFiles:
    """The folder of arriving packages. ``notifier`` notifies when a file is whole."""

    def __init__(self, journal: Journal, folder: Path, quota_bytes: int, notifier: Notifier) -> None:
        self._journal = journal
        self._disk = journal.disk
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._notifier = notifier
        self._writers: dict[int, BlockWriter] = {}
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def prepare(self) -> None:
        """Make the folder, and clear what ended, or was forgotten, without being cleared."""
        private_folder(self._folder)
        wanted = {str(entry.download_index) for entry in await self._journal.open_downloads()}
        for path in list(self._folder.iterdir()):
            if path.name.partition(".")[0].partition("-")[0] not in wanted:
                path.unlink()

    def path(self, download_index: int) -> Path:
        """Give where the whole file of a download is."""
        return self._folder / f"{download_index}.package"

    async def start(self, start: StartDownload) -> DownloadEntry:
        """Get ready for a file.

        Raises:
            NotFound: no accepted update has this download.
            Invalid: its numbers do not fit together, or it is another package than the one offered.
            StorageFull: there is no room for it.
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
                await self._discard(start.download_index)
            self._check_quota(start)
            await self._journal.move(start.download_index, State.RECEIVING, start=start)
            await self._writer(start)
            return await self._entry(start.download_index)

    async def add_block(self, download_index: int, number: int, content: bytes) -> tuple[bool, Ranges]:
        """Store one block; says whether it is new, and gives all that are on disk.

        Raises:
            NotFound: no accepted update has this download.
            Invalid: there is no such block, or it has not its length.
            Conflict: the download was not started.
        """
        entry = await self._entry(download_index)
        if entry.start is None or entry.state in {State.OFFERED, State.WANTED}:
            raise Conflict(f"Download {download_index} was not started.")
        if entry.state is not State.RECEIVING:
            return False, Ranges.up_to(entry.start.block_count)
        async with self._locks[download_index]:
            writer = await self._writer(entry.start)
        new = await writer.write(number, content)
        return new, writer.file.received

    async def finish(self, download_index: int) -> DownloadEntry:
        """Take the file as whole: every block is here and the SHA-256 holds.

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
                await self._take(entry.start)
            await self._journal.move(download_index, State.READY)
        self._notifier.notify()
        return await self._entry(download_index)

    @asynccontextmanager
    async def replacing(self, indexes: Iterable[int]) -> AsyncIterator[None]:
        """Let nothing arrive under these indexes meanwhile."""
        async with AsyncExitStack() as stack:
            for index in sorted(set(indexes)):
                await stack.enter_async_context(self._locks[index])
            yield

    async def discard(self, download_index: int) -> None:
        """Remove everything of a download from the disk."""
        async with self._locks[download_index]:
            await self._discard(download_index)
        self._locks.pop(download_index, None)

    async def discard_replaced(self, entry: DownloadEntry) -> None:
        """Remove everything of a download that the journal does not know any more."""
        await self._discard_files(entry)

    async def close(self) -> None:
        """Close the files; what was received stays."""
        for writer in self._writers.values():
            await writer.settle()
            writer.file.close()
        self._writers.clear()

    async def _entry(self, download_index: int) -> DownloadEntry:
        entry = await self._journal.download(download_index)
        if entry is None:
            raise NotFound(f"There is no download {download_index}: no accepted update has it.")
        return entry

    async def _take(self, start: StartDownload) -> None:
        index = start.download_index
        if index not in self._writers and self.path(index).exists() and not self._part(start).exists():
            return  # taken, and the power went before the journal knew
        writer = await self._writer(start)
        if not writer.file.complete:
            missing = next(writer.file.received.missing(start.block_count))
            raise Refused("incomplete", f"Block {missing} of download {index} is missing.")
        await writer.settle()
        file = writer.file
        if (file.sha256() if file.is_hashed else await self._disk.do(file.sha256)) != start.sha256:
            await self._discard(index)
            raise Refused(
                "incomplete", f"The file of download {index} arrived damaged and was discarded: send it again."
            )
        await file.save_as(self.path(index), self._disk)
        del self._writers[index]

    async def _writer(self, start: StartDownload) -> BlockWriter:
        writer = self._writers.get(start.download_index)
        if writer is None or (writer.file.size, writer.file.block_size) != (start.size, start.block_size):
            if writer is not None:
                await writer.settle()
                writer.file.close()
            file = await open_block_file(self._part(start), start.size, start.block_size, self._disk)
            writer = self._writers[start.download_index] = BlockWriter(file, self._disk)
        return writer

    async def _discard(self, download_index: int) -> None:
        entry = await self._journal.download(download_index)
        if entry is not None:
            await self._discard_files(entry)

    async def _discard_files(self, entry: DownloadEntry) -> None:
        writer = self._writers.pop(entry.download_index, None)
        if writer is not None:
            await writer.settle()
            writer.file.close()
        if entry.start is not None:
            await self._disk.do(partial(_remove, self._part(entry.start), self.path(entry.download_index)))

    def _part(self, start: StartDownload) -> Path:
        return self._folder / f"{start.download_index}-{start.sha256[:16]}.part"

    def _check_quota(self, start: StartDownload) -> None:
        others = (path for path in self._folder.iterdir() if not path.name.startswith(f"{start.download_index}-"))
        taken = sum(path.stat().st_size for path in others)
        if taken + start.size > self._quota_bytes:
            raise StorageFull(f"{start.size} bytes do not fit beside {taken}: {self._quota_bytes} may be used in all.")


def _remove(*files: Path) -> None:
    for file in files:
        file.unlink(missing_ok=True)
