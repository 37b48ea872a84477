"""Use cases of queues: put a vehicle's in an order, and try a request's failed updates again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sota.core.queue import store
from sota.core.queue.model import arrange
from sota.core.queue.store import Ended
from sota.core.requests import queue_store
from sota.core.requests import service as request_service
from sota.core.requests.model import InstallRequest, PackageKey, plan
from sota.core.vehicles import service as vehicle_service
from sota.kit.clock import Clock
from sota.kit.db import Tx
from sota.kit.errors import Invalid

Resolved = Mapping[tuple[int, str], list[PackageKey]]
"""What the Resolver says that vehicles must get, by position in the request and VIN."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A batch of updates that were looked at: the last of them, and which vehicles got a new one."""

    last: UUID | None
    vins: list[str]


async def change_order(tx: Tx, vin: str, update_ids: Sequence[UUID]) -> None:
    """Let a vehicle's updates go in this order.

    Raises:
        NotFound: the VIN is not registered.
        Invalid: these are not exactly the updates that wait for the vehicle.
    """
    await vehicle_service.require_active(tx, vin)
    pending = await store.lock_pending(tx, vin)
    if len(update_ids) != len(pending) or set(update_ids) != set(pending):
        raise Invalid(f"The order must list each of the {len(pending)} pending updates of this vehicle once.")
    priorities = arrange([pending[update_id] for update_id in update_ids])
    await store.write_order(tx, list(zip(update_ids, priorities, strict=True)))


async def try_again(
    tx: Tx,
    parts: Sequence[InstallRequest],
    resolved: Resolved,
    *,
    after: UUID | None,
    count: int,
    block_size: int,
    clock: Clock,
) -> Tried:
    """Give the next failed and cancelled updates of a request a new one each, where the vehicle may still have it."""
    request_id = parts[0].id
    await store.lock_request(tx, request_id)
    ended = await store.list_ended(tx, request_id, clock.now(), after=after, count=count)
    vins: list[str] = []
    for part in parts:
        group = [one for one in ended if one.position == part.position]
        if group:
            vins += await _try_part_again(tx, part, group, resolved, block_size=block_size, clock=clock)
    return Tried(ended[-1].update_id if ended else None, vins)


async def _try_part_again(
    tx: Tx, part: InstallRequest, ended: Sequence[Ended], resolved: Resolved, *, block_size: int, clock: Clock
) -> list[str]:
    wanted = {one.vin: one.packages or resolved.get((part.position, one.vin), []) for one in ended}
    installed = await queue_store.read_versions(tx, list(wanted), part.order.package[0])
    planned = plan(part.order, [(vin, packages) for vin, packages in wanted.items() if packages], installed)
    packages = await request_service.find_wanted(tx, planned.updates)
    updates = {
        vin: needed
        for vin, needed in planned.updates.items()
        if queue_store.why_not(part.order, needed, packages) is None
    }
    now = replace(part, created_at=clock.now())
    queued = await request_service.insert_updates(tx, now, updates, packages, block_size=block_size, clock=clock)
    old = {one.vin: one.update_id for one in ended}
    await store.supersede(tx, [(old[entry.vin], entry.update_id) for entry in queued])
    return [entry.vin for entry in queued]
