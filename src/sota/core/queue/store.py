"""SQL of queues: the updates of a request, a package or a vehicle, their order, and those that ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from sota.boundaries.b2_web_core.messages import Update
from sota.boundaries.values import BEGUN
from sota.core.requests.model import OPEN, PackageKey
from sota.core.requests.preparation_store import IS_REAL
from sota.core.requests.set_store import IS_ITS_REQUEST, IS_ITS_SET, read_parts
from sota.core.requests.store import IS_CURRENT, queue_order, read_updates, to_updates
from sota.core.tables import install_request, package_set, update, vehicle
from sota.kit.http.paging import Moment, Number
from sota.kit.sql.database import Tx
from sota.kit.sql.statements import AnyColumn, AnySelect

ENDED = ("failed", "cancelled")
LONGEST = 10_000
Found = list[tuple[UUID, str]]
Chosen = AnySelect
"""Updates that a call is about, whatever their state: a query of their ids and VINs."""
QueueKey = tuple[Number, Number, Number, Moment, UUID]
"""The place of an update in its vehicle's queue."""
_IDS_AND_VINS = sa.select(update.c.update_id, update.c.vin)


@dataclass(frozen=True, slots=True)
class Ended:
    """An update of a request that ended without installation, and its packages."""

    update_id: UUID
    position: int
    vin: str
    packages: list[PackageKey]


def of_request(request_id: UUID, positions: Sequence[int]) -> Chosen:
    """Choose the updates of a request, which has packages at these positions."""
    # With the position, updates in one state are adjacent in the index: closed ones are not scanned.
    return _IDS_AND_VINS.where(update.c.request_id == request_id, update.c.position.in_(positions))


def of_vehicle(vin: str) -> Chosen:
    """Choose the updates of a vehicle."""
    return _IDS_AND_VINS.where(update.c.vin == vin)


def of_package(package: PackageKey) -> Chosen:
    """Choose the updates that bring a package, itself or as a prerequisite."""
    return bringing(package, update.c.update_id, update.c.vin)


async def find_last(tx: Tx, chosen: Chosen) -> UUID | None:
    """Find the latest of the chosen updates that are open; None where none is.

    Ids are ordered by time, so a call that acts on what exists now ends there.
    """
    query = chosen.with_only_columns(update.c.update_id).where(update.c.status.in_(OPEN))
    found: UUID | None = (await tx.execute(query.order_by(update.c.update_id.desc()).limit(1))).scalar_one_or_none()
    return found


async def find_some(
    tx: Tx,
    chosen: Chosen,
    status: str,
    limit: int,
    *,
    last: UUID | None = None,
    after: UUID | None = None,
    in_order: bool = False,
) -> Found:
    """Find some of the chosen updates that are in a state, each with its VIN; none later than ``last``.

    ``in_order``: in the order of their ids, from ``after`` on. It costs a look at all of them, so ask for it where
    those found may stay in their state.
    """
    query = chosen.where(update.c.status == status).limit(limit)
    if last is not None:
        query = query.where(update.c.update_id <= last)
    if after is not None:
        query = query.where(update.c.update_id > after)
    if in_order:
        query = query.order_by(update.c.update_id)
    return [(row.update_id, row.vin) for row in await tx.execute(query)]


async def count_installing(tx: Tx, chosen: Chosen) -> int:
    """Count the chosen updates that are being installed."""
    stages = [stage.value for stage in sorted(BEGUN)]
    begun = chosen.with_only_columns(update.c.update_id).where(
        update.c.status == "in_flight", update.c.stage.in_(stages)
    )
    return int((await tx.execute(sa.select(sa.func.count()).select_from(begun.subquery()))).scalar_one())


def bringing(package: PackageKey, *columns: AnyColumn) -> AnySelect:
    """Select from the updates that bring a package, itself or as a prerequisite; not from those that remove it.

    Those that another one follows are passed over: no open update is among them.
    """
    return (
        sa.select(*columns)
        .select_from(package_set)
        .join(update, sa.and_(IS_ITS_SET, IS_CURRENT))
        .join(install_request, IS_ITS_REQUEST)
        .where(
            package_set.c.package_name == package[0],
            package_set.c.package_version == package[1],
            install_request.c.command == "install",
        )
    )


