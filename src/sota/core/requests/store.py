"""SQL of install requests and of the updates that they become (B4-4, B4-11): reading. Writing is in ``queue_store``."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa

from sota.boundaries.b2_web_core.messages import Update
from sota.boundaries.b4_core_database import rows
from sota.boundaries.binding.decorators import calls
from sota.boundaries.store_result import StoreResult
from sota.boundaries.values import EndedBy, PackageId, Reason, Stage, UpdateStatus
from sota.core.requests.model import OPEN, Counts, InstallRequest, Order
from sota.core.requests.preparation_store import IS_REAL
from sota.core.requests.set_store import IS_ITS_REQUEST, read_parts
from sota.core.requests.wire import REASON_TEXTS
from sota.core.tables import install_request, preparation, update
from sota.kit.ranges import Ranges
from sota.kit.sql import damaged_rows as damage
from sota.kit.sql.database import Tx
from sota.kit.sql.statements import AnyColumn, AnyRow, AnySelect

RequestKey = tuple[UUID, int]
LAST = 1_000_000
IS_CURRENT = update.c.superseded_by.is_(None)


def queue_order() -> tuple[AnyColumn, ...]:
    """Return the order of a vehicle's queue: by priority, then request time, unless it was ordered by hand."""
    return (
        sa.func.coalesce(update.c.queue_priority, update.c.priority),
        sa.func.coalesce(update.c.queue_position, LAST),
        update.c.created_at,
        update.c.update_id,
    )


def to_request(row: AnyRow) -> InstallRequest:
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
    reasons: dict[str, int] = {}
    if row.left_out_reasons:
        decode = functools.partial(msgspec.json.decode, row.left_out_reasons, type=dict[str, int])
        reasons = damage.readable("install_request", row.id, decode, reasons)
    return InstallRequest(
        row.id,
        row.position,
        row.kind,
        row.name,
        order,
        row.left_out,
        row.created_at,
        row.resolution_id,
        reasons,
        ended_as=row.ended_as,
    )


@calls("WL-B4-11")
async def find_request(tx: Tx, request_id: UUID) -> StoreResult[list[InstallRequest]]:
    """Look an Install Request up, all its packages: ``found`` or ``missing``."""
    parts = await tx.execute(_REQUEST, {"one": request_id})
    found = [replace(to_request(row), is_prepared=bool(row.is_prepared)) for row in parts]
    return StoreResult.found(rows.FIND_INSTALL_REQUEST, found)


async def list_requests(
    tx: Tx,
    *,
    package: tuple[str, str] | None,
    vin: str | None,
    status: str | None,
    now: datetime,
    after: RequestKey | None,
    count: int,
) -> list[InstallRequest]:
    """Read the next requests in the order of their making; without ``status`` those that have open updates."""
    query = _request_list(package is not None, vin is not None, status, after is not None)
    name, version = package or (None, None)
    after_id, after_position = after or (None, None)
    given: dict[str, object] = {"name": name, "version": version, "vin": vin, "now": now}
    given |= {"after_id": after_id, "after_position": after_position}
    return [to_request(row) for row in await tx.execute(query, given | {"count": count})]


@functools.cache
def _request_list(by_package: bool, by_vin: bool, status: str | None, goes_on: bool) -> AnySelect:
    table = install_request
    query = sa.select(table).order_by(table.c.id, table.c.position).limit(sa.bindparam("count"))
    query = query.where(table.c.id.not_in(sa.select(preparation.c.request_id)))
    if by_package:
        query = query.where(
            table.c.package_name == sa.bindparam("name"), table.c.package_version == sa.bindparam("version")
        )
    if by_vin:
        query = query.where(_has_update(update.c.vin == sa.bindparam("vin")))
    is_open, is_begun = _has_update(update.c.status.in_(OPEN)), _has_update(update.c.status != "pending")
    is_installed = _has_update(update.c.status == "installed")
    is_scheduled = sa.and_(~is_begun, table.c.start_at > sa.bindparam("now", type_=table.c.start_at.type))
    conditions = {
        "scheduled": (is_open, is_scheduled),
        "running": (is_open, ~is_scheduled),
        "completed": (~is_open, table.c.ended_as.is_(None), is_installed),
        "failed": (~is_open, table.c.ended_as.is_(None), ~is_installed),
        "stopped": (~is_open, table.c.ended_as == "stopped"),
        "cancelled": (~is_open, table.c.ended_as == "cancelled"),
        # Reserved, or left out of lists.
        "paused": (sa.false(),),
        "preparing": (sa.false(),),
    }
    query = query.where(*(conditions[status] if status is not None else (is_open,)))
    if goes_on:
        after_id = sa.bindparam("after_id", type_=table.c.id.type)
        follows = sa.and_(table.c.id == after_id, table.c.position > sa.bindparam("after_position"))
        query = query.where(sa.or_(table.c.id > after_id, follows))
    return query


async def note_end(tx: Tx, request_id: UUID, ended_as: str | None) -> None:
    """Write how an operator has ended a request; None: it continues."""
    await tx.execute(install_request.update().where(install_request.c.id == request_id).values(ended_as=ended_as))


