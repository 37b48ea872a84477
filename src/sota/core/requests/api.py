"""Routes of install requests: B2-3 to -6, B2-14 and a request's pages."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from sota.boundaries.b2_web_core import messages
from sota.boundaries.b5_core_resolver.client import FactsClient
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.binding.idempotency import Idempotency
from sota.boundaries.values import PackageId, UpdateStatus, Vin
from sota.core.requests import service, store
from sota.core.requests.model import Counts, Order
from sota.core.requests.queueing import Answer, Queueing, Wanted
from sota.core.requests.wire import from_campaign, from_request, to_request, to_update
from sota.kit.errors import Invalid, NotFound, Refused
from sota.kit.http.paging import BY_PLACE, link_next, read_cursor, read_limit
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database

NO_VEHICLE = "No vehicle was chosen: no registered vehicle passes the filters, or all that do were left out."


class RequestsApi:
    """What the Web Server asks about install requests."""

    def __init__(
        self, db: Database, once: Idempotency, resolver: FactsClient, queueing: Queueing, clock: Clock
    ) -> None:
        self.db, self.once, self.resolver, self.queueing, self.clock = db, once, resolver, queueing, clock

    @serves("WL-B2-3")
    async def create_campaign(self, call: Call[messages.NewCampaign]) -> Reply:
        """Create a campaign: a named request, queued at once."""

        def answer(request_id: UUID, vehicles: int) -> Reply:
            return Reply("campaign_created", {"campaign_id": str(request_id), **_queued_body(request_id, vehicles)})

        orders = [from_campaign(call.body)]
        return await self._queue(call, "campaign", call.body.name, orders, answer)

    @serves("WL-B2-4")
    async def queue_package(self, call: Call[messages.QueueRequest]) -> Reply:
        """Queue a package for the vehicles that its filters choose."""
        return await self._queue(call, "request", None, [from_request(call.body)], _queued)

    @serves("WL-B2-5")
    async def queue_packages(self, call: Call[list[messages.QueueRequest]]) -> Reply:
        """Queue several packages under one id: all, or none."""
        return await self._queue(call, "request", None, [from_request(part) for part in call.body], _queued)

    @serves("WL-B2-6")
    async def list_queued(self, call: Call[Any]) -> Reply:
        """Give the requests that wait or are under way, a page at a time."""
        package, vin, status = _read_package(call), _read_vin(call), _read_choice(call, messages.RequestStatus)
        limit, after = read_limit(call.query), _read_request_cursor(call)
        if package is not None and not await self.resolver.filters_of(package):
            raise Refused("filters_missing", f"Package {package.text} has no filters: it is queued for nobody.")
        key = (package.name, package.version) if package is not None else None
        now = self.clock.now()
        async with self.db.read() as tx:
            page = await store.list_requests(
                tx, package=key, vin=vin, status=status, now=now, after=after, count=limit + 1
            )
            counts = await store.count_updates(tx, {request.id for request in page[:limit]})
        more = len(page) > limit
        page = page[:limit]
        listed = [to_request([part], counts.get((part.id, part.position), Counts()), now) for part in page]
        headers = link_next(call, (str(page[-1].id), page[-1].position)) if more else {}
        return Reply("listed" if listed else "empty", listed, headers=headers)

    @serves("X-B2-2")
    async def show(self, call: Call[Any]) -> Reply:
        """Give one request and its counts."""
        request_id = UUID(call.path["id"])
        async with self.db.read() as tx:
            parts = await service.require_request(tx, request_id)
            counts = await store.count_updates(tx, [request_id])
        return Reply("found", to_request(parts, sum(counts.values(), Counts()), self.clock.now()))

    @serves("X-B2-3")
    async def list_vehicles(self, call: Call[Any]) -> Reply:
        """Give the updates of a request, one a vehicle, a page at a time."""
        status = _read_choice(call, UpdateStatus)
        request_id, limit = UUID(call.path["id"]), read_limit(call.query)
        after = _read_id_cursor(call)
        async with self.db.read() as tx:
            await service.require_request(tx, request_id)
            page = await store.list_updates(tx, request_id, status=status, after=after, count=limit + 1)
        headers = link_next(call, str(page[limit - 1].update_id)) if len(page) > limit else {}
        return Reply("listed" if page else "empty", [to_update(update) for update in page[:limit]], headers=headers)

    @serves("X-B2-4")
    async def show_update(self, call: Call[Any]) -> Reply:
        """Give one vehicle's update."""
        update_id = UUID(call.path["update_id"])
        async with self.db.read() as tx:
            found = await store.find_update(tx, update_id)
        if found.data is None:
            raise NotFound(f"There is no update {update_id}.")
        return Reply("found", to_update(found.data))

    @serves("WL-B2-14")
    async def list_completed(self, call: Call[Any]) -> Reply:
        """Give the VINs that have a request's package, and since when."""
        request_id, limit, after = UUID(call.path["id"]), read_limit(call.query), _read_id_cursor(call)
        async with self.db.read() as tx:
            await service.require_request(tx, request_id)
            page = await store.list_completed(tx, request_id, after=after, count=limit + 1)
        listed = [
            messages.CompletedInstall(vin=update.vin, completed_at=update.completed_at or update.changed_at)
            for update in page[:limit]
        ]
        headers = link_next(call, str(page[limit - 1].update_id)) if len(page) > limit else {}
        return Reply("listed" if listed else "empty", listed, headers=headers)

    async def _queue(self, call: Call[Any], kind: str, name: str | None, orders: list[Order], answer: Answer) -> Reply:
        known = await self.once.find(call)
        if known is not None:
            return known
        missing = "package_unknown" if kind == "campaign" else "package_missing"
        return await self.queueing.queue(Wanted(kind, name, orders, missing, answer), partial(self.once.transact, call))


def _queued(request_id: UUID, vehicles: int) -> Reply:
    return Reply("queued", _queued_body(request_id, vehicles))


def _queued_body(request_id: UUID, vehicles: int) -> dict[str, Any]:
    body = {"install_request_id": str(request_id)}
    return body if vehicles else {**body, "vehicles": 0, "warning": NO_VEHICLE}


def _read_package(call: Call[Any]) -> PackageId | None:
    text = call.query.get("package")
    if text is None:
        return None
    name, _, version = text.partition("/")
    package: PackageId = _convert({"name": name, "version": version}, PackageId, "package must be NAME/VERSION")
    return package


def _read_vin(call: Call[Any]) -> str | None:
    text = call.query.get("vin")
    return None if text is None else _convert(text, Vin, "vin must be 17 capital letters and digits")


def _read_choice(call: Call[Any], kind: Any) -> str | None:
    text = call.query.get("status")
    choices = ", ".join(kind)
    return None if text is None else str(_convert(text, kind, f"status must be one of {choices}"))


def _convert(value: Any, kind: Any, message: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise Invalid(f"{message}.") from None


def _read_request_cursor(call: Call[Any]) -> tuple[UUID, int] | None:
    key: tuple[UUID, int] | None = read_cursor(call, BY_PLACE)
    return key


def _read_id_cursor(call: Call[Any]) -> UUID | None:
    key: UUID | None = read_cursor(call, UUID)
    return key