async def list_queue(
    tx: Tx, vin: str, *, after: QueueKey | None = None, count: int = LONGEST
) -> list[tuple[QueueKey, Update]]:
    """Read a vehicle's queue in its order: the update under way, then pending ones, each with its place."""
    is_waiting = sa.case((update.c.status == "pending", 1), else_=0)
    order = (is_waiting, *queue_order())
    places = [column.label(f"place_{number}") for number, column in enumerate(order)]
    query = sa.select(update, *places).where(update.c.vin == vin, update.c.status.in_(OPEN), IS_REAL)
    if after is not None:
        query = query.where(_follows(order, after))
    found = (await tx.execute(query.order_by(*order).limit(count))).all()
    return [
        ((row.place_0, row.place_1, row.place_2, row.place_3, row.place_4), one)
        for row, one in zip(found, await to_updates(tx, found), strict=True)
    ]


def _follows(order: Sequence[AnyColumn], key: Sequence[object]) -> sa.ColumnElement[bool]:
    """Ask for what comes after a key in an order of several columns."""
    pairs = list(zip(order, key, strict=True))
    return sa.or_(
        *(
            sa.and_(*(column == value for column, value in pairs[:place]), pairs[place][0] > pairs[place][1])
            for place in range(len(pairs))
        )
    )


async def lock_pending(tx: Tx, vin: str) -> dict[UUID, int]:
    """Read and lock the pending updates of a vehicle, with their priorities."""
    await tx.execute(sa.select(vehicle.c.vin).where(vehicle.c.vin == vin).with_for_update())
    query = sa.select(update.c.update_id, update.c.priority)
    query = query.where(update.c.vin == vin, update.c.status == "pending", IS_REAL)
    return {row.update_id: row.priority for row in await tx.execute(query.with_for_update())}


async def write_order(tx: Tx, ordered: Sequence[tuple[UUID, int]]) -> None:
    """Write the order of updates, and their effective priorities."""
    rows = [
        {"of_id": update_id, "queue_priority": priority, "queue_position": place}
        for place, (update_id, priority) in enumerate(ordered, start=1)
    ]
    if rows:
        await tx.execute(update.update().where(update.c.update_id == sa.bindparam("of_id")), rows)


async def list_history(tx: Tx, vin: str, *, after: tuple[datetime, UUID] | None, count: int) -> list[Update]:
    """Read the next closed updates of a vehicle, the last ended first."""
    ended = sa.func.coalesce(update.c.completed_at, update.c.changed_at, type_=update.c.changed_at.type)
    query = sa.select(update).where(update.c.vin == vin, update.c.status.not_in(OPEN), IS_REAL)
    if after is not None:
        at, update_id = after
        query = query.where(sa.or_(ended < at, sa.and_(ended == at, update.c.update_id < update_id)))
    return await read_updates(tx, query.order_by(ended.desc(), update.c.update_id.desc()).limit(count))


async def find_last_ended(tx: Tx, request_id: UUID, now: datetime) -> UUID | None:
    """Find the latest update of a request that may be tried again; None where there is none."""
    query = sa.select(update.c.update_id).where(_may_be_tried_again(request_id, now))
    found: UUID | None = (await tx.execute(query.order_by(update.c.update_id.desc()).limit(1))).scalar_one_or_none()
    return found


async def list_ended(
    tx: Tx,
    request_id: UUID,
    now: datetime,
    *,
    last: UUID,
    after: UUID | None,
    count: int,
    without_packages: bool = False,
) -> list[Ended]:
    """Read the next updates of a request that may be tried again: failed or cancelled, and their interval runs.

    None is later than ``last``. ``without_packages``: only those for which it is not known any more what the vehicle
    was to get.
    """
    query = sa.select(update.c.update_id, update.c.position, update.c.vin).where(
        _may_be_tried_again(request_id, now), update.c.update_id <= last
    )
    if after is not None:
        query = query.where(update.c.update_id > after)
    if without_packages:
        query = query.where(update.c.set_number.is_(None))
    found = (await tx.execute(query.order_by(update.c.update_id).limit(count))).all()
    parts = await read_parts(tx, [row.update_id for row in found])
    return [
        Ended(
            row.update_id,
            row.position,
            row.vin,
            [(part.package_name, part.package_version) for part in parts[row.update_id]],
        )
        for row in found
    ]


def _may_be_tried_again(request_id: UUID, now: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(update.c.request_id == request_id, update.c.status.in_(ENDED), IS_CURRENT, update.c.end_at > now)


async def supersede(tx: Tx, by: Sequence[tuple[UUID, UUID]]) -> None:
    """Write for old updates which new ones retry them."""
    statement = update.update().where(update.c.update_id == sa.bindparam("of_id"), IS_CURRENT)
    if by:
        await tx.execute(statement, [{"of_id": old, "superseded_by": new} for old, new in by])


async def lock_request(tx: Tx, request_id: UUID) -> None:
    """Lock a request, so that its updates are not retried by another call meanwhile."""
    query = sa.select(install_request.c.id).where(install_request.c.id == request_id)
    await tx.execute(query.with_for_update())
