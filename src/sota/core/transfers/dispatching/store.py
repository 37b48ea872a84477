"""SQL of dispatching: the next update of each vehicle, claims under a lease, repetitions, and expiry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from sota.boundaries.b7_core_rvi.messages import Download, UpdateAvailable
from sota.boundaries.values import BEGUN, PackageId
from sota.core.requests.model import OPEN
from sota.core.requests.preparation_store import IS_REAL
from sota.core.requests.set_store import IS_ITS_REQUEST, IS_ITS_SET
from sota.core.requests.store import queue_order
from sota.core.tables import (
    core_instance,
    download,
    install_request,
    package,
    package_set,
    preparation,
    update,
    vehicle,
)
from sota.core.transfers.model import DownloadState, Lease
from sota.core.transfers.store import IS_ITS_PACKAGE
from sota.kit.sql.database import LIMIT_S, Tx, Utc

# Longer than any transaction takes.
CLOSED_AFTER = timedelta(seconds=2 * LIMIT_S)
_IS_OPEN_PART = sa.and_(IS_ITS_REQUEST, update.c.status.in_(OPEN))
_CLOSE = install_request.update().where(
    install_request.c.id == sa.bindparam("of_id"), install_request.c.position == sa.bindparam("of_position")
)


@dataclass(frozen=True, slots=True)
class DueUpdate:
    """An update of which its vehicle must be notified."""

    update_id: UUID
    vin: str
    attempts: int
    end_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a vehicle is notified of, and until when."""

    vin: str
    update: UpdateAvailable
    end_at: datetime


# Built once: building a statement takes longer than executing it.
_DUE = sa.select(update.c.update_id, update.c.vin, update.c.attempts, update.c.end_at, update.c.changed_at)
_VINS: sa.BindParameter[Collection[str]] = sa.bindparam("vins", expanding=True)
_NOW: sa.BindParameter[datetime] = sa.bindparam("now", type_=Utc)
_MOST: sa.BindParameter[int] = sa.bindparam("most", type_=sa.Integer)
# A Core that is alive keeps its updates, although another one's clock may be ahead of its leases.
_IS_ALIVE = sa.exists().where(core_instance.c.instance == update.c.lease_owner)
_IS_OURS = sa.or_(update.c.lease_owner == sa.bindparam("owner"), sa.and_(update.c.lease_until < _NOW, ~_IS_ALIVE))
_IS_CURRENT = sa.and_(update.c.status == "pending", update.c.start_at <= _NOW, update.c.end_at > _NOW, IS_REAL)
_NEXT = (
    _DUE.join(vehicle, vehicle.c.vin == update.c.vin)
    .where(update.c.vin.in_(_VINS), _IS_CURRENT, vehicle.c.active_update.is_(None))
    .order_by(update.c.vin, *queue_order())
)
_AGAIN = (
    _DUE.where(update.c.status == "in_flight", update.c.next_try_at <= _NOW, _IS_OURS)
    .order_by(update.c.next_try_at)
    .limit(_MOST)
)
_ACTIVE = _DUE.where(update.c.vin.in_(_VINS), update.c.status == "in_flight", _IS_OURS)
_STARTING = (
    sa.select(update.c.vin)
    # A pending update is due at its start.
    .where(
        update.c.status == "pending",
        update.c.next_try_at > sa.bindparam("after"),
        update.c.next_try_at <= _NOW,
        IS_REAL,
    )
    .limit(_MOST)
)
_IS_OVER = sa.and_(install_request.c.closed_at.is_(None), install_request.c.end_at <= _NOW)
_ANY_OVER = sa.select(install_request.c.id).where(_IS_OVER).limit(1)
# Only its vehicle can end an update that is being installed.
_IS_NOT_BEGUN = sa.or_(update.c.stage.is_(None), update.c.stage.not_in([stage.value for stage in sorted(BEGUN)]))
_EXPIRED = (
    sa.select(update.c.update_id)
    .select_from(install_request)
    .join(update, _IS_OPEN_PART)
    .where(_IS_OVER, _IS_NOT_BEGUN)
    .limit(_MOST)
)
_IDS: sa.BindParameter[Sequence[UUID]] = sa.bindparam("ids", expanding=True)
_ANNOUNCED_UPDATES = (
    sa.select(
        update.c.update_id,
        update.c.vin,
        update.c.end_at,
        vehicle.c.epoch,
        install_request.c.description,
        install_request.c.request_confirmation,
    )
    .join(install_request, IS_ITS_REQUEST)
    .join(vehicle, vehicle.c.vin == update.c.vin)
    .where(update.c.update_id.in_(_IDS))
)
_ANNOUNCED_DOWNLOADS = (
    sa.select(download, package.c.sha256)
    .join(package, IS_ITS_PACKAGE)
    .where(download.c.update_id.in_(_IDS))
    .order_by(download.c.update_id, download.c.position)
)


