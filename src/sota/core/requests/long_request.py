"""Writes a long request chunk by chunk, and makes all of it real at once.

Rules kept here:

* its rows are written under a preparation (``preparations.py``); one small transaction removes the preparation, and
  the request is real;
* a chunk is written only while this Core holds the preparation, so that a request which was removed stays removed;
* chunks are written while the next ones arrive, and other writers get a moment after each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from sota.boundaries.binding.call import Reply
from sota.core.packages import store as package_store
from sota.core.packages.model import Package
from sota.core.requests import preparation_store, queue_store, service
from sota.core.requests.chunk_size import ChunkSize
from sota.core.requests.model import PackageKey
from sota.core.requests.new_request import NewRequest, Transact, WrittenRequest, is_answer_to
from sota.core.requests.preparations import Preparations
from sota.core.requests.queue_store import Slice, Staged
from sota.core.requests.set_store import SetKey, Sets
from sota.kit.errors import Unavailable
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database, Tx

# Transactions at the same time; SQLite has one writer.
WRITERS_MARIADB = 2
# How long others may write after each transaction of ours.
GIVEN_S = 0.03


class LongRequest:
    """One long request while it is written."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        preparations: Preparations,
        chunk_size: ChunkSize,
        new: NewRequest,
        written: WrittenRequest,
    ) -> None:
        self._db, self._clock, self._preparations, self._chunk_size = db, clock, preparations, chunk_size
        self._new, self._written, self._parts = new, written, written.parts
        self._packages: dict[PackageKey, Package] = {}
        self._sets = Sets()
        self._renew_at = 0.0

    async def write(self, batches: AsyncIterator[list[Slice]], transact: Transact) -> Reply:
        """Write the request.

        Raises:
            Refused: a package is blacklisted, or whatever ``batches`` raise.
            Unavailable: another Core removed the request meanwhile.
        """
        self._one = self._preparations.start(self._written.request_id)
        self._set_renewal()
        is_real = False
        try:
            await self._db.transact(self._begin)
            await self._write_all(batches)
            reply = await transact(self._make_real)
            is_real = is_answer_to(reply, self._written.request_id)
            return reply
        finally:  # not real: it was refused or interrupted, or the same request was queued before
            self._preparations.end(self._one, is_real=is_real)

    async def _begin(self, tx: Tx) -> None:
        for part in self._parts:
            await queue_store.insert_request(tx, part)
        await preparation_store.begin(tx, self._one, self._parts[0].created_at, self._preparations.lease_until())

    async def _make_real(self, tx: Tx) -> Reply:
        await service.require_packages(tx, self._new.orders, self._new.missing, kept=True)
        known = await package_store.find_packages(tx, self._packages.keys(), kept=True)
        for part in self._parts:
            service.require_allowed(part.order, list(self._packages), known)
        _require_ours(await preparation_store.end(tx, self._one))
        await self._written.finish(tx, self._clock)
        return self._new.answer(self._written.request_id, self._written.chosen)

    async def _write_all(self, batches: AsyncIterator[list[Slice]]) -> None:
        writers = 1 if self._db.is_sqlite else WRITERS_MARIADB
        waiting: asyncio.Queue[list[Slice] | None] = asyncio.Queue(maxsize=writers)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(batches, waiting, writers))
                for _ in range(writers):
                    group.create_task(self._write(waiting))
        except BaseExceptionGroup as failures:
            raise _first(failures) from None

    async def _read(
        self, batches: AsyncIterator[list[Slice]], waiting: asyncio.Queue[list[Slice] | None], writers: int
    ) -> None:
        async for batch in batches:
            new = service.new_sets(batch, self._sets)
            if new:
                numbered, known = await self._db.transact(lambda tx, new=new: self._write_sets(tx, new))  # type: ignore[misc]
                self._packages.update(known)
                self._sets.add(numbered)
            await waiting.put(batch)
        for _ in range(writers):
            await waiting.put(None)

    async def _write(self, waiting: asyncio.Queue[list[Slice] | None]) -> None:
        while (batch := await waiting.get()) is not None:
            await self._renew()
            began, staged = await self._db.transact(lambda tx, batch=batch: self._write_chunk(tx, batch))  # type: ignore[misc]
            self._chunk_size.note(sum(len(part.vins) for part in batch), time.perf_counter() - began)
            self._written.add(staged)
            await self._db.give_way(GIVEN_S)

    async def _write_sets(
        self, tx: Tx, new: Sequence[SetKey]
    ) -> tuple[dict[SetKey, int | None], dict[PackageKey, Package]]:
        _require_ours(await preparation_store.hold(tx, self._one))
        return await service.write_sets(tx, self._parts, new, self._sets)

    async def _write_chunk(self, tx: Tx, batch: Sequence[Slice]) -> tuple[float, list[Staged]]:
        """Write a chunk; return when the transaction began to hold up other writers."""
        began = time.perf_counter()
        _require_ours(await preparation_store.hold(tx, self._one))
        return began, await service.stage_all(tx, self._parts, batch, self._packages, self._sets)

    async def _renew(self) -> None:
        if time.monotonic() < self._renew_at:
            return
        until = self._preparations.lease_until()
        _require_ours(await self._db.transact(lambda tx: preparation_store.renew(tx, self._one, until)))
        self._set_renewal()

    def _set_renewal(self) -> None:
        self._renew_at = time.monotonic() + self._preparations.lease_s / 4


def _require_ours(is_ours: bool) -> None:
    if not is_ours:
        raise Unavailable("Queueing took too long, and was taken back: nothing is queued. Try again.")


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = failures
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
