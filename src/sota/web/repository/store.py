"""The files of packages, and a note for each that is being written (so that an interrupted upload leaves none)."""

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


class PackageRepository(Objects):
    """The package repository of boundary B13."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._log = get_logger(repository=address.partition("?")[0])

    @serves("WL-B13-1")
    async def write(self, key: str, content: AsyncIterator[bytes]) -> str:
        """Write a file: ``success`` when it is complete and durable, ``failure`` when it cannot be written.

        An exception of ``content`` is raised unchanged. In every case but ``success`` no file is left behind.
        """
        try:
            await self.put(key, content)
        except Failed as error:
            self._log.error("package_file_not_written", file=key, reason=error.detail, exc_info=error.__cause__)
            return "failure"
        return "success"


async def note_upload(tx: Tx, key: str, now: datetime, delete_after: datetime) -> None:
    """Note that a file is being written: unless it is claimed in time, it is deleted."""
    await tx.execute(UPLOAD.insert().values(file_key=key, started_at=now, delete_after=delete_after))


async def touch_upload(tx: Tx, key: str, delete_after: datetime) -> None:
    """Note that a file is still being written."""
    await tx.execute(UPLOAD.update().where(UPLOAD.c.file_key == key).values(delete_after=delete_after))


async def discard_upload(tx: Tx, key: str, now: datetime) -> None:
    """Note that a file is not needed: it is deleted soon, or after a restart."""
    changed = await tx.execute(UPLOAD.update().where(UPLOAD.c.file_key == key).values(delete_after=now))
    if changed.rowcount == 0:
        await note_upload(tx, key, now, now)


async def forget_upload(tx: Tx, key: str) -> bool:
    """Remove the note: the file is claimed, or deleted. Return whether the note existed."""
    return (await tx.execute(UPLOAD.delete().where(UPLOAD.c.file_key == key))).rowcount == 1


async def find_abandoned(tx: Tx, now: datetime) -> list[str]:
    """Return the files that were not claimed in time."""
    rows = await tx.execute(sa.select(UPLOAD.c.file_key).where(UPLOAD.c.delete_after <= now).limit(100))
    return [row.file_key for row in rows]
