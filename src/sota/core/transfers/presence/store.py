"""SQL of epochs: what Core knows of a vehicle's present epoch."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa

from sota.core.tables import download, update, vehicle
from sota.core.transfers.model import DownloadState
from sota.core.transfers.presence.model import Life
from sota.kit.sql.database import Tx


async def read_life(tx: Tx, vin: str) -> Life | None:
    """Read a vehicle's present epoch and indexes; None where it is not registered, or retired."""
    of_vehicle = download.c.vin == vehicle.c.vin
    answered = sa.and_(of_vehicle, download.c.state != DownloadState.PENDING.value)
    query = sa.select(
        vehicle.c.epoch,
        vehicle.c.highest_index,
        sa.select(sa.func.max(download.c.download_index)).where(of_vehicle).scalar_subquery().label("given"),
        sa.select(sa.func.max(download.c.download_index)).where(answered).scalar_subquery().label("answered"),
    ).where(vehicle.c.vin == vin, vehicle.c.retired_at.is_(None))
    row = (await tx.execute(query)).one_or_none()
    if row is None:
        return None
    return Life(vin, row.epoch, max(row.highest_index, row.given or 0), row.answered or 0)


async def read_epochs(tx: Tx, vins: Collection[str]) -> dict[str, str]:
    """Read the epochs of vehicles."""
    query = sa.select(vehicle.c.vin, vehicle.c.epoch).where(vehicle.c.vin.in_(list(vins)))
    return {row.vin: row.epoch for row in await tx.execute(query)}


async def lock_life(tx: Tx, vin: str) -> Life | None:
    """Read the same and lock it until the transaction ends."""
    await tx.execute(sa.select(vehicle.c.vin).where(vehicle.c.vin == vin).with_for_update())
    return await read_life(tx, vin)


async def has_update(tx: Tx, vin: str, update_id: UUID) -> bool:
    """Report whether an update of this vehicle is known."""
    query = sa.select(update.c.update_id).where(update.c.update_id == update_id, update.c.vin == vin)
    return (await tx.execute(query)).first() is not None
