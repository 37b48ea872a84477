"""The revocation list: as a file for the RVI node beside this Core, one entry a line, and in memory for Core itself.

The list's truth is the database; each of several Cores has its own file. It is written before a revocation is answered,
and a few seconds after another Core has changed it. The node reads a changed file and disconnects such vehicles; Core
refuses their messages (:meth:`RevocationList.guard`): one may have waited at the node, or the node reads no list.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from sota.boundaries.binding.rvi_service import Peer
from sota.boundaries.services import allowing
from sota.boundaries.values import short_vin
from sota.core.identity import store
from sota.kit.errors import Forbidden, SotaError
from sota.kit.files.durable import mode_in, private_folder, write_atomic
from sota.kit.runtime import metrics
from sota.kit.runtime.clock import Clock
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Database, Tx

EVERY_S = 2.0
PAGE = 1000


class RevocationList:
    """Maintains the file; ``entries`` is its content: credentials, fingerprints of certificates, and barred VINs."""

    def __init__(self, db: Database, clock: Clock, file: Path) -> None:
        self._db, self._clock, self._file = db, clock, file
        self._written: tuple[int, datetime | None] | None = None
        self._writing = asyncio.Lock()
        self.entries: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Follow the database until cancelled."""
        while True:
            await self.follow()
            await asyncio.sleep(EVERY_S)

    async def follow(self) -> None:
        """Check the database once; a failure is repaired by the next check."""
        try:
            await self.refresh()
        except (SotaError, SQLAlchemyError, OSError) as error:
            get_logger().warning("revocation_list_not_written", reason=str(error))

    def guard(self, peer: Peer) -> None:
        """Check the sender of a message.

        Raises:
            Forbidden: the credential that the node saw is revoked.
        """
        vin = peer.vin or ""
        is_barred = vin in self.entries and allowing(vin, peer.credential or "") not in self.entries
        if peer.credential in self.entries or is_barred:
            metrics.REFUSED.labels("core", "revoked_credential").inc()
            sender = short_vin(vin)
            get_logger().warning("message_refused", reason="its credential is revoked", sender=sender)
            raise Forbidden("The credential of the vehicle that sent this message is revoked.")

    async def refresh(self) -> None:
        """Write the file if the list has changed."""
        async with self._writing:
            now = self._clock.now()
            async with self._db.read() as tx:
                state = await store.state_of_list(tx, now)
                if state == self._written:
                    return
                entries = await _read(tx, now)
            self.entries = frozenset(entries)  # even if the file cannot be written
            folder = private_folder(self._file.parent)  # its RVI node reads the list through the folder's group
            write_atomic(self._file, "".join(f"{entry}\n" for entry in entries).encode(), mode=mode_in(folder))
            self._written = state


async def _read(tx: Tx, now: datetime) -> list[str]:
    found: list[str] = []
    while True:
        page = [row.entry for row in await store.list_revoked(tx, now, PAGE, found[-1] if found else None)]
        found += page
        if len(page) < PAGE:
            return found
