"""Relays Core's outbox: facts to the Resolver (B5-2), schedules to the node (B7-1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from uuid import UUID

import msgspec

from sota.boundaries.b5_core_resolver.messages import Fact, FactStatus
from sota.boundaries.b7_core_rvi.client import NodeClient
from sota.boundaries.b7_core_rvi.messages import ScheduledUpdate, UnscheduledUpdate
from sota.boundaries.values import Interval, short_vin
from sota.core.following.resync import Resync
from sota.core.requests.store import find_request, list_open
from sota.core.requests.wire import to_package_id
from sota.core.schedules import ScheduledSlice
from sota.kit.errors import Refused, Unavailable
from sota.kit.runtime.clock import Clock
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Database
from sota.kit.sql.outbox import OutboxEntry

SCHEDULED_AT_ONCE = 500


class Senders:
    """The senders of Core's outbox, one for each kind of entry."""

    def __init__(self, db: Database, resolver: Resync, node: NodeClient, clock: Clock) -> None:
        self._db, self._resolver, self._node, self._clock = db, resolver, node, clock

    async def send_facts(self, entries: list[OutboxEntry]) -> None:
        """Send facts to the Resolver. A fact that it refuses permanently is logged and not repeated.

        Raises:
            Unavailable: the Resolver is away, or did not answer to every fact.
        """
        facts = [fact for entry in entries for fact in msgspec.convert(entry.payload, list[Fact])]
        results = await self._resolver.tell(facts)
        if len(results) != len(facts):
            raise Unavailable(f"The Resolver answered to {len(results)} of {len(facts)} facts.")
        for fact, result in zip(facts, results, strict=True):
            if result.status is FactStatus.REFUSED:
                get_logger().warning("fact_refused", fact=type(fact).__name__, id=fact.id, reason=result.detail)

    async def send_schedules(self, entries: list[OutboxEntry]) -> None:
        """Schedule updates at the node. A real rvi_core does not know the method: Core then watches by itself.

        Raises:
            Unavailable: the node is away or cannot schedule now: the call is repeated until the intervals are over.
        """
        for entry in entries:
            async for updates in self._still_open(msgspec.convert(entry.payload, ScheduledSlice)):
                try:
                    await self._node.schedule(updates)
                except Refused as refusal:
                    if refusal.code == "method_unknown":
                        return
                    raise Unavailable(f"The node does not schedule: {refusal.detail}") from None

    async def send_withdrawals(self, entries: list[OutboxEntry]) -> None:
        """Unschedule updates at the node, which ignores those that it does not know.

        Raises:
            Unavailable: the node is away: the call is repeated.
        """
        updates = [update for entry in entries for update in msgspec.convert(entry.payload, list[UnscheduledUpdate])]
        try:
            await self._node.unschedule(updates)
        except Refused as refusal:
            if refusal.code != "method_unknown":
                raise Unavailable(f"The node does not take updates back: {refusal.detail}") from None

    async def ask_for_packages(self, entries: list[OutboxEntry]) -> None:
        """Ask vehicles what they have installed, each only once.

        Raises:
            Unavailable: the node is away: the call is repeated.
        """
        for vin in dict.fromkeys(msgspec.convert(entry.payload, str) for entry in entries):
            try:
                await self._node.get_packages(vin)
            except Refused as refusal:
                get_logger().warning("vehicle_not_asked", vin=short_vin(vin), reason=refusal.detail)

    async def _still_open(self, part: ScheduledSlice) -> AsyncIterator[list[ScheduledUpdate]]:
        """Return the updates that did not end while the node was away: those may have been unscheduled already."""
        async with self._db.read() as tx:
            parts = (await find_request(tx, part.request_id)).data or []
        request = next((one for one in parts if one.position == part.position), None)
        if request is None or request.order.end <= self._clock.now():
            return
        order = request.order
        to_scheduled = partial(
            ScheduledUpdate,
            package=to_package_id(order.package),
            dependencies=[to_package_id(package) for package in part.dependencies],
            interval=Interval(start=order.start, end=order.end),
            priority=order.priority,
            created_at=request.created_at,
        )
        first: UUID | None = part.first
        while first is not None:
            async with self._db.read() as tx:
                found = await list_open(tx, first, part.last, SCHEDULED_AT_ONCE)
            first = UUID(int=found[-1][0].int + 1) if len(found) == SCHEDULED_AT_ONCE else None
            if found:
                yield [to_scheduled(vin=vin, update_id=str(update_id)) for update_id, vin in found]
