"""Use cases of queues: order a vehicle's queue, and retry a request's failed updates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from sota.core.packages import store as package_store
from sota.core.queue import store
from sota.core.queue.model import arrange
from sota.core.queue.store import Ended
from sota.core.requests import queue_store, set_store
from sota.core.requests import service as request_service
from sota.core.requests import store as request_store
from sota.core.requests.model import InstallRequest, PackageKey, in_order
from sota.core.requests.queue_store import Slice
from sota.core.requests.set_store import Sets
from sota.core.vehicles import service as vehicle_service
from sota.kit.errors import Invalid
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Tx

TRIED_AT_ONCE = 500
Resolved = Mapping[tuple[int, str], list[PackageKey]]
"""The packages that the Resolver names, by position in the request and VIN."""


@dataclass(slots=True)
class Retrying:
    """A retry under way: it covers the updates that ended before it began, up to ``last``.

    ``own`` are updates that it created itself and that do not come after ``last``, because the clock went back. If they
    are cancelled meanwhile, the same retry must not retry them.
    """

    last: UUID
    after: UUID | None = None
    own: set[UUID] = field(default_factory=set)

    def take(self, tried: UUID, queued: Sequence[tuple[UUID, str]]) -> None:
        """Advance after a committed batch."""
        self.after = tried
        self.own.update(update_id for update_id, _ in queued if update_id <= self.last)


async def change_order(tx: Tx, vin: str, update_ids: Sequence[UUID]) -> None:
    """Set the order of a vehicle's updates.

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
    tx: Tx, parts: Sequence[InstallRequest], resolved: Resolved, retrying: Retrying, clock: Clock
) -> tuple[UUID | None, list[tuple[UUID, str]]]:
    """Create a new update for each of the next failed and cancelled ones, where the vehicle may still have it.

    Return the last that was retried, None at the end, and the new updates with their VINs.
    """
    request_id, last, after = parts[0].id, retrying.last, retrying.after
    await store.lock_request(tx, request_id)
    ended = await store.list_ended(tx, request_id, clock.now(), last=last, after=after, count=TRIED_AT_ONCE)
    queued: list[tuple[UUID, str]] = []
    sets = await set_store.read_sets(tx, request_id)
    for part in parts:
        group = [one for one in ended if one.position == part.position and one.update_id not in retrying.own]
        if group:
            queued += await _try_part_again(tx, part, group, resolved, sets, clock)
    if queued:
        await request_store.note_end(tx, request_id, None)
    return ended[-1].update_id if ended else None, queued


async def _try_part_again(
    tx: Tx, part: InstallRequest, ended: Sequence[Ended], resolved: Resolved, sets: Sets, clock: Clock
) -> list[tuple[UUID, str]]:
    vins_by_packages: dict[tuple[PackageKey, ...], list[str]] = defaultdict(list)
    for one in ended:
        packages = one.packages or resolved.get((part.position, one.vin), [])
        if packages:
            vins_by_packages[in_order(part.order, packages)].append(one.vin)
    wanted = {key for packages in vins_by_packages for key in packages}
    known = await package_store.find_packages(tx, wanted, kept=True)
    slices = [
        Slice(part.position, packages, vins)
        for packages, vins in vins_by_packages.items()
        if all(key in known and part.order.may_go(known[key]) for key in packages)
    ]
    numbered, _ = await request_service.write_sets(tx, [part], request_service.new_sets(slices, sets), sets)
    sets.add(numbered)
    again = replace(part, created_at=clock.now())
    staged = await request_service.stage_all(tx, {part.position: again}, slices, known, sets)
    await request_service.leave_with_node(tx, part.id, staged, clock)
    queued = [update for one in staged for update in await queue_store.read_staged(tx, one)]
    old = {one.vin: one.update_id for one in ended}
    await store.supersede(tx, [(old[vin], update_id) for update_id, vin in queued])
    return queued
