"""Routes of a vehicle's end: retirement, and erasure."""

from __future__ import annotations

from sota.boundaries.b2_web_core.queries import RetireQuery
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.binding.idempotency import Idempotency
from sota.boundaries.parameters import VinPath
from sota.boundaries.values import Reason, short_vin
from sota.core.identity.revocations import RevocationList
from sota.core.queue.endings import Endings
from sota.core.retirement import service
from sota.core.transfers.model import DownloadRef
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Tx


class RetirementApi:
    """Retires and erases vehicles for the Web Server."""

    def __init__(self, endings: Endings, once: Idempotency, revocations: RevocationList) -> None:
        self.endings, self.once, self.clock, self.revocations = endings, once, endings.clock, revocations

    @serves("X-B2-20", "X-B2-21")
    async def retire(self, call: Call[VinPath, RetireQuery, None]) -> Reply:
        """Retire a vehicle: nothing more is sent to it, its history is kept; with ``erase`` under a pseudonym."""
        erase = call.query.erase is not None
        vin = call.path.vin
        dropped: list[DownloadRef] = []

        async def work(tx: Tx) -> Reply:
            dropped[:] = await service.retire(tx, vin, self.clock, erase=erase)
            return Reply("erased" if erase else "retired")

        async with self.endings.engine.locks.of(vin):
            reply = await self.once.transact(call, work)
            self.endings.engine.drop(dropped, Reason.CANCELLED)
        await self.revocations.follow()  # so that its link is closed soon
        self.endings.relay.wake()
        get_logger().info("vehicle_retired", vin=short_vin(vin), erased=erase)
        return reply