async def next_updates(tx: Tx, vins: Collection[str], now: datetime) -> list[DueUpdate]:
    """Return, for each of these vehicles without an update under way, its next due update, in queue order."""
    first: dict[str, DueUpdate] = {}
    for row in await tx.execute(_NEXT, {"vins": list(vins), "now": now}):
        first.setdefault(row.vin, DueUpdate(*row))
    return list(first.values())


_HAD = download.alias("had")
# The columns that are set beside these are those that an execution names.
_TAKE_SLOT = vehicle.update().where(vehicle.c.vin == sa.bindparam("of_vin"))
_TAKE_UPDATE = (
    update.update()
    .where(update.c.update_id == sa.bindparam("of_update"))
    .values(status="in_flight", stage="notified", attempts=update.c.attempts + 1)
)


# The first index that neither the database nor the vehicle has used.
_LAST = sa.select(sa.func.coalesce(sa.func.max(_HAD.c.download_index), 0)).where(_HAD.c.vin == update.c.vin)
_SAID = sa.select(vehicle.c.highest_index).where(vehicle.c.vin == update.c.vin).scalar_subquery()
_INDEX = 1 + sa.case((_LAST.scalar_subquery() < _SAID, _SAID), else_=_LAST.scalar_subquery())
_NEW_DOWNLOADS = download.insert().from_select(
    [
        "vin", "download_index", "update_id", "position", "package_name", "package_version", "size", "block_size",
        "received", "state",
    ],
    sa.select(
        update.c.vin, _INDEX + package_set.c.place, update.c.update_id, package_set.c.place,
        package_set.c.package_name, package_set.c.package_version, package_set.c.size,
        sa.bindparam("of_block", type_=sa.Integer), sa.literal(""), sa.literal(DownloadState.PENDING.value),
    ).select_from(update).join(package_set, IS_ITS_SET)
    .where(update.c.update_id.in_(sa.bindparam("ids", expanding=True))),
)  # fmt: skip


async def claim(tx: Tx, due: Sequence[tuple[DueUpdate, Lease]], block_size: int) -> list[DueUpdate]:
    """Claim these updates, one for each vehicle; return those that were still free.

    Both rows of an update are locked and checked before either is written. So an update that was cancelled, expired or
    claimed by another Core since it was read is left alone. A claimed update gets its downloads, in blocks of
    ``block_size`` bytes. Their indexes continue those that the vehicle has had: no index is used again.
    """
    slots = sa.select(vehicle.c.vin).where(
        vehicle.c.vin.in_([one.vin for one, _ in due]), vehicle.c.active_update.is_(None)
    )
    free = set((await tx.execute(slots.order_by(vehicle.c.vin).with_for_update())).scalars())
    pending = sa.select(update.c.update_id).where(
        update.c.update_id.in_([one.update_id for one, _ in due if one.vin in free]), update.c.status == "pending"
    )
    waiting = set((await tx.execute(pending.order_by(update.c.update_id).with_for_update())).scalars())
    taken = [(one, by) for one, by in due if one.vin in free and one.update_id in waiting]
    if taken:
        await tx.execute(_TAKE_SLOT, [{"of_vin": one.vin, "active_update": one.update_id} for one, _ in taken])
        rows = [
            {
                "of_update": one.update_id,
                "changed_at": by.now,
                "next_try_at": by.next_try_at,
                "lease_owner": by.owner,
                "lease_until": by.lease_until,
            }
            for one, by in taken
        ]
        await tx.execute(_TAKE_UPDATE, rows)
        await tx.execute(_NEW_DOWNLOADS, {"ids": [one.update_id for one, _ in taken], "of_block": block_size})
    return [one for one, _ in taken]


async def due_again(tx: Tx, owner: str, now: datetime, limit: int) -> list[DueUpdate]:
    """Return updates under way whose next try is due, ours or of a Core whose lease is over."""
    found = await tx.execute(_AGAIN, {"owner": owner, "now": now, "most": limit})
    return [DueUpdate(*row) for row in found]


