"""Use cases of the audit trail: record, verify, read.

Requests that end at the same moment share one transaction: whoever comes first writes for all that wait. A request is
answered only after its record is committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sota.kit.audit import store
from sota.kit.audit.model import Break, Checker, Deed, Record, Verdict, Wanted, clean
from sota.kit.db import Database

BATCH = 200
PAGE = 1000


class AuditTrail:
    """The audit trail in a program's database."""

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
