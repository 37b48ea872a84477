"""Use cases of the audit trail: record, verify, read.

Records that arrive at the same moment share one transaction. A request is answered only after its record is
committed.

A program may note an action when it starts (:meth:`AuditTrail.begin`). If it is killed before the record is written,
:meth:`AuditTrail.take_up` writes one, so that the actor is still known.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

from sota.kit.audit import store
from sota.kit.audit.model import AuditedAction, Break, Checker, Opening, Record, RecordFilter, Verdict, tidy
from sota.kit.runtime.batcher import Batcher
from sota.kit.runtime.clock import new_id
from sota.kit.sql.database import Database, Tx

BATCH = 200
PAGE = 1000
Closing = tuple[AuditedAction, UUID | None]
"""A record to write, and the id of its opening, if any."""


class AuditTrail:
    """The audit trail in a program's database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._batcher: Batcher[Opening | Closing, None] = Batcher(self._write, most=BATCH)

    async def begin(self, action: AuditedAction, until: datetime) -> UUID:
        """Note a started action that should have its record by ``until``; return when that is committed."""
        opened = new_id()
        await self._batcher.submit(Opening(opened, tidy(action), until))
        return opened

    async def record(self, action: AuditedAction, opened: UUID | None = None) -> None:
        """Append a record; return when it is committed. ``opened`` is the result of :meth:`begin`."""
        await self._batcher.submit((tidy(action), opened))

    async def take_up(self, now: datetime) -> None:
        """Write the records of actions that never ended: their program was killed, or could not write."""
        while await self._db.transact(lambda tx: store.take_up(tx, now, BATCH)) == BATCH:
            pass

    async def verify(self, *, anchor: tuple[int, str] | None = None) -> Verdict:
        """Check the whole chain.

        ``anchor`` is number and hash of a record that was noted elsewhere: an attacker who rewrites the chain and its
        head cannot change that note.
        """
        async with self._db.read() as tx:
            head_number, head_hash, last = await store.read_ends(tx)
        checker = Checker()
        noted: str | None = None
        async for record in self.read_all(until_number=head_number):
            checker.add(record)
            if anchor is not None and record.number == anchor[0]:
                noted = record.hash
        broken = checker.end(head_number, head_hash)
        if broken is None and last > head_number:
            broken = Break(last, f"record {last} is after the head of the chain, which says {head_number}")
        if broken is None and anchor is not None and noted != anchor[1]:
            broken = Break(anchor[0], f"record {anchor[0]} is not the one that was noted")
        return Verdict(head_number, head_hash, broken)

    async def read_all(
        self, filters: RecordFilter | None = None, *, until_number: int | None = None
    ) -> AsyncIterator[Record]:
        """Yield records in order, page by page, including those appended meanwhile."""
        after = 0
        while True:
            async with self._db.read() as tx:
                records = await store.read_records(
                    tx, filters or RecordFilter(), after, PAGE, until_number=until_number
                )
            for record in records:
                yield record
            if len(records) < PAGE:
                return
            after = records[-1].number

    async def latest(self, filters: RecordFilter, limit: int, before: int | None) -> list[Record]:
        """Return the newest records, or those before a number, newest first."""
        async with self._db.read() as tx:
            return await store.read_latest(tx, filters, limit, before)

    async def _write(self, batch: list[Opening | Closing]) -> list[None]:
        await self._db.transact(lambda tx: _write_batch(tx, batch))
        return [None] * len(batch)


async def _write_batch(tx: Tx, batch: list[Opening | Closing]) -> None:
    openings = [one for one in batch if isinstance(one, Opening)]
    closings = [one for one in batch if not isinstance(one, Opening)]
    closed = [opened for _, opened in closings if opened is not None]
    if openings:
        await store.add_openings(tx, openings)
    if closings:
        await store.append(tx, [action for action, _ in closings])
    if closed:
        await store.remove_openings(tx, closed)
