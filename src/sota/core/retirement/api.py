"""Routes of a vehicle's end: retirement, and erasure."""

from __future__ import annotations

from typing import Any

from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.binding.idempotency import Idempotency
from sota.boundaries.values import Reason
from sota.core.identity.revocations import RevocationList
from sota.core.queue.endings import Endings
from sota.core.retirement import service
from sota.core.transfers.model import DownloadRef
from sota.kit.errors import Invalid
from sota.kit.runtime.logging import get_logger, short_vin
from sota.kit.sql.database import Tx


class RetirementApi:
    """What the Web Server asks about vehicles that go."""

    def __init__(self, endings: Endings, once: Idempotency, revocations: RevocationList) -> None:
        self.endings, self.once, self.clock, self.revocations = endings, once, endings.clock, revocations

    @serves("X-B2-20", "X-B2-21")
    async def retire(self, call: Call[Any]) -> Reply:
        """Retire a vehicle: nothing more is sent to it, its history is kept; with ``erase`` under a pseudonym."""
        erase = read_erase(call)
        vin = call.path["vin"]
        dropped: list[DownloadRef] = []

        async def work(tx: Tx) -> Reply:
            dropped[:] = await service.retire(tx, vin, self.clock, erase=erase)
            return Reply("erased" if erase else "retired")

        async with self.endings.engine.locks.of(vin):
            reply = await self.once.transact(call, work)
            self.endings.engine.drop_soon(dropped, Reason.CANCELLED)
        await self.revocations.follow()  # so that its link is closed soon
        self.endings.relay.wake()
        get_logger().info("vehicle_retired", vin=short_vin(vin), erased=erase)
        return reply


def read_erase(call: Call[Any]) -> bool:
    """Read whether the row that erases was asked for.

    Raises:
        Invalid: with another word than ``true``.
    """
    if call.query.get("erase", "true") != "true":
        raise Invalid("erase must be true; to retire the vehicle only, leave it out.")
    return "erase" in call.query
