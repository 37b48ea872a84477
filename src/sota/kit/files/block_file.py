"""A file of known size that arrives in numbered blocks, in any order and more than once, and survives power loss.

The file on disk is the payload in its final place, followed by an 8-byte mark for each block: the block's CRC-32, twice
(the second time mixed with a constant, so that zeros are not a valid mark). A block counts as received when its mark
matches its bytes. So blocks and marks can be written together and made durable by one ``fdatasync``, in whatever
order the disk writes them; a torn block does not count, and is sent again. All space is reserved at the beginning, so
that a full disk is detected before anything is transferred.

:class:`BlockFile` blocks its thread. :class:`BlockWriter` is for asyncio, and syncs blocks that arrive together with
one sync.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import hashlib
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

from sota.kit.errors import Invalid, SotaError
from sota.kit.files.disk import Disk
from sota.kit.files.durable import sync, sync_content, sync_folder
from sota.kit.ranges import Ranges
from sota.kit.runtime import faults

MARK = struct.Struct("<II")
MIX = 0x534F5441
READ_BYTES = 1 << 20
WAITING_LIMIT = 64
AT_ONCE_BYTES = 1 << 18
TAKEN_BYTES = 1 << 20  # most bytes of one file that may wait in memory while no task waits for them


class StorageFull(SotaError):
    """The disk, or our quota of it, is full."""

    code, status, title = "storage_full", 507, "Insufficient Storage"


class BlockFile:
    """One such file, open."""

    def __init__(self, path: Path, descriptor: int, size: int, block_size: int) -> None:
        self.path = path
        self.size = size
        self.block_size = block_size
        self.block_count = count_blocks(size, block_size)
        self.received = Ranges()
        self._descriptor = descriptor
        self._is_new = True
        self._digest, self._hashed = hashlib.sha256(), 0

    @property
    def is_hashed(self) -> bool:
        """Whether :meth:`sha256` has nothing left to read."""
        return self._hashed == self.block_count

    @classmethod
    def open(cls, path: Path, size: int, block_size: int) -> BlockFile:
        """Create the file, or reopen it with the blocks that are intact.

        Raises:
            StorageFull: there is no room for it.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        file = cls(path, descriptor, size, block_size)
        try:
            found = os.fstat(descriptor).st_size
            if found == file._whole_size:
                file._recover()
            elif found == size:  # complete: save_as truncated the marks, but did not rename the file
                file.received = Ranges.up_to(file.block_count)
            else:
                file._prepare()
        except BaseException:
            file.close()
            raise
        return file

    @property
    def complete(self) -> bool:
        """Whether every block is here."""
        return len(self.received) == self.block_count

    def length(self, index: int) -> int:
        """Return the length that block ``index`` must have.

        Raises:
            Invalid: there is no such block.
        """
        if not 1 <= index <= self.block_count:
            raise Invalid(f"There is no block {index}: they are 1 to {self.block_count}.")
        return min(self.block_size, self.size - (index - 1) * self.block_size)

    def check(self, index: int, content: bytes) -> None:
        """Check that a block has its length.

        Raises:
            Invalid: there is no such block, or it has another length.
        """
        if len(content) != self.length(index):
            raise Invalid(f"Block {index} has {len(content)} bytes and must have {self.length(index)}.")

    def put(self, blocks: Iterable[tuple[int, bytes]], *, hashing: bool = True) -> list[int]:
        """Write blocks into the kernel's memory only; return their numbers."""
        written = []
        for index, content in blocks:
            self.check(index, content)
            os.pwrite(self._descriptor, content, (index - 1) * self.block_size)
            checksum = zlib.crc32(content)
            mark = MARK.pack(checksum, checksum ^ MIX)
            os.pwrite(self._descriptor, mark, self.size + (index - 1) * MARK.size)
            written.append(index)
            if index <= self._hashed:  # written again, since the disk failed: the hash may not match what is on disk
                self._digest, self._hashed = hashlib.sha256(), 0
            if hashing and index == self._hashed + 1:
                self._digest.update(content)
                self._hashed = index
        return written

    def sync(self) -> None:
        """Make written blocks durable; the first time with the file itself."""
        faults.before("BlockFile.write")
        if self._is_new:
            sync(self._descriptor)
            sync_folder(self.path.parent)
            self._is_new = False
        else:
            sync_content(self._descriptor)
        faults.after("BlockFile.write")

    def count(self, written: Iterable[int]) -> None:
        """Count blocks as received, now that they are durable."""
        for index in written:
            self.received.add(index)

    def read(self, index: int) -> bytes:
        """Read one block."""
        return os.pread(self._descriptor, self.length(index), (index - 1) * self.block_size)

    def sha256(self) -> str:
        """Return the payload's SHA-256 in hex. Blocks that arrived in order are hashed already."""
        digest = self._digest.copy()
        for offset in range(self._hashed * self.block_size, self.size, READ_BYTES):
            digest.update(os.pread(self._descriptor, min(READ_BYTES, self.size - offset), offset))
        return digest.hexdigest()

    async def save_as(self, path: Path, disk: Disk) -> None:
        """Truncate the marks, close and rename: ``path`` is the bare payload, and durable, when this returns."""
        faults.before("BlockFile.save_as")
        descriptor = self._descriptor
        await disk.write(lambda: os.ftruncate(descriptor, self.size), lambda: sync(descriptor))
        self.close()
        await disk.write(lambda: self.path.rename(path), lambda: sync_folder(path.parent))
        faults.after("BlockFile.save_as")

    def close(self) -> None:
        """Close the file; received blocks stay."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Close the file and delete it."""
        self.close()
        self.path.unlink(missing_ok=True)

    @property
    def _whole_size(self) -> int:
        return self.size + self.block_count * MARK.size

    def _prepare(self) -> None:
        os.ftruncate(self._descriptor, 0)
        try:
            if self._whole_size:
                _take_space(self._descriptor, self._whole_size)
        except OSError as error:
            self.remove()
            if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
                raise StorageFull(f"There is no room for {self.size} bytes.") from None
            raise
        if not self.block_count:
            sync(self._descriptor)
            sync_folder(self.path.parent)

    def _recover(self) -> None:
        marks = os.pread(self._descriptor, self.block_count * MARK.size, self.size)
        for index, (checksum, mixed) in enumerate(MARK.iter_unpack(marks), start=1):
            if mixed == checksum ^ MIX and zlib.crc32(self.read(index)) == checksum:
                self.received.add(index)