async def is_any_put_off(tx: Tx, late: datetime) -> bool:
    """Report whether the next try of an update under way is later than ``late``."""
    query = sa.select(update.c.update_id).where(update.c.status == "in_flight", update.c.next_try_at > late).limit(1)
    return (await tx.execute(query)).first() is not None


async def try_now(tx: Tx, late: datetime, now: datetime) -> None:
    """Make due now the updates under way whose next try is later than ``late``, whichever Core drives them."""
    put_off = sa.and_(update.c.status == "in_flight", update.c.next_try_at > late)
    await tx.execute(update.update().where(put_off).values(next_try_at=now))


async def active_updates(tx: Tx, owner: str, vins: Collection[str], now: datetime) -> list[DueUpdate]:
    """Return the updates under way of these vehicles, ours or of a Core whose lease is over."""
    found = await tx.execute(_ACTIVE, {"vins": list(vins), "owner": owner, "now": now})
    return [DueUpdate(*row) for row in found]


async def renew(tx: Tx, due: DueUpdate, by: Lease, *, counted: bool) -> bool:
    """Renew or take over the lease of an update under way; return whether it is still open."""
    result = await tx.execute(
        update.update()
        .where(
            update.c.update_id == due.update_id,
            update.c.status == "in_flight",
            sa.or_(update.c.lease_owner == by.owner, update.c.lease_until < by.now),
        )
        .values(
            attempts=update.c.attempts + (1 if counted else 0),
            next_try_at=by.next_try_at,
            lease_owner=by.owner,
            lease_until=by.lease_until,
        )
    )
    return result.rowcount == 1


async def read_announcements(tx: Tx, update_ids: Sequence[UUID]) -> list[Announcement]:
    """Read what the vehicles of these updates are notified of: the downloads, prerequisites first."""
    ids = {"ids": list(update_ids)}
    downloads = defaultdict[UUID, list[Download]](list)
    for row in await tx.execute(_ANNOUNCED_DOWNLOADS, ids):
        package_id = PackageId(name=row.package_name, version=row.package_version)
        one = Download(download_index=row.download_index, package=package_id, size=row.size, sha256=row.sha256)
        downloads[row.update_id].append(one)
    announcements = []
    for row in await tx.execute(_ANNOUNCED_UPDATES, ids):
        available = UpdateAvailable(
            update_id=str(row.update_id),
            epoch=row.epoch,
            downloads=downloads[row.update_id],
            description=row.description or "",
            request_confirmation=bool(row.request_confirmation),
        )
        announcements.append(Announcement(row.vin, available, row.end_at))
    return announcements


async def starting_vins(tx: Tx, after: datetime, now: datetime, limit: int) -> list[str]:
    """Return vehicles for which an interval has begun since ``after``."""
    return list((await tx.execute(_STARTING, {"after": after, "now": now, "most": limit})).scalars())


async def waiting_vins(tx: Tx, now: datetime, limit: int) -> list[str]:
    """Return connected vehicles that have a due update and none under way: a wake-up may have been missed."""
    query = (
        sa.select(vehicle.c.vin)
        .where(
            vehicle.c.connected.is_(sa.true()),
            vehicle.c.active_update.is_(None),
            sa.exists().where(update.c.vin == vehicle.c.vin, _IS_CURRENT),
        )
        .limit(limit)
    )
    return list((await tx.execute(query, {"now": now})).scalars())


async def is_any_over(tx: Tx, now: datetime) -> bool:
    """Report whether the interval of any unclosed request is over."""
    return (await tx.execute(_ANY_OVER, {"now": now})).first() is not None


async def expired_updates(tx: Tx, now: datetime, limit: int) -> list[UUID]:
    """Return open updates whose request's interval is over."""
    return list((await tx.execute(_EXPIRED, {"now": now, "most": limit})).scalars())


async def close_requests(tx: Tx, now: datetime, limit: int) -> None:
    """Close requests whose interval has been over for a while, so that they are not searched for open updates again.

    By then every transaction that queued or retried just before the end has committed, or is still preparing.
    """
    is_prepared = sa.exists().where(preparation.c.request_id == install_request.c.id)
    query = (
        sa.select(install_request.c.id, install_request.c.position)
        .where(install_request.c.closed_at.is_(None), install_request.c.end_at <= now - CLOSED_AFTER)
        .where(~is_prepared, ~sa.exists().where(_IS_OPEN_PART))
        .limit(limit)
    )
    found = [{"of_id": row.id, "of_position": row.position, "closed_at": now} for row in await tx.execute(query)]
    if found:
        await tx.execute(_CLOSE, found)
