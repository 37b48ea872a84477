"""Where files are kept: a folder on one machine, an object store on several, by one address.

``var/packages`` or ``/srv/packages`` is a folder, ``s3://BUCKET/PREFIX`` a bucket (credentials come from the
environment, as the AWS tools read them). An object is found by its key, never by a name that somebody gave.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from sota.kit.durable import sync_folder
from sota.kit.errors import Failed, StartError

PART_BYTES = 5 << 20  # the smallest part that S3 takes
PARTS_AT_ONCE = 2


class Objects:
    """A place for objects."""

    def __init__(self, address: str) -> None:
        self.folder: Path | None = None
        try:
            if "://" in address:
                self._store: ObjectStore = from_url(address)
            else:
                self.folder = Path(address).absolute()
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o750)
                self._store = LocalStore(self.folder)
        except (BaseError, ValueError, OSError) as error:
            raise StartError(f"repository {address!r} cannot be used: {error}") from None

    async def put(self, key: str, content: AsyncIterator[bytes]) -> None:
        """Write an object, holding a few parts of it in memory; returns when it is whole and durable.

        What ``content`` raises comes out as it is, and then nothing is left behind.

        Raises:
            Failed: it cannot be stored.
        """
        try:
            await obstore.put_async(
                self._store, key, content, use_multipart=True, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )
            if self.folder is not None:
                await asyncio.to_thread(_sync, self.folder / key)
        except (BaseError, OSError) as error:
            raise Failed(f"The file cannot be stored: {type(error).__name__}.") from error

    async def delete(self, key: str) -> None:
        """Delete an object, and what an interrupted write of it may have left; it need not exist.

        Raises:
            Failed: it cannot be deleted now.
        """
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            pass
        except (BaseError, OSError) as error:
            raise Failed(f"The file cannot be deleted: {type(error).__name__}.") from error
        if self.folder is not None:
            await asyncio.to_thread(_delete_parts, self.folder / key)

    async def exists(self, key: str) -> bool:
        """Say whether the object is there."""
        try:
            await obstore.head_async(self._store, key)
        except FileNotFoundError:
            return False
        except (BaseError, OSError) as error:
            raise Failed(f"The repository does not answer: {type(error).__name__}.") from error
        return True

    async def get(self, key: str, start: int, length: int) -> bytes:
        """Read a range of an object.

        Raises:
            Failed: it is not there, or cannot be read now.
        """
        try:
            return bytes(await obstore.get_range_async(self._store, key, start=start, length=length))
        except (BaseError, OSError) as error:
            raise Failed(f"The file cannot be read: {type(error).__name__}.") from error


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    sync_folder(path.parent)
    sync_folder(path.parent.parent)


def _delete_parts(path: Path) -> None:
    # A folder store writes to "<key>#<n>" and renames; a kill in between leaves that file.
    for part in path.parent.glob(f"{path.name}#*"):
        part.unlink(missing_ok=True)
