"""Use cases of install requests: write what was resolved, and schedule it at the node (B7-1).

``queueing.py`` queues a request; it writes each chunk by the functions of this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sota.core import schedules
from sota.core.packages import store as package_store
from sota.core.packages.model import Package
from sota.core.requests import queue_store, set_store, store
from sota.core.requests.model import InstallRequest, Order, PackageKey
from sota.core.requests.queue_store import Slice, Staged
from sota.core.requests.set_store import SetKey, Sets
from sota.kit.errors import Invalid, NotFound, Refused
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Tx


def require_open(orders: Sequence[Order], now: datetime) -> None:
    """Make sure that no order's interval is over already: all its updates would expire at once.

    Raises:
        Invalid: one is.
    """
    for order in orders:
        if order.end <= now:
            ended = f"{order.end:%Y-%m-%dT%H:%M:%SZ}"
            raise Invalid(f"The interval of {order.text} ended at {ended}, and it is {now:%Y-%m-%dT%H:%M:%SZ} now.")


async def require_packages(tx: Tx, orders: Sequence[Order], code: str, *, kept: bool = False) -> None:
    """Make sure that every ordered package is registered; ``kept``: and stays so until the transaction ends.

    Raises:
        Refused: with this code, naming the first that is not; ``package_blacklisted``.
    """
    known = await package_store.find_packages(tx, {order.package for order in orders}, kept=kept)
    for order in orders:
        if order.package not in known:
            raise Refused(code, f"Package {order.text} is not registered: upload it first.")
        require_allowed(order, [order.package], known)


def require_allowed(order: Order, wanted: Sequence[PackageKey], known: Mapping[PackageKey, Package]) -> None:
    """Make sure that nothing that an order sends is blacklisted, prerequisites included.

    Raises:
        Refused: ``package_blacklisted``.
    """
    for key in wanted:
        package = known.get(key)
        if package is None or order.may_go(package):
            continue
        needed = "" if key == order.package else f", and {order.text} needs it"
        raise Refused("package_blacklisted", f"Package {package.text} is blacklisted{needed}: it is not queued.")


async def stage_all(
    tx: Tx,
    parts: Sequence[InstallRequest] | Mapping[int, InstallRequest],
    batch: Sequence[Slice],
    packages: Mapping[PackageKey, Package],
    sets: Sets,
) -> list[Staged]:
    """Write the updates of some slices; ``parts`` has the request's packages by position,
    and ``sets`` has what they get.

    Raises:
        Refused: ``package_blacklisted``.
    """
    staged = []
    for one in batch:
        request, number = parts[one.position], sets.numbers[one.position, one.packages]
        require_allowed(request.order, one.packages, packages)
        staged.append(await queue_store.stage(tx, request, one, packages, number))
    return staged


async def write_sets(
    tx: Tx, parts: Sequence[InstallRequest], new: Sequence[SetKey], sets: Sets
) -> tuple[dict[SetKey, int | None], dict[PackageKey, Package]]:
    """Write new package sets of a request; ``parts`` are the request's packages, by position.

    Return the numbers of the new sets, and their packages: none of these is deleted or blacklisted before the
    transaction ends.
    """
    known = await package_store.find_packages(tx, {package for _, packages in new for package in packages}, kept=True)
    numbered = sets.number(new, known)
    await set_store.insert_sets(tx, parts, numbered, known)
    return numbered, known


def new_sets(batch: Sequence[Slice], sets: Sets) -> list[SetKey]:
    """Return the package sets of these slices that are not written yet."""
    wanted = dict.fromkeys((part.position, part.packages) for part in batch)
    return [key for key in wanted if key not in sets.numbers]


async def leave_with_node(tx: Tx, request_id: UUID, staged: Sequence[Staged], clock: Clock) -> None:
    """Schedule the written updates at the node."""
    slices = [
        schedules.ScheduledSlice(
            request_id=request_id,
            position=one.slice.position,
            dependencies=list(one.slice.packages[:-1]),
            first=one.first,
            last=one.last,
        )
        for one in staged
        if one.queued
    ]
    await schedules.leave(tx, slices, clock.now())


async def require_request(tx: Tx, request_id: UUID) -> list[InstallRequest]:
    """Return a request with all its packages.

    Raises:
        NotFound: there is none.
    """
    found = (await store.find_request(tx, request_id)).data
    if not found:
        raise NotFound(f"There is no install request {request_id}.")
    return found


async def require_real_request(tx: Tx, request_id: UUID) -> list[InstallRequest]:
    """Return a request with all its packages, to change it.

    Raises:
        NotFound: there is none, or it is still being written.
    """
    found = await require_request(tx, request_id)
    if found[0].is_prepared:
        raise NotFound(f"Install request {request_id} is still being prepared: try again when it is queued.")
    return found
