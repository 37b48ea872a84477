"""SQL of epochs: which life of a vehicle this register knows, and the highest download index of either side.

A vehicle's message about a download is accepted only with the vehicle's current epoch. So an epoch is renewed whenever
this database may know less than the vehicle: the VIN is registered again, the database was restored from a backup, or
the vehicle names an unknown update.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from sota.core.tables import vehicle
from sota.core.vehicles.model import new_epoch
from sota.kit.sql.database import Tx


async def renew_epochs(tx: Tx) -> int:
    """Renew every vehicle's epoch, after the database was restored from a backup; return how many there are."""
    return (await tx.execute(vehicle.update().values(epoch=new_epoch()))).rowcount


async def renew_epochs_of(tx: Tx, vins: Collection[str]) -> None:
    """Renew the epochs of these vehicles."""
    if vins:
        await tx.execute(vehicle.update().where(vehicle.c.vin.in_(list(vins))).values(epoch=new_epoch()))


async def raise_highest_index(tx: Tx, vin: str, index: int) -> None:
    """Note an index that the vehicle has seen: new downloads get higher ones."""
    is_lower = sa.and_(vehicle.c.vin == vin, vehicle.c.highest_index < index)
    await tx.execute(vehicle.update().where(is_lower).values(highest_index=index))
