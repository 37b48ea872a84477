"""Use cases of install requests: queue what was resolved, in one transaction, and let the node know (B7-1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sota.boundaries.b7_core_rvi.messages import ScheduledUpdate
from sota.boundaries.values import Interval
from sota.core import schedules
from sota.core.packages import store as package_store
from sota.core.packages.model import Package
from sota.core.requests import queue_store, store
from sota.core.requests.model import InstallRequest, Order, PackageKey, plan
from sota.core.requests.queue_store import QueuedUpdate
from sota.core.requests.wire import to_package_id
from sota.kit.clock import Clock, new_id
from sota.kit.db import Tx
from sota.kit.errors import NotFound, Refused
from sota.kit.logging import get_logger


@dataclass(frozen=True, slots=True)
class Resolved:
    """An order and the vehicles that the Resolver gave for it."""

    order: Order
    vehicles: list[tuple[str, list[PackageKey]]]


async def require_packages(tx: Tx, orders: Sequence[Order], code: str, *, kept: bool = False) -> None:
    """Make sure that every package asked for is registered; ``kept``: and stays so until the transaction ends.

    Raises:
        Refused: with this code, naming the first that is not; ``package_blacklisted``.
    """
    known = await package_store.find_packages(tx, {order.package for order in orders}, kept=kept)
    for order in orders:
        if order.package not in known:
            raise Refused(code, f"Package {order.text} is not registered: upload it first.")
        if not order.may_go(known[order.package]):
            raise Refused("package_blacklisted", f"Package {order.text} is blacklisted: it is queued for nobody.")


async def queue(
    tx: Tx, kind: str, name: str | None, resolved: Sequence[Resolved], *, block_size: int, clock: Clock
) -> tuple[UUID, list[str]]:
    """Write a request with all its updates; gives its id and the VINs that have something to do."""
    request_id, now = new_id(), clock.now()
    vins: list[str] = []
    for position, part in enumerate(resolved):
        order = part.order
        installed = await queue_store.read_versions(tx, [vin for vin, _ in part.vehicles], order.package[0])
        planned = plan(order, part.vehicles, installed)
        left_out = sum(planned.left_out.values())
        request = InstallRequest(request_id, position, kind, name, order, left_out, now)
        await queue_store.insert_request(tx, request)
        packages = await find_wanted(tx, planned.updates)
        queued = await insert_updates(tx, request, planned.updates, packages, block_size=block_size, clock=clock)
        vins += [entry.vin for entry in queued]
        get_logger().info(
            "update_queued",
            install_request=str(request_id),
            package=order.text,
            vehicles=len(queued),
            left_out=planned.left_out,
        )
    return request_id, vins


async def find_wanted(tx: Tx, updates: Mapping[str, list[PackageKey]]) -> dict[PackageKey, Package]:
    """Look up the packages that vehicles are to get; none is deleted or blacklisted before the transaction ends."""
    wanted = {package for packages in updates.values() for package in packages}
    return await package_store.find_packages(tx, wanted, kept=True)


async def insert_updates(
    tx: Tx,
    request: InstallRequest,
    updates: Mapping[str, list[PackageKey]],
    packages: Mapping[PackageKey, Package],
    *,
    block_size: int,
    clock: Clock,
) -> list[QueuedUpdate]:
    """Write the updates of a request's vehicles, and leave them with the node."""
    queued = await queue_store.insert_updates(tx, request, updates, packages, block_size)
    await _schedule(tx, request, queued, clock)
    return queued


async def require_request(tx: Tx, request_id: UUID) -> list[InstallRequest]:
    """Give the request of an extension's path, all its packages.

    Raises:
        NotFound: there is none.
    """
    found = (await store.find_request(tx, request_id)).data
    if not found:
        raise NotFound(f"There is no install request {request_id}.")
    return found


async def _schedule(tx: Tx, request: InstallRequest, queued: Sequence[QueuedUpdate], clock: Clock) -> None:
    order = request.order
    updates = [
        ScheduledUpdate(
            vin=entry.vin,
            update_id=str(entry.update_id),
            package=to_package_id(order.package),
            dependencies=[to_package_id(package) for package in entry.packages[:-1]],
            interval=Interval(start=order.start, end=order.end),
            priority=order.priority,
            created_at=request.created_at,
        )
        for entry in queued
    ]
    await schedules.leave(tx, updates, clock.now())
