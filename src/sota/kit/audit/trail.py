"""Use cases of the audit trail: record, verify, read.

Requests that end at the same moment share one transaction: whoever comes first writes for all that wait. A request is
answered only after its record is committed.

A program may say beforehand what it begins (:meth:`AuditTrail.begin`): if it is killed before the record is written,
:meth:`AuditTrail.take_up` writes one, and who did it is known all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sota.kit.audit import store
from sota.kit.audit.model import Break, Checker, Deed, Opening, Record, Verdict, Wanted, tidy
from sota.kit.runtime.clock import new_id
from sota.kit.sql.database import Database, Tx

BATCH = 200
PAGE = 1000


@dataclass(frozen=True, slots=True)
class _Closing:
    """A record to write, and the note of its beginning, where there is one."""

    deed: Deed
    opened: UUID | None


class AuditTrail:
    """The audit trail in a program's database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: list[tuple[Opening | _Closing, asyncio.Future[None]]] = []
        self._writing = asyncio.Lock()

    async def begin(self, deed: Deed, until: datetime) -> UUID:
        """Note that something is begun, which should have its record by ``until``; returns when that is committed."""
        opened = new_id()
        await self._submit(Opening(opened, tidy(deed), until))
        return opened

    async def record(self, deed: Deed, opened: UUID | None = None) -> None:
        """Append a record; returns when it is committed. ``opened`` is what :meth:`begin` gave."""
        await self._submit(_Closing(tidy(deed), opened))

    async def take_up(self, now: datetime) -> None:
        """Write the records of what was begun and never ended: its program was killed, or could not write."""
        while await self._db.transact(lambda tx: store.take_up(tx, now, BATCH)) == BATCH:
            pass

    async def verify(self, *, anchor: tuple[int, str] | None = None) -> Verdict:
        """Check the whole chain.

        ``anchor`` is number and hash of a record as somebody noted it elsewhere: whoever writes the chain and its head
        anew cannot write that too.
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
            broken = Break(last, f"record {last} stands after the head of the chain, which says {head_number}")
        if broken is None and anchor is not None and noted != anchor[1]:
            broken = Break(anchor[0], f"record {anchor[0]} is not the one that was noted")
        return Verdict(head_number, head_hash, broken)

    async def read_all(self, wanted: Wanted | None = None, *, until_number: int | None = None) -> AsyncIterator[Record]:
        """Give records in their order, some at a time: what is appended meanwhile comes too."""
        after = 0
        while True:
            async with self._db.read() as tx:
                records = await store.read_records(tx, wanted or Wanted(), after, PAGE, until_number=until_number)
            for record in records:
                yield record
            if len(records) < PAGE:
                return
            after = records[-1].number

    async def latest(self, wanted: Wanted, limit: int, before: int | None) -> list[Record]:
        """Give the newest records, or those before a number, newest first."""
        async with self._db.read() as tx:
            return await store.read_latest(tx, wanted, limit, before)

    async def _submit(self, one: Opening | _Closing) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, done))
        async with self._writing:
            while not done.done():
                await self._write()
        await done

    async def _write(self) -> None:
        batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        try:
            await self._db.transact(lambda tx: _write_batch(tx, [one for one, _ in batch]))
        except BaseException as error:
            for _, done in batch:
                if not done.done():
                    done.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
                    done.exception()  # whoever has gone away meanwhile does not fetch it
            raise
        for _, done in batch:
            if not done.done():
                done.set_result(None)


async def _write_batch(tx: Tx, batch: list[Opening | _Closing]) -> None:
    openings = [one for one in batch if isinstance(one, Opening)]
    closings = [one for one in batch if isinstance(one, _Closing)]
    closed = [one.opened for one in closings if one.opened is not None]
    if openings:
        await store.open_deeds(tx, openings)
    if closings:
        await store.append(tx, [one.deed for one in closings])
    if closed:
        await store.close_deeds(tx, closed)
