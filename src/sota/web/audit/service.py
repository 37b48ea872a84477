"""Use cases of the audit trail: record, verify.

Requests that end at the same moment share one transaction: whoever comes first writes for all that wait. A request is
answered only after its record is committed.
"""

from __future__ import annotations

import asyncio

from sota.kit.db import Database
from sota.web.audit import store
from sota.web.audit.model import Deed, Record, clean, find_break

BATCH = 200


class AuditTrail:
    """The audit trail of the Web Server."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: list[tuple[Deed, asyncio.Future[None]]] = []
        self._writing = asyncio.Lock()

    async def record(self, deed: Deed) -> None:
        """Append a record; returns when it is committed."""
        tidy = Deed(
            at=deed.at,
            actor=clean(deed.actor, 120),
            address=clean(deed.address, 64),
            interaction=deed.interaction,
            object=clean(deed.object, 300),
            outcome=clean(deed.outcome, 60),
            status=deed.status,
        )
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((tidy, done))
        async with self._writing:
            while not done.done():
                await self._write()
        await done

    async def verify(self) -> tuple[int, str | None]:
        """Check the whole chain: how many records it has, and where it is broken (None: it holds)."""
        async with self._db.read() as tx:
            number, head_hash = await store.read_head(tx)
            records: list[Record] = [record async for record in store.read_records(tx)]
        return number, find_break(records, number, head_hash)

    async def _write(self) -> None:
        batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        try:
            await self._db.transact(lambda tx: store.append(tx, [deed for deed, _ in batch]))
        except BaseException as error:
            for _, done in batch:
                if not done.done():
                    done.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
                    done.exception()  # whoever has gone away meanwhile does not fetch it
            raise
        for _, done in batch:
            if not done.done():
                done.set_result(None)
