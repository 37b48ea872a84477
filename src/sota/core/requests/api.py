"""Routes of install requests: B2-3 to -6, B2-14 and a request's pages."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from sota.boundaries.b2_web_core import messages
from sota.boundaries.b2_web_core.queries import RequestQuery, RequestVehicleQuery
from sota.boundaries.b5_core_resolver.client import FactsClient
from sota.boundaries.binding.call import AnyCall, Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.binding.idempotency import Idempotency
from sota.boundaries.parameters import IdPath, ListQuery, UpdatePath
from sota.core.requests import service, store
from sota.core.requests.model import Counts, Order
from sota.core.requests.new_request import Answer, NewRequest
from sota.core.requests.queueing import Queueing
from sota.core.requests.wire import from_campaign, from_request, to_request
from sota.kit.errors import NotFound, Refused
from sota.kit.http.paging import BY_PLACE, link_next, read_cursor
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database

NO_VEHICLE = "No vehicle was chosen: no registered vehicle passes the filters, or all that do were left out."


class RequestsApi:
    """Serves the Web Server's calls about install requests."""

    def __init__(
        self, db: Database, once: Idempotency, resolver: FactsClient, queueing: Queueing, clock: Clock
    ) -> None:
        self.db, self.once, self.resolver, self.queueing, self.clock = db, once, resolver, queueing, clock

    @serves("WL-B2-3")
    async def create_campaign(self, call: Call[None, None, messages.NewCampaign]) -> Reply:
        """Create a campaign: a named request, queued at once."""

        def answer(request_id: UUID, vehicles: int) -> Reply:
            return Reply("campaign_created", {"campaign_id": str(request_id), **_queued_body(request_id, vehicles)})

        orders = [from_campaign(call.body)]
        return await self._queue(call, "campaign", call.body.name, orders, answer)

    @serves("WL-B2-4")
    async def queue_package(self, call: Call[None, None, messages.QueueRequest]) -> Reply:
        """Queue a package for the vehicles that its filters choose."""
        return await self._queue(call, "request", None, [from_request(call.body)], _queued)

    @serves("WL-B2-5")
    async def queue_packages(self, call: Call[None, None, list[messages.QueueRequest]]) -> Reply:
        """Queue several packages under one id: all, or none."""
        return await self._queue(call, "request", None, [from_request(part) for part in call.body], _queued)

    @serves("WL-B2-6")
    async def list_queued(self, call: Call[None, RequestQuery, None]) -> Reply:
        """Return the requests that wait or are under way, a page at a time."""
        query, package, limit = call.query, call.query.package_id, call.query.limit
        after: tuple[UUID, int] | None = read_cursor(call, BY_PLACE)
        if package is not None and not await self.resolver.filters_of(package):
            raise Refused("filters_missing", f"Package {package.text} has no filters: it is queued for no vehicle.")
        key = (package.name, package.version) if package is not None else None
        now = self.clock.now()
        async with self.db.read() as tx:
            page = await store.list_requests(
                tx, package=key, vin=query.vin, status=query.status, now=now, after=after, count=limit + 1
            )
            counts = await store.count_updates(tx, {request.id for request in page[:limit]})
        more = len(page) > limit
        page = page[:limit]
        listed = [to_request([part], counts.get((part.id, part.position), Counts()), now) for part in page]
        headers = link_next(call, (str(page[-1].id), page[-1].position)) if more else {}
        return Reply("listed" if listed else "empty", listed, headers=headers)

    @serves("X-B2-2")
    async def show(self, call: Call[IdPath, None, None]) -> Reply:
        """Return one request and its counts."""
        request_id = UUID(call.path.id)
        async with self.db.read() as tx:
            parts = await service.require_request(tx, request_id)
            counts = await store.count_updates(tx, [request_id])
        return Reply("found", to_request(parts, sum(counts.values(), Counts()), self.clock.now()))

    @serves("X-B2-3")
    async def list_vehicles(self, call: Call[IdPath, RequestVehicleQuery, None]) -> Reply:
        """Return the updates of a request, one for each vehicle, a page at a time."""
        page, headers = await self._list_updates(call, call.query.status)
        return Reply("listed" if page else "empty", page, headers=headers)

    @serves("X-B2-4")
    async def show_update(self, call: Call[UpdatePath, None, None]) -> Reply:
        """Return one vehicle's update."""
        update_id = UUID(call.path.update_id)
        async with self.db.read() as tx:
            found = await store.find_update(tx, update_id)
        if found.data is None:
            raise NotFound(f"There is no update {update_id}.")
        return Reply("found", found.data)

    @serves("WL-B2-14")
    async def list_completed(self, call: Call[IdPath, ListQuery, None]) -> Reply:
        """Return the VINs that have a request's package, and since when."""
        page, headers = await self._list_updates(call, "installed")
        listed = [
            messages.CompletedInstall(vin=update.vin, completed_at=update.completed_at or update.changed_at)
            for update in page
        ]
        return Reply("listed" if listed else "empty", listed, headers=headers)

    async def _list_updates(
        self, call: Call[IdPath, ListQuery, None], status: str | None
    ) -> tuple[list[messages.Update], dict[str, str]]:
        """Read a page of a request's updates, and the header that leads to the next one."""
        request_id, limit = UUID(call.path.id), call.query.limit
        after: UUID | None = read_cursor(call, UUID)
        async with self.db.read() as tx:
            await service.require_request(tx, request_id)
            found = await store.list_updates(tx, request_id, status=status, after=after, count=limit + 1)
        return found[:limit], link_next(call, found[limit - 1].update_id) if len(found) > limit else {}

    async def _queue(self, call: AnyCall, kind: str, name: str | None, orders: list[Order], answer: Answer) -> Reply:
        known = await self.once.find(call)
        if known is not None:
            return known
        missing = "package_unknown" if kind == "campaign" else "package_missing"
        return await self.queueing.queue(
            NewRequest(kind, name, orders, missing, answer), partial(self.once.transact, call)
        )


def _queued(request_id: UUID, vehicles: int) -> Reply:
    return Reply("queued", _queued_body(request_id, vehicles))


def _queued_body(request_id: UUID, vehicles: int) -> dict[str, object]:
    body: dict[str, object] = {"install_request_id": str(request_id)}
    return body if vehicles else {**body, "vehicles": 0, "warning": NO_VEHICLE}
