"""The files of packages, and the note that one is being written (so that an interrupted upload leaves nothing)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import sqlalchemy as sa

from sota.boundaries.binding.decorators import serves
from sota.kit.errors import Failed
from sota.kit.files.objects import Objects
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Tx
from sota.web.tables import UPLOAD


class PackageRepository:
    """The package repository of boundary B13."""

    def __init__(self, address: str) -> None:
        self._objects = Objects(address)
        self._log = get_logger(repository=address.partition("?")[0])

    @serves("WL-B13-1")
    async def write(self, key: str, content: AsyncIterator[bytes]) -> str:
        """Write a file: ``success`` when it is whole and durable, ``failure`` when it cannot be written.

        What ``content`` itself raises comes out as it is. In every other case than ``success`` nothing is left behind.
        """
        try:
            await self._objects.put(key, content)
        except Failed as error:
            self._log.error("package_file_not_written", file=key, reason=error.detail, exc_info=error.__cause__)
            return "failure"
        return "success"

    async def delete(self, key: str) -> None:
        """Delete a file; it need not be there."""
        await self._objects.delete(key)

    async def open(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        """Open a range of a file; gives its bytes part by part.

        Raises:
            Failed: it is not there, or cannot be read now.
        """
        return await self._objects.open(key, start, length)

    async def exists(self, key: str) -> bool:
        """Say whether a file is there."""
        return await self._objects.exists(key)


async def note_upload(tx: Tx, key: str, now: datetime, delete_after: datetime) -> None:
    """Note that a file is being written: unless it is claimed until then, it is deleted."""
    await tx.execute(UPLOAD.insert().values(file_key=key, started_at=now, delete_after=delete_after))


async def touch_upload(tx: Tx, key: str, delete_after: datetime) -> None:
    """Note that a file is still being written."""
    await tx.execute(UPLOAD.update().where(UPLOAD.c.file_key == key).values(delete_after=delete_after))


async def discard_upload(tx: Tx, key: str, now: datetime) -> None:
    """Note that a file is not wanted: it is deleted at once, or after a restart."""
    changed = await tx.execute(UPLOAD.update().where(UPLOAD.c.file_key == key).values(delete_after=now))
    if changed.rowcount == 0:
        await note_upload(tx, key, now, now)


async def forget_upload(tx: Tx, key: str) -> bool:
    """Drop the note: the file is claimed, or gone. Says whether it was there."""
    return (await tx.execute(UPLOAD.delete().where(UPLOAD.c.file_key == key))).rowcount == 1


async def find_abandoned(tx: Tx, now: datetime) -> list[str]:
    """Give the files that nobody claimed in time."""
    rows = await tx.execute(sa.select(UPLOAD.c.file_key).where(UPLOAD.c.delete_after <= now).limit(100))
    return [row.file_key for row in rows]
