"""Reads blocks of package files from the repository, a folder or a bucket, by the file's opaque key."""

from __future__ import annotations

import asyncio
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from sota.core.transfers.model import Download
from sota.kit.errors import StartError, Unavailable

READ_TIMEOUT_S = 30.0


class Blocks:
    """The files behind packages, block by block."""

    def __init__(self, repository: str) -> None:
        self._store: ObjectStore
        try:
            if "://" in repository:
                self._store = from_url(repository)
            else:
                Path(repository).mkdir(parents=True, exist_ok=True)
                self._store = LocalStore(repository)
        except (BaseError, OSError) as error:
            raise StartError(f"core: the package repository {repository} cannot be used: {error}") from None

    async def read(self, download: Download, index: int) -> bytes:
        """Read block ``index`` (from 1).

        Raises:
            Unavailable: the file is away, or shorter than it should be.
        """
        start = (index - 1) * download.block_size
        length = min(download.block_size, download.size - start)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                content = bytes(await obstore.get_range_async(self._store, download.uri, start=start, length=length))
        except (BaseError, OSError, ValueError) as error:
            raise Unavailable(f"The file of {download.package_text} cannot be read: {error}.") from None
        if len(content) != length:
            raise Unavailable(f"The file of {download.package_text} is shorter than it should be.")
        return content