async def count_updates(tx: Tx, request_ids: Collection[UUID]) -> dict[RequestKey, Counts]:
    """Count the updates of requests by state, of each vehicle the last one."""
    found: dict[RequestKey, Counts] = {}
    for row in await tx.execute(_COUNTS, {"ids": list(request_ids)}):
        key = (row.request_id, row.position)
        found[key] = found.get(key, Counts()) + Counts(**{row.status: row.number})
    return found


@calls("WL-B4-4")
async def find_update(tx: Tx, update_id: UUID) -> StoreResult[Update]:
    """Look an update up: ``found`` or ``missing``."""
    found = await read_updates(tx, _UPDATE, {"one": update_id})
    return StoreResult.found(rows.FIND_UPDATE, found[0] if found else None)


async def list_updates(tx: Tx, request_id: UUID, *, status: str | None, after: UUID | None, count: int) -> list[Update]:
    """Read the next updates of a request in the order of their making, of each vehicle the last one."""
    given = {"one": request_id, "status": status, "after": after, "count": count}
    return await read_updates(tx, _update_list(status is not None, after is not None), given)


@functools.cache
def _update_list(by_status: bool, goes_on: bool) -> AnySelect:
    query = sa.select(update).where(update.c.request_id == sa.bindparam("one"), IS_CURRENT, IS_REAL)
    query = query.order_by(update.c.update_id).limit(sa.bindparam("count"))
    if by_status:
        query = query.where(update.c.status == sa.bindparam("status"))
    if goes_on:
        query = query.where(update.c.update_id > sa.bindparam("after"))
    return query


async def list_open(tx: Tx, first: UUID, last: UUID, count: int) -> list[tuple[UUID, str]]:
    """Return the open updates with ids from ``first`` to ``last``, ids and VINs, by id."""
    given = {"first": first, "last": last, "count": count}
    return [(row.update_id, row.vin) for row in await tx.execute(_OPEN_BETWEEN, given)]


async def latest_updates(tx: Tx, vin: str, count: int) -> list[Update]:
    """Read the latest updates of a vehicle, newest first."""
    return await read_updates(tx, _LATEST, {"one": vin, "count": count})


def _has_update(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return sa.exists().where(IS_ITS_REQUEST, IS_CURRENT, IS_REAL, condition)


async def read_updates(tx: Tx, query: AnySelect, given: Mapping[str, object] | None = None) -> list[Update]:
    """Read the updates of a query, each with its packages. ``given`` are the query's parameters."""
    return await to_updates(tx, (await tx.execute(query, given)).all())


async def to_updates(tx: Tx, found: Sequence[AnyRow]) -> list[Update]:
    """Turn rows of updates into updates, each with its packages."""
    parts = await read_parts(tx, [row.update_id for row in found])
    return [_to_update(row, parts[row.update_id]) for row in found]


# Built once: building a statement takes longer than executing it.
_REQUEST = (
    sa.select(install_request, preparation.c.request_id.is_not(None).label("is_prepared"))
    .outerjoin_from(install_request, preparation, preparation.c.request_id == install_request.c.id)
    .where(install_request.c.id == sa.bindparam("one"))
    .order_by(install_request.c.position)
)
_UPDATE = sa.select(update).where(update.c.update_id == sa.bindparam("one"), IS_REAL)
_LATEST = (
    sa.select(update)
    .where(update.c.vin == sa.bindparam("one"), IS_REAL)
    .order_by(update.c.update_id.desc())
    .limit(sa.bindparam("count"))
)
_OPEN_BETWEEN = (
    sa.select(update.c.update_id, update.c.vin)
    .where(update.c.update_id.between(sa.bindparam("first"), sa.bindparam("last")), update.c.status.in_(OPEN), IS_REAL)
    .order_by(update.c.update_id)
    .limit(sa.bindparam("count"))
)
_COUNTS = (
    sa.select(update.c.request_id, update.c.position, update.c.status, sa.func.count().label("number"))
    .where(update.c.request_id.in_(sa.bindparam("ids", expanding=True)), IS_CURRENT)
    .group_by(update.c.request_id, update.c.position, update.c.status)
)


def _to_update(row: AnyRow, parts: Sequence[AnyRow]) -> Update:
    reason = Reason(row.reason) if row.reason else None
    return Update(
        update_id=str(row.update_id),
        install_request_id=str(row.request_id),
        vin=row.vin,
        package=PackageId(name=row.package_name, version=row.package_version),
        packages=[PackageId(name=part.package_name, version=part.package_version) for part in parts],
        status=UpdateStatus(row.status),
        size=row.size,
        acknowledged=sum(_acknowledged(part) for part in parts if part.received),
        created_at=row.created_at,
        changed_at=row.changed_at,
        stage=Stage(row.stage) if row.stage else None,
        reason=reason,
        ended_by=EndedBy(row.ended_by) if row.ended_by else None,
        reason_text=REASON_TEXTS[reason] if reason is not None else None,
        result_code=row.result_code,
        result_text=row.result_text,
        completed_at=row.completed_at,
    )


def _acknowledged(part: AnyRow) -> int:
    received = damage.readable("download", part.update_id, lambda: Ranges.parse(part.received), Ranges())
    return int(min(part.size, len(received) * part.block_size))
