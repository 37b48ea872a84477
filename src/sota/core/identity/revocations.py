"""The revocation list as a file, for the RVI node beside this Core: an entry a line (``rvi`` reads it when it changes).

The list's truth is the database; several Cores keep a file each. It is written before a revocation is answered, and a
few seconds after another Core has changed it.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from sota.core.identity import store
from sota.kit.clock import Clock
from sota.kit.db import Database, Tx
from sota.kit.durable import write_atomic
from sota.kit.errors import SotaError
from sota.kit.logging import get_logger

EVERY_S = 2.0
PAGE = 1000


class RevocationList:
    """Keeps the file; ``entries`` is what it says."""

    def __init__(self, db: Database, clock: Clock, file: Path) -> None:
        self._db, self._clock, self._file = db, clock, file
        self._written: tuple[int, datetime | None] | None = None
        self._writing = asyncio.Lock()
        self.entries: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Follow the database until cancelled."""
        while True:
            try:
                await self.refresh()
            except (SotaError, SQLAlchemyError, OSError) as error:
                get_logger().warning("revocation_list_not_written", reason=str(error))
            await asyncio.sleep(EVERY_S)

    async def refresh(self) -> None:
        """Write the file if the list has changed."""
        async with self._writing:
            now = self._clock.now()
            async with self._db.read() as tx:
                state = await store.state_of_list(tx, now)
                if state == self._written:
                    return
                entries = await _read(tx, now)
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomic(self._file, "".join(f"{entry}\n" for entry in entries).encode())
            self.entries, self._written = frozenset(entries), state


async def _read(tx: Tx, now: datetime) -> list[str]:
    found: list[str] = []
    while True:
        page = [row.entry for row in await store.list_revoked(tx, now, PAGE, found[-1] if found else None)]
        found += page
        if len(page) < PAGE:
            return found
