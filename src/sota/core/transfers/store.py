"""SQL of downloads: what a transfer needs, its acknowledgements, and how it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from sota.boundaries.values import BEGUN, DownloadIdentity, EndedBy, PackageId
from sota.core import schedules
from sota.core.requests.model import OPEN
from sota.core.requests.set_store import IS_ITS_REQUEST
from sota.core.tables import download, install_request, package, update, vehicle
from sota.core.transfers.model import Download, DownloadRef, DownloadState
from sota.kit.ranges import Ranges
from sota.kit.sql import damaged_rows as damage
from sota.kit.sql.database import Tx
from sota.kit.sql.statements import AnyRow, AnySelect

IS_ITS_PACKAGE = sa.and_(package.c.name == download.c.package_name, package.c.version == download.c.package_version)
FINAL = (DownloadState.INSTALLED.value, DownloadState.FAILED.value)


@dataclass(frozen=True, slots=True)
class Ending:
    """How an update ends: its status, the reason, the installer's result, and who ended it."""

    status: str
    reason: str | None = None
    result_code: int | None = None
    result_text: str | None = None
    by: EndedBy = EndedBy.CORE


async def find_downloads(tx: Tx, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Download]:
    """Look several downloads up by VIN and index."""
    rows = await tx.execute(_SEVERAL, {"keys": list(keys)})
    return {(row.vin, row.download_index): _to_download(row) for row in rows}


async def find_transferring(tx: Tx, vins: Sequence[str]) -> list[Download]:
    """Look up the downloads of vehicles that have begun and not finished."""
    query = _downloads().where(
        download.c.vin.in_(list(vins)),
        download.c.state == DownloadState.TRANSFERRING.value,
        update.c.status == "in_flight",
    )
    return [_to_download(row) for row in await tx.execute(query)]


async def is_driven_by(tx: Tx, update_id: UUID, owner: str) -> bool:
    """Report whether a Core drives an update, and lock the update if it does."""
    query = sa.select(update.c.update_id).where(update.c.update_id == update_id, update.c.lease_owner == owner)
    return (await tx.execute(query.with_for_update())).first() is not None


async def open_downloads(tx: Tx, update_ids: Sequence[UUID]) -> list[DownloadRef]:
    """Read the downloads of updates that the vehicle knows and did not report."""
    query = (
        sa.select(download.c.vin, download.c.download_index, download.c.update_id, package)
        .join(package, IS_ITS_PACKAGE)
        .where(download.c.update_id.in_(list(update_ids)), download.c.state.not_in(FINAL))
    )
    return [DownloadRef(row.vin, row.download_index, to_identity(row)) for row in await tx.execute(query)]


def to_identity(row: AnyRow) -> DownloadIdentity:
    """Read the identity of a download from its ``update_id`` and the columns of its package."""
    package_id = PackageId(name=row.name, version=row.version)
    return DownloadIdentity(update_id=str(row.update_id), package=package_id, sha256=row.sha256)


_IDS: sa.BindParameter[Sequence[UUID]] = sa.bindparam("ids", expanding=True)
_OF_STATUS = (
    sa.select(update.c.update_id, update.c.vin, update.c.stage)
    .where(update.c.update_id.in_(_IDS), update.c.status.in_(sa.bindparam("statuses", expanding=True)))
    .with_for_update()
)
# Only an update under way has a stage and a lease. The other columns are those that an execution names.
_END = update.update().where(update.c.update_id.in_(_IDS)).values(stage=None, lease_owner=None, lease_until=None)
# By VIN, because there is no index of active updates: otherwise every vehicle is read, and locked on MariaDB.
_FREE = (
    vehicle.update()
    .where(vehicle.c.vin.in_(sa.bindparam("vins", expanding=True)), vehicle.c.active_update.in_(_IDS))
    .values(active_update=None)
)


async def end_updates(
    tx: Tx,
    update_ids: Sequence[UUID],
    ending: Ending,
    now: datetime,
    *,
    of: Sequence[str] = OPEN,
    spare_begun: bool = False,
) -> list[UUID]:
    """End those updates that are still open, free their vehicles, and return the ended ones.

    An update that is not installed is unscheduled at the node. ``of``: end only updates in these states.
    ``spare_begun``: do not end updates that are being installed: only their vehicle can.
    """
    found = (await tx.execute(_OF_STATUS, {"ids": list(update_ids), "statuses": list(of)})).all()
    if spare_begun:
        found = [row for row in found if row.stage not in BEGUN]
    ended = [row.update_id for row in found]
    if not ended:
        return []
    await tx.execute(
        _END,
        {
            "ids": ended,
            "status": ending.status,
            "reason": ending.reason,
            "result_code": ending.result_code,
            "result_text": ending.result_text,
            "ended_by": ending.by.value,
            "changed_at": now,
            "completed_at": now,
        },
    )
    if tuple(of) != ("pending",):  # a pending update does not occupy its vehicle
        await tx.execute(_FREE, {"ids": ended, "vins": sorted({row.vin for row in found})})
    if ending.status != "installed":
        await tx.execute(
            download.update()
            .where(download.c.update_id.in_(ended), download.c.state.not_in(FINAL))
            .values(state=DownloadState.FAILED.value, reason=ending.reason)
        )
        await schedules.withdraw(tx, [(row.vin, row.update_id) for row in found], now)
    return ended


def _downloads() -> AnySelect:
    return (
        sa.select(
            *download.c["vin", "download_index", "update_id", "size", "block_size", "received", "state"],
            update.c.status.label("update_status"),
            update.c.request_id,
            update.c.ended_by,
            update.c.stage.label("update_stage"),
            vehicle.c.epoch,
            *install_request.c["command", "allow_downgrade"],
            *package.c["name", "version", "uri", "sha256", "sha1", "installer", "target", "signature"],
        )
        .join(update, update.c.update_id == download.c.update_id)
        .join(install_request, IS_ITS_REQUEST)
        .join(package, IS_ITS_PACKAGE)
        .join(vehicle, vehicle.c.vin == download.c.vin)
    )


# Built once: building a statement takes longer than executing it.
_SEVERAL = _downloads().where(
    sa.tuple_(download.c.vin, download.c.download_index).in_(sa.bindparam("keys", expanding=True))
)


def _to_download(row: AnyRow) -> Download:
    given = dict(row._mapping)
    package_key = given.pop("name"), given.pop("version")
    # A damaged one is none: the vehicle repeats what it has before anything is sent.
    given["received"] = damage.readable("download", row.update_id, lambda: Ranges.parse(row.received), Ranges())
    return Download(**{**given, "package": package_key, "state": DownloadState(row.state)})
