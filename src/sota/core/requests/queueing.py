"""Queues a request: all of it or nothing, in one transaction or, where it is long, chunk by chunk.

Rules kept here:

* what fits into one chunk is written, with its Idempotency-Key, in one transaction;
* a longer request is written by :class:`~sota.core.requests.long_request.LongRequest`;
* a chunk is small enough that another writer waits some tens of milliseconds at most, and only once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from sota.boundaries.b5_core_resolver.client import FactsClient
from sota.boundaries.binding.call import Reply
from sota.core.following.service import Following
from sota.core.requests import queue_store, service
from sota.core.requests.chunk_size import ChunkSize
from sota.core.requests.long_request import LongRequest
from sota.core.requests.model import InstallRequest
from sota.core.requests.new_request import NewRequest, Transact, WrittenRequest, is_answer_to
from sota.core.requests.preparations import Preparations
from sota.core.requests.queue_store import Slice
from sota.core.requests.set_store import Sets
from sota.core.requests.slices import read_batches
from sota.core.transfers.dispatching.dispatcher import Dispatcher
from sota.kit.runtime.clock import new_id
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Tx
from sota.kit.sql.outbox import Relay


class Queueing:
    """Writes requests, short or long."""

    def __init__(self, resolver: FactsClient, following: Following, relay: Relay, dispatcher: Dispatcher) -> None:
        self._resolver, self._following, self._relay, self._dispatcher = resolver, following, relay, dispatcher
        self._db, self._clock = dispatcher.db, dispatcher.clock
        self.chunk_size = ChunkSize.of(is_sqlite=self._db.is_sqlite)
        self.preparations = Preparations(self._db, self._clock, dispatcher.settings)

    async def queue(self, new: NewRequest, transact: Transact) -> Reply:
        """Resolve and write a request.

        Raises:
            Invalid: an interval is over already.
            Refused: a package is missing or blacklisted, or whatever the Resolver refuses.
            Unavailable: the Resolver or the database is away, the Resolver does not know yet what Core acknowledged,
                or another Core removed this request.
        """
        now = self._clock.now()
        service.require_open(new.orders, now)
        async with self._db.read() as tx:
            await service.require_packages(tx, new.orders, new.missing)
        await self._following.wait()
        request_id = new_id()
        parts = [
            InstallRequest(request_id, position, new.kind, new.name, order, 0, now, new_id())
            for position, order in enumerate(new.orders)
        ]
        resolutions = [part.resolution_id for part in parts if part.resolution_id is not None]
        batches = read_batches(
            self._resolver, new.orders, resolutions, missing=new.missing, size=lambda: self.chunk_size.size
        )
        written = WrittenRequest(parts)
        async with contextlib.aclosing(batches):
            first: list[Slice] = await anext(batches, [])
            second = await anext(batches, None)
            if second is None:
                reply = await transact(lambda tx: self._write_short(tx, new, first, written))
            else:
                begun = [first, second]
                del first, second
                long = LongRequest(self._db, self._clock, self.preparations, self.chunk_size, new, written)
                reply = await long.write(_chain(begun, batches), transact)
        if is_answer_to(reply, request_id):
            await self._announce(written)
        return reply

    async def _write_short(self, tx: Tx, new: NewRequest, batch: Sequence[Slice], written: WrittenRequest) -> Reply:
        written.clear()  # the transaction may be repeated
        # Checked again: a package may have been deleted while the Resolver was asked.
        await service.require_packages(tx, new.orders, new.missing, kept=True)
        for part in written.parts:
            await queue_store.insert_request(tx, part)
        sets = Sets()
        numbered, packages = await service.write_sets(tx, written.parts, service.new_sets(batch, sets), sets)
        sets.add(numbered)
        written.add(await service.stage_all(tx, written.parts, batch, packages, sets))
        await written.finish(tx, self._clock)
        return new.answer(written.request_id, written.chosen)

    async def _announce(self, written: WrittenRequest) -> None:
        for part in written.parts:
            get_logger(program="core").info(
                "update_queued",
                install_request=str(part.id),
                package=part.order.text,
                vehicles=sum(one.queued for one in written.staged if one.slice.position == part.position),
                left_out=dict(written.left_out.get(part.position, {})),
            )
        self._relay.wake()
        for vins in written.vins_by_slice():
            self._dispatcher.wake(vins)
            await asyncio.sleep(0)  # let other tasks run


async def _chain(begun: list[list[Slice]], rest: AsyncIterator[list[Slice]]) -> AsyncIterator[list[Slice]]:
    while begun:  # a batch is freed when it is written
        yield begun.pop(0)
    async for batch in rest:
        yield batch