async def open_block_file(path: Path, size: int, block_size: int, disk: Disk) -> BlockFile:
    """Create the file, or reopen it; see :meth:`BlockFile.open`. Creating one is faster than starting a thread.

    Raises:
        StorageFull: there is no room for it.
    """
    if disk.writes_at_once and not _is_there(path):
        return BlockFile.open(path, size, block_size)
    return await disk.do(functools.partial(BlockFile.open, path, size, block_size))


class BlockWriter:
    """Writes blocks from many tasks at once; blocks that wait while the disk works are written together."""

    def __init__(self, file: BlockFile, disk: Disk | None = None) -> None:
        self.file = file
        self._disk = disk or Disk()
        self._waiting: dict[int, tuple[bytes | None, asyncio.Future[None]]] = {}
        self._slots = asyncio.Semaphore(WAITING_LIMIT)
        self._flushing: asyncio.Task[None] | None = None

    async def write(self, index: int, content: bytes) -> bool:
        """Write a block; return when it is durable, False if it was there already.

        Raises:
            Invalid: no such block, or not of its length.
            OSError: the disk failed; the block does not count.
        """
        self.file.check(index, content)
        async with self._slots:
            if index in self.file.received:
                return False
            is_new = index not in self._waiting
            await asyncio.shield(self._begin(index, content))
            return is_new

    def take(self, index: int, content: bytes) -> asyncio.Future[None] | None:
        """Start to write a block; return a future that ends when it is durable. None: too much waits already.

        Raises:
            Invalid: no such block, or not of its length.
        """
        self.file.check(index, content)
        if sum(len(waiting) for waiting, _ in self._waiting.values() if waiting is not None) >= TAKEN_BYTES:
            return None
        return self._begin(index, content)

    def _begin(self, index: int, content: bytes) -> asyncio.Future[None]:
        known = self._waiting.get(index)
        if known is not None:
            return known[1]
        durable = asyncio.get_running_loop().create_future()
        if index in self.file.received:
            durable.set_result(None)
            return durable
        # Thousands of vehicles cannot keep their blocks until the disk has time. Hashing takes longer than writing.
        at_once = self._disk.writes_at_once and len(content) <= AT_ONCE_BYTES
        if at_once:
            self.file.put([(index, content)], hashing=False)
        self._waiting[index] = (None if at_once else content, durable)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush(), name="block-writer")
        return durable

    async def settle(self) -> None:
        """Wait until nothing is being written."""
        while self._flushing is not None:
            await asyncio.wait([self._flushing])

    async def close(self) -> None:
        """Wait until nothing is being written, and close the file; received blocks stay."""
        await self.settle()
        self.file.close()

    async def _flush(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, {}
                try:
                    blocks = [(index, content) for index, (content, _) in batch.items() if content is not None]
                    await self._disk.write(functools.partial(self.file.put, blocks), self.file.sync, large=bool(blocks))
                    self.file.count(batch)
                except (OSError, SotaError) as error:
                    # Blocks written meanwhile may be lost as well, and the next sync would not report that.
                    failed, self._waiting = {**batch, **self._waiting}, {}
                    for _, durable in failed.values():
                        _fail(durable, error)
                else:
                    for _, durable in batch.values():
                        durable.set_result(None)
        finally:
            self._flushing = None


def count_blocks(size: int, block_size: int) -> int:
    """Return the number of a file's blocks.

    >>> count_blocks(65_537, 65_536)
    2
    """
    return -(-size // block_size)


def _is_there(path: Path) -> bool:
    return path.exists()


def _take_space(descriptor: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:
            raise
        os.ftruncate(descriptor, size)  # a file system that cannot reserve: a full disk shows later, at a block


def _fail(future: asyncio.Future[None], error: BaseException) -> None:
    with contextlib.suppress(asyncio.InvalidStateError):
        future.set_exception(error)
        future.exception()  # waiting tasks get it; without any, it needs no report
