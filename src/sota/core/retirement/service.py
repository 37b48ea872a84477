"""Use case of a vehicle's end, in one transaction: its updates end, the Resolver is notified, its history stays."""

from __future__ import annotations

import secrets
from uuid import UUID

from sota.boundaries.b5_core_resolver.messages import VehicleRetired
from sota.boundaries.values import EndedBy, Reason
from sota.core import facts
from sota.core.identity import service as identity_service
from sota.core.identity import store as identity_store
from sota.core.queue import store as queue_store
from sota.core.requests.model import OPEN
from sota.core.retirement import store
from sota.core.retirement.model import pseudonym
from sota.core.transfers import store as transfer_store
from sota.core.transfers.model import DownloadRef
from sota.core.transfers.store import Ending
from sota.kit.errors import NotFound
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Tx


async def retire(tx: Tx, vin: str, clock: Clock, *, erase: bool) -> list[DownloadRef]:
    """Retire a vehicle, or erase it; return the downloads that it should drop.

    Raises:
        NotFound: the VIN is not registered.
    """
    if not await identity_store.is_registered(tx, vin, for_change=True):  # it cannot be queued for from here on
        raise NotFound(f"The VIN {vin} is not registered.")
    dropped = await _end_all(tx, vin, clock)
    await identity_service.revoke(tx, vin, Reason.RETIRED.value, clock.now(), by_retirement=True)
    await store.retire(tx, vin, clock.now())
    await facts.tell(tx, clock, [(vin, [VehicleRetired(id=facts.fact_id(), vin=vin, erased=erase)])])
    if erase:
        await identity_store.forget_barring(tx, vin)
        await store.rename(tx, vin, pseudonym(vin, secrets.token_bytes(32)))
    return dropped


async def _end_all(tx: Tx, vin: str, clock: Clock) -> list[DownloadRef]:
    """End the open updates of a vehicle whose row is locked, each once; return the running downloads."""
    chosen, ending = queue_store.of_vehicle(vin), Ending("cancelled", Reason.RETIRED.value, by=EndedBy.OPERATOR)
    dropped: list[DownloadRef] = []
    for status in OPEN:
        after: UUID | None = None
        while found := await queue_store.find_some(tx, chosen, status, queue_store.LONGEST, after=after, in_order=True):
            ids = [update_id for update_id, _ in found]
            after = ids[-1]
            if status == "in_flight":
                dropped += await transfer_store.open_downloads(tx, ids)
            await transfer_store.end_updates(tx, ids, ending, clock.now())
    return dropped
