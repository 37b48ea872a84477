"""Cancels updates on an operator's behalf: pending ones, and on demand those under way.

A request may have a million updates, so they are ended in batches, each in its own transaction.

Rules kept here:

* a call ends the updates that exist when it begins, and no later ones: two operators, one of whom cancels while the
  other tries again, do not chase each other;
* an update that is being installed continues: only its vehicle can end it;
* an update that another call ended first is skipped, and not read a second time;
* an interrupted call is repeated by sending it again: closed updates are skipped.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from uuid import UUID

from sota.boundaries.values import EndedBy, Reason
from sota.core.queue import store as queue_store
from sota.core.queue.store import Chosen, Found
from sota.core.transfers import service as transfer_service
from sota.core.transfers import store
from sota.core.transfers.dispatching.dispatcher import Dispatcher
from sota.core.transfers.sending.engine import Engine
from sota.core.transfers.store import Ending
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Tx
from sota.kit.sql.outbox import Relay

PENDING_AT_ONCE = 1000
IN_FLIGHT_AT_ONCE = 100
# How long others may write after each transaction of ours.
GIVEN_S = 0.03


class Endings:
    """Ends updates, and informs the vehicles and the node."""

    def __init__(self, engine: Engine, dispatcher: Dispatcher, relay: Relay, clock: Clock) -> None:
        self.db, self.engine, self.dispatcher, self.relay, self.clock = engine.db, engine, dispatcher, relay, clock

    async def end(self, chosen: Chosen, reason: Reason, *, in_flight_too: bool = False) -> int:
        """Cancel the chosen updates that exist now; return how many were cancelled."""
        async with self.db.read() as tx:
            last = await queue_store.find_last(tx, chosen)
        if last is None:
            return 0
        ending = Ending("cancelled", reason.value, by=EndedBy.OPERATOR)
        count = await self._end_pending(chosen, last, ending)
        if in_flight_too:
            count += await self._end_in_flight(chosen, last, ending)
        if count:
            self.relay.wake()
        return count

    async def _end_pending(self, chosen: Chosen, last: UUID, ending: Ending) -> int:
        async def work(tx: Tx) -> int | None:
            found = await queue_store.find_some(tx, chosen, "pending", PENDING_AT_ONCE, last=last)
            ids = [update_id for update_id, _ in found]
            now = self.clock.now()
            return len(await store.end_updates(tx, ids, ending, now, of=("pending",))) if ids else None

        count = 0
        while (ended := await self.db.transact(work)) is not None:
            count += ended
            await self.db.give_way(GIVEN_S)
        return count

    async def _end_in_flight(self, chosen: Chosen, last: UUID, ending: Ending) -> int:
        count, after = 0, None
        while True:
            async with self.db.read() as tx:
                found = await queue_store.find_some(
                    tx, chosen, "in_flight", IN_FLIGHT_AT_ONCE, last=last, after=after, in_order=True
                )
            if not found:
                return count
            count += await self._stop(found, ending)
            after = found[-1][0]

    async def _stop(self, found: Found, ending: Ending) -> int:
        ids, vins = [update_id for update_id, _ in found], sorted({vin for _, vin in found})
        async with AsyncExitStack() as locks:
            for vin in vins:  # in one order, so that two calls cannot deadlock
                await locks.enter_async_context(self.engine.locks.of(vin))
            dropped, ended = await self.db.transact(lambda tx: transfer_service.stop(tx, ids, ending, self.clock))
            # The vehicle only learns that the update was cancelled, whatever the reason.
            self.engine.drop(dropped, Reason.CANCELLED)
        self.dispatcher.wake(vins)
        return ended
