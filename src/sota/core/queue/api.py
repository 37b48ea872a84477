"""Routes of queues: a request's cancel, stop and retry, and a vehicle's queue, order, history and Get All Packages."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from sota.boundaries.b2_web_core import messages
from sota.boundaries.b5_core_resolver.client import FactsClient
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.parameters import IdPath, ListQuery, VinPath
from sota.boundaries.values import Reason
from sota.core import schedules
from sota.core.following.service import Following
from sota.core.queue import service, store
from sota.core.queue.endings import GIVEN_S, Endings
from sota.core.queue.service import Resolved, Retrying
from sota.core.requests import service as request_service
from sota.core.requests import store as request_store
from sota.core.requests.model import Counts, InstallRequest
from sota.core.requests.wire import to_counts, to_package_id
from sota.core.vehicles import service as vehicle_service
from sota.kit.http.paging import BY_MOMENT, link_next, read_cursor
from sota.kit.sql.database import Tx


class QueueApi:
    """Serves the Web Server's calls about queues."""

    def __init__(self, endings: Endings, resolver: FactsClient, following: Following) -> None:
        self.endings, self.resolver, self.following = endings, resolver, following
        self.db, self.clock = endings.db, endings.clock

    @serves("X-B2-10")
    async def cancel(self, call: Call[IdPath, None, None]) -> Reply:
        """Cancel the pending updates of a request; those under way continue."""
        return await self._end(call, "cancelled", in_flight_too=False)

    @serves("X-B2-11")
    async def stop(self, call: Call[IdPath, None, None]) -> Reply:
        """Cancel the pending updates of a request, and abort those under way."""
        return await self._end(call, "stopped", in_flight_too=True)

    @serves("X-B2-12")
    async def retry(self, call: Call[IdPath, None, None]) -> Reply:
        """Try a request's failed and cancelled updates again, in the same request."""
        request_id = UUID(call.path.id)
        async with self.db.read() as tx:
            parts = await request_service.require_real_request(tx, request_id)
        async with self.db.read() as tx:
            last = await store.find_last_ended(tx, request_id, self.clock.now())
        changed = await self._try_again(parts, Retrying(last)) if last is not None else 0
        return Reply("retried", await self._changed(request_id, changed))

    @serves("X-B2-13")
    async def show_queue(self, call: Call[VinPath, ListQuery, None]) -> Reply:
        """Return a vehicle's queue in its order, a page at a time."""
        vin, limit = call.path.vin, call.query.limit
        after: store.QueueKey | None = read_cursor(call, store.QueueKey)
        async with self.db.read() as tx:
            await vehicle_service.require_vehicle(tx, vin)
            found = await store.list_queue(tx, vin, after=after, count=limit + 1)
        page = [update for _, update in found[:limit]]
        headers = link_next(call, found[limit - 1][0]) if len(found) > limit else {}
        return Reply("listed" if page else "empty", page, headers=headers)

    @serves("X-B2-14")
    async def change_order(self, call: Call[VinPath, None, list[str]]) -> Reply:
        """Change the order of a vehicle's updates."""
        vin, wanted = call.path.vin, [UUID(update_id) for update_id in call.body]
        await self.db.transact(lambda tx: service.change_order(tx, vin, wanted))
        self.endings.dispatcher.wake([vin])
        async with self.db.read() as tx:
            queue = await store.list_queue(tx, vin)
        return Reply("ordered", [update for _, update in queue])

    @serves("X-B2-15")
    async def show_history(self, call: Call[VinPath, ListQuery, None]) -> Reply:
        """Return the closed updates of a vehicle, the latest first, a page at a time."""
        vin, limit = call.path.vin, call.query.limit
        after: tuple[datetime, UUID] | None = read_cursor(call, BY_MOMENT)
        async with self.db.read() as tx:
            await vehicle_service.require_vehicle(tx, vin)
            found = await store.list_history(tx, vin, after=after, count=limit + 1)
        page, headers = found[:limit], {}
        if len(found) > limit:
            last = page[-1]
            headers = link_next(call, (last.completed_at or last.changed_at, last.update_id))
        return Reply("listed" if page else "empty", page, headers=headers)

    @serves("X-B2-16")
    async def ask_for_packages(self, call: Call[VinPath, None, None]) -> Reply:
        """Ask a vehicle what it has installed (Get All Packages)."""
        vin = call.path.vin

        async def work(tx: Tx) -> None:
            await vehicle_service.require_active(tx, vin)
            await schedules.ask_for_packages(tx, vin, self.clock.now())

        await self.db.transact(work)
        self.endings.relay.wake()
        return Reply("asked")

    async def _end(self, call: Call[IdPath, None, None], outcome: str, *, in_flight_too: bool) -> Reply:
        request_id = UUID(call.path.id)
        async with self.db.read() as tx:
            parts = await request_service.require_real_request(tx, request_id)
        chosen = store.of_request(request_id, [part.position for part in parts])
        changed = await self.endings.end(chosen, Reason.CANCELLED, in_flight_too=in_flight_too)
        if changed:
            await self.db.transact(lambda tx: request_store.note_end(tx, request_id, outcome))
        body = await self._changed(request_id, changed)
        if in_flight_too:
            async with self.db.read() as tx:
                body = msgspec.structs.replace(body, installing=await store.count_installing(tx, chosen))
        return Reply(outcome, body)

    async def _try_again(self, parts: list[InstallRequest], retrying: Retrying) -> int:
        """Retry the updates that had ended when the retry began; return how many updates that created."""
        resolved = await self._resolve_again(parts, retrying.last)
        changed = 0
        while True:
            last, queued = await self.db.transact(
                lambda tx: service.try_again(tx, parts, resolved, retrying, self.clock)
            )
            if last is None:
                break
            retrying.take(last, queued)
            changed += len(queued)
            self.endings.dispatcher.wake(vin for _, vin in queued)
            await self.db.give_way(GIVEN_S)
        self.endings.relay.wake()
        return changed

    async def _changed(self, request_id: UUID, changed: int) -> messages.RequestChanged:
        async with self.db.read() as tx:
            counts = await request_store.count_updates(tx, [request_id])
        return messages.RequestChanged(
            install_request_id=str(request_id), changed=changed, counts=to_counts(sum(counts.values(), Counts()))
        )

    async def _resolve_again(self, parts: list[InstallRequest], last: UUID) -> Resolved:
        """Ask the Resolver, for updates that failed before it was known what their vehicles need."""
        resolved: dict[tuple[int, str], list[tuple[str, str]]] = {}
        async with self.db.read() as tx:
            unknown = await store.list_ended(
                tx, parts[0].id, self.clock.now(), last=last, after=None, count=store.LONGEST, without_packages=True
            )
        if unknown:
            await self.following.wait()
        for part in parts:
            wanted = {one.vin for one in unknown if one.position == part.position}
            if not wanted:
                continue
            async for sets in self.resolver.resolve(to_package_id(part.order.package)):
                for found in sets:
                    packages = [(package.name, package.version) for package in found.packages]
                    resolved.update({(part.position, vin): packages for vin in wanted.intersection(found.vins)})
        return resolved
