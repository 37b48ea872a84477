"""Turns the Resolver's stream into slices of a request: vehicles that need the same packages.

The stream is read no faster than its slices are written, so that a request for a whole market needs little memory.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from uuid import UUID

from sota.boundaries.b5_core_resolver.client import FactsClient
from sota.core.requests.model import Order, PackageKey, in_order
from sota.core.requests.queue_store import Slice
from sota.core.requests.wire import to_package_id
from sota.kit.errors import Refused

# Vehicles that may wait in memory until a slice is full.
MOST_WAITING = 50_000


async def read_batches(
    resolver: FactsClient,
    orders: Sequence[Order],
    resolutions: Sequence[UUID],
    *,
    missing: str,
    size: Callable[[], int],
) -> AsyncGenerator[list[Slice]]:
    """Return what the Resolver answers to these orders, in batches of slices with together ``size()`` vehicles.

    ``size`` is called for each batch, because the chunk size changes meanwhile.

    Raises:
        Refused: what the Resolver refuses; ``missing`` is the code of a package that it does not know.
        Unavailable: the Resolver is away.
    """
    batch: list[Slice] = []
    filled = 0
    for position, (order, resolution_id) in enumerate(zip(orders, resolutions, strict=True)):
        async for part in _slices(resolver, order, resolution_id, position=position, missing=missing, size=size):
            if batch and filled + len(part.vins) > size():
                yield batch
                batch, filled = [], 0
            batch.append(part)
            filled += len(part.vins)
    if batch:
        yield batch


async def _slices(
    resolver: FactsClient, order: Order, resolution_id: UUID, *, position: int, missing: str, size: Callable[[], int]
) -> AsyncIterator[Slice]:
    waiting: dict[tuple[PackageKey, ...], list[str]] = {}
    count = 0
    try:
        async for sets in resolver.resolve(to_package_id(order.package), str(resolution_id)):
            for one in sets:
                packages = in_order(order, [(package.name, package.version) for package in one.packages])
                vins = waiting.setdefault(packages, [])
                vins += one.vins
                count += len(one.vins)
                while len(vins) >= (most := size()):
                    yield Slice(position, packages, vins[:most])
                    del vins[:most]
                    count -= most
            if count > MOST_WAITING:
                packages = max(waiting, key=lambda key: len(waiting[key]))
                count -= len(waiting[packages])
                yield Slice(position, packages, waiting.pop(packages))
    except Refused as refusal:
        if refusal.code == "package_missing":
            raise Refused(missing, f"Package {order.text} is not known to the Resolver.") from None
        raise
    for packages, vins in waiting.items():
        if vins:
            yield Slice(position, packages, vins)
