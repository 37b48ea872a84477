"""Blocks of package files, read from the repository by the file's opaque key and encoded for the wire.

A campaign sends the same file to many vehicles, and the queue keeps them close to one another (``fair_queue.py``). So a
block is read and encoded once for all that need it now, and the last ones stay in a cache, up to a number of bytes.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from pathlib import Path

import msgspec
import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from sota.core.transfers.model import Download
from sota.kit.errors import StartError, Unavailable
from sota.kit.files.durable import private_folder

READ_TIMEOUT_S = 30.0
CACHE_BYTES = 64 << 20
Key = tuple[str, int, int]


class Blocks:
    """The files behind packages, block by block; ``cache_bytes`` bounds the cache of encoded blocks."""

    def __init__(self, repository: str, *, cache_bytes: int = CACHE_BYTES) -> None:
        self._cache_bytes = cache_bytes
        self._cache: OrderedDict[Key, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._reading: dict[Key, asyncio.Task[bytes]] = {}
        self._store: ObjectStore
        try:
            if "://" in repository:
                self._store = from_url(repository)
            else:
                private_folder(Path(repository))
                self._store = LocalStore(repository)
        except (BaseError, OSError) as error:
            raise StartError(f"core: the package repository {repository} cannot be used: {error}") from None

    async def encoded(self, download: Download, index: int) -> bytes:
        """Return block ``index`` (from 1) as a JSON string: base64 in quotes.

        Raises:
            Unavailable: the file is missing, or shorter than it should be.
        """
        key = (download.uri, download.block_size, index)
        content = self._cache.get(key)
        if content is not None:
            self._cache.move_to_end(key)
            return content
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = asyncio.create_task(self._encode(download, index), name="core:block")
            reading.add_done_callback(lambda done: self._add(key, done))
        return await asyncio.shield(reading)

    async def read(self, download: Download, index: int) -> bytes:
        """Read block ``index`` (from 1).

        Raises:
            Unavailable: the file is missing, or shorter than it should be.
        """
        start, length = (index - 1) * download.block_size, download.bytes_in(index)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                content = bytes(await obstore.get_range_async(self._store, download.uri, start=start, length=length))
        except (BaseError, OSError, ValueError) as error:
            raise Unavailable(f"The file of {download.package_text} cannot be read: {error}.") from None
        if len(content) != length:
            raise Unavailable(f"The file of {download.package_text} is shorter than it should be.")
        return content

    async def _encode(self, download: Download, index: int) -> bytes:
        return msgspec.json.encode(await self.read(download, index))

    def _add(self, key: Key, done: asyncio.Task[bytes]) -> None:
        del self._reading[key]
        if done.cancelled() or done.exception() is not None:
            return
        content = done.result()
        self._cache[key] = content
        self._cached_bytes += len(content)
        while self._cached_bytes > self._cache_bytes and self._cache:
            _, oldest = self._cache.popitem(last=False)
            self._cached_bytes -= len(oldest)
