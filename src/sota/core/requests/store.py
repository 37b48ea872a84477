"""SQL of install requests and of the updates that they become (B4-4, B4-11): reading. Writing is in ``queue_store``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from sota.boundaries.b4_core_database import rows
from sota.boundaries.interaction import calls
from sota.boundaries.store_result import StoreResult
from sota.core.requests.model import OPEN, Counts, InstallRequest, Order, Update
from sota.core.tables import download, install_request, update
from sota.kit.db import Tx
from sota.kit.ranges import Ranges

RequestKey = tuple[UUID, int]
LAST = 1_000_000
IS_CURRENT = update.c.superseded_by.is_(None)


def queue_order() -> tuple[sa.ColumnElement[Any], ...]:
    """Order a vehicle's updates as they will go: by priority, then request time, but for an order given by hand."""
    return (
        sa.func.coalesce(update.c.queue_priority, update.c.priority),
        sa.func.coalesce(update.c.queue_position, LAST),
        update.c.created_at,
        update.c.update_id,
    )


def to_request(row: Any) -> InstallRequest:
    """Read a row."""
    order = Order(
        package=(row.package_name, row.package_version),
        priority=row.priority,
        start=row.start_at,
        end=row.end_at,
        request_confirmation=bool(row.request_confirmation),
        command=row.command,
        allow_downgrade=bool(row.allow_downgrade),
        data_plan_threshold=row.data_plan_threshold,
        description=row.description,
    )
    return InstallRequest(row.id, row.position, row.kind, row.name, order, row.left_out, row.created_at)


@calls("WL-B4-11")
async def find_request(tx: Tx, request_id: UUID) -> StoreResult[list[InstallRequest]]:
    """Look an Install Request up, all its packages: ``found`` or ``missing``."""
    query = sa.select(install_request).where(install_request.c.id == request_id).order_by(install_request.c.position)
    found = [to_request(row) for row in await tx.execute(query)]
    return StoreResult.of(rows.FIND_INSTALL_REQUEST, "found" if found else "missing", found)


async def list_requests(
    tx: Tx,
    *,
    package: tuple[str, str] | None,
    vin: str | None,
    status: str | None,
    after: RequestKey | None,
    count: int,
) -> list[InstallRequest]:
    """Read the next requests in the order of their making; without ``status`` those that have open updates."""
    table = install_request
    query = sa.select(table).order_by(table.c.id, table.c.position).limit(count)
    if package is not None:
        query = query.where(table.c.package_name == package[0], table.c.package_version == package[1])
    if vin is not None:
        query = query.where(_has_update(update.c.vin == vin))
    is_open, is_begun = _has_update(update.c.status.in_(OPEN)), _has_update(update.c.status != "pending")
    if status == "completed":
        query = query.where(~is_open)
    elif status == "pending":
        query = query.where(is_open, ~is_begun)
    elif status == "in_flight":
        query = query.where(is_open, is_begun)
    else:
        query = query.where(is_open)
    if after is not None:
        query = query.where(sa.or_(table.c.id > after[0], sa.and_(table.c.id == after[0], table.c.position > after[1])))
    return [to_request(row) for row in await tx.execute(query)]


async def count_updates(tx: Tx, request_ids: Collection[UUID]) -> dict[RequestKey, Counts]:
    """Count the updates of requests by state, of each vehicle the last one."""
    columns = (update.c.request_id, update.c.position, update.c.status)
    query = sa.select(*columns, sa.func.count().label("number"))
    query = query.where(update.c.request_id.in_(list(request_ids)), IS_CURRENT)
    found: dict[RequestKey, Counts] = {}
    for row in await tx.execute(query.group_by(*columns)):
        key = (row.request_id, row.position)
        found[key] = found.get(key, Counts()) + Counts(**{row.status: row.number})
    return found


@calls("WL-B4-4")
async def find_update(tx: Tx, update_id: UUID) -> StoreResult[Update]:
    """Look an update up: ``found`` or ``missing``."""
    found = await read_updates(tx, sa.select(update).where(update.c.update_id == update_id))
    if not found:
        return StoreResult.of(rows.FIND_UPDATE, "missing")
    return StoreResult.of(rows.FIND_UPDATE, "found", found[0])


async def list_updates(tx: Tx, request_id: UUID, *, status: str | None, after: UUID | None, count: int) -> list[Update]:
    """Read the next updates of a request in the order of their making, of each vehicle the last one."""
    query = sa.select(update).where(update.c.request_id == request_id, IS_CURRENT)
    query = query.order_by(update.c.update_id).limit(count)
    if status is not None:
        query = query.where(update.c.status == status)
    if after is not None:
        query = query.where(update.c.update_id > after)
    return await read_updates(tx, query)


async def find_open(tx: Tx, update_ids: Collection[UUID]) -> set[UUID]:
    """Say which of these updates are open."""
    query = sa.select(update.c.update_id).where(update.c.update_id.in_(list(update_ids)), update.c.status.in_(OPEN))
    return set((await tx.execute(query)).scalars())


async def latest_updates(tx: Tx, vin: str, count: int) -> list[Update]:
    """Read the latest updates of a vehicle, newest first."""
    query = sa.select(update).where(update.c.vin == vin).order_by(update.c.update_id.desc()).limit(count)
    return await read_updates(tx, query)


async def list_completed(tx: Tx, request_id: UUID, *, after: UUID | None, count: int) -> list[Update]:
    """Read the next vehicles that have a request's package."""
    return await list_updates(tx, request_id, status="installed", after=after, count=count)


def _has_update(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return sa.exists().where(
        update.c.request_id == install_request.c.id,
        update.c.position == install_request.c.position,
        IS_CURRENT,
        condition,
    )


async def read_updates(tx: Tx, query: sa.Select[Any]) -> list[Update]:
    """Read the updates of a query, each with its downloads."""
    found = (await tx.execute(query)).all()
    downloads = await _read_downloads(tx, [row.update_id for row in found])
    return [_to_update(row, downloads[row.update_id]) for row in found]


async def _read_downloads(tx: Tx, update_ids: Sequence[UUID]) -> dict[UUID, list[Any]]:
    found: dict[UUID, list[Any]] = {update_id: [] for update_id in update_ids}
    if found:
        for row in await tx.execute(_DOWNLOADS, {"ids": list(update_ids)}):
            found[row.update_id].append(row)
    return found


# Built once: building a statement takes longer than asking.
_DOWNLOADS = (
    sa.select(download)
    .where(download.c.update_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(download.c.update_id, download.c.position)
)


def _to_update(row: Any, downloads: Iterable[Any]) -> Update:
    parts = list(downloads)
    return Update(
        update_id=row.update_id,
        request_id=row.request_id,
        vin=row.vin,
        package=(row.package_name, row.package_version),
        packages=[(part.package_name, part.package_version) for part in parts],
        status=row.status,
        stage=row.stage,
        reason=row.reason,
        result_code=row.result_code,
        result_text=row.result_text,
        size=row.size,
        acknowledged=sum(min(part.size, len(Ranges.parse(part.received)) * part.block_size) for part in parts),
        created_at=row.created_at,
        changed_at=row.changed_at,
        completed_at=row.completed_at,
    )
