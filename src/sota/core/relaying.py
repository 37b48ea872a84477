"""What stands in Core's outbox and who gets it: facts for the Resolver (B5-2), schedules for the node (B7-1)."""

from __future__ import annotations

from uuid import UUID

import msgspec

from sota.boundaries.b5_core_resolver.client import FactsClient
from sota.boundaries.b5_core_resolver.messages import Fact, FactStatus
from sota.boundaries.b7_core_rvi.client import NodeClient
from sota.boundaries.b7_core_rvi.messages import ScheduledUpdate, UnscheduledUpdate
from sota.core.requests.store import find_open
from sota.kit.clock import Clock
from sota.kit.db import Database
from sota.kit.errors import Refused, Unavailable
from sota.kit.logging import get_logger, short_vin
from sota.kit.outbox import Entry


class Senders:
    """The senders of Core's outbox, one for each kind of entry."""

    def __init__(self, db: Database, resolver: FactsClient, node: NodeClient, clock: Clock) -> None:
        self._db, self._resolver, self._node, self._clock = db, resolver, node, clock

    async def send_facts(self, entries: list[Entry]) -> None:
        """Tell the Resolver. A fact that it refuses for good is logged and not repeated.

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

    async def send_schedules(self, entries: list[Entry]) -> None:
        """Leave updates with the node. One that does not know the method is a real rvi_core: Core watches by itself.

        Raises:
            Unavailable: the node is away or cannot schedule now: it is asked again until the intervals are over.
        """
        now = self._clock.now()
        updates = [
            update
            for entry in entries
            for update in msgspec.convert(entry.payload, list[ScheduledUpdate])
            if update.interval.end > now
        ]
        updates = await self._still_open(updates)
        if not updates:
            return
        try:
            await self._node.schedule(updates)
        except Refused as refusal:
            if refusal.code == "method_unknown":
                return
            raise Unavailable(f"The node does not schedule: {refusal.detail}") from None

    async def send_withdrawals(self, entries: list[Entry]) -> None:
        """Take updates back from the node. What it does not know it passes over.

        Raises:
            Unavailable: the node is away: it is asked again.
        """
        updates = [update for entry in entries for update in msgspec.convert(entry.payload, list[UnscheduledUpdate])]
        try:
            await self._node.unschedule(updates)
        except Refused as refusal:
            if refusal.code != "method_unknown":
                raise Unavailable(f"The node does not take updates back: {refusal.detail}") from None

    async def ask_for_packages(self, entries: list[Entry]) -> None:
        """Ask vehicles what they have installed; one that was asked for several times is asked once.

        Raises:
            Unavailable: the node is away: it is asked again.
        """
        for vin in dict.fromkeys(msgspec.convert(entry.payload, str) for entry in entries):
            try:
                await self._node.get_packages(vin)
            except Refused as refusal:
                get_logger().warning("vehicle_not_asked", vin=short_vin(vin), reason=refusal.detail)

    async def _still_open(self, updates: list[ScheduledUpdate]) -> list[ScheduledUpdate]:
        """Leave out what has ended while the node was away: its withdrawal may have gone out before this."""
        found: set[str] = set()
        async with self._db.read() as tx:
            for start in range(0, len(updates), 500):
                ids = [UUID(one.update_id) for one in updates[start : start + 500]]
                found |= {str(one) for one in await find_open(tx, ids)}
        return [one for one in updates if one.update_id in found]
