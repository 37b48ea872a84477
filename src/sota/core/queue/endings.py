"""Ends updates that people do not want any more: what waits, and where asked for what is under way too.

A request may have a million of them, so they are ended in batches, each a transaction of its own. Whoever asks again
after an interruption goes on where it stopped: what is over is passed over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from sota.boundaries.values import Reason
from sota.core.queue.store import Found
from sota.core.transfers import store
from sota.core.transfers.dispatcher import Dispatcher
from sota.core.transfers.engine import Engine
from sota.core.transfers.store import Ending
from sota.kit.clock import Clock
from sota.kit.db import Tx
from sota.kit.outbox import Relay

PENDING_AT_ONCE = 1000
IN_FLIGHT_AT_ONCE = 100
Find = Callable[[Tx, str, int], Awaitable[Found]]
"""Gives some updates that are in a state: ``find(tx, "pending", 1000)``."""


class Endings:
    """Ends updates, and tells the vehicles and the node."""

    def __init__(self, engine: Engine, dispatcher: Dispatcher, relay: Relay, clock: Clock) -> None:
        self.db, self.engine, self.dispatcher, self.relay, self.clock = engine.db, engine, dispatcher, relay, clock

    async def end(self, find: Find, reason: Reason, *, in_flight_too: bool = False) -> int:
        """Cancel what is found; says how many it were."""
        ending = Ending("cancelled", reason.value)
        count = await self._end_pending(find, ending)
        if in_flight_too:
            count += await self._end_in_flight(find, ending)
        if count:
            self.relay.wake()
        return count

    async def _end_pending(self, find: Find, ending: Ending) -> int:
        async def work(tx: Tx) -> int | None:
            found = await find(tx, "pending", PENDING_AT_ONCE)
            ids = [update_id for update_id, _ in found]
            now = self.clock.now()
            return len(await store.end_updates(tx, ids, ending, now, of=("pending",))) if ids else None

        count = 0
        while (ended := await self.db.transact(work)) is not None:
            count += ended
        return count

    async def _end_in_flight(self, find: Find, ending: Ending) -> int:
        count = 0
        while True:
            async with self.db.read() as tx:
                found = await find(tx, "in_flight", IN_FLIGHT_AT_ONCE)
            if not found:
                return count
            count += await self._stop(found, ending)

    async def _stop(self, found: Found, ending: Ending) -> int:
        ids, vins = [update_id for update_id, _ in found], sorted({vin for _, vin in found})

        async def work(tx: Tx) -> tuple[list[tuple[str, int]], int]:
            dropped = await store.open_downloads(tx, ids)
            return dropped, len(await store.end_updates(tx, ids, ending, self.clock.now()))

        async with AsyncExitStack() as locks:
            for vin in vins:  # in one order, so that two who stop do not wait for each other
                await locks.enter_async_context(self.engine.locks.of(vin))
            dropped, ended = await self.db.transact(work)
            # A vehicle is told that it was cancelled, whatever the reason: it need not know more.
            self.engine.drop_soon(dropped, Reason.CANCELLED)
        self.dispatcher.wake(vins)
        return ended
