"""SQL of epochs: which life of a vehicle this register knows, and the highest download index of either side.

What a vehicle says of a download counts only with the epoch that the vehicle has now. So an epoch is renewed whenever
this database may know less than the vehicle was told: the VIN is registered again, the database comes from a backup,
or the vehicle names an update that is not here.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from sota.core.tables import vehicle
from sota.core.vehicles.model import new_epoch
from sota.kit.sql.database import Tx


async def renew_epochs(tx: Tx) -> int:
    """Give every vehicle a new epoch, after the database was restored from a backup; says how many there are."""
    return (await tx.execute(vehicle.update().values(epoch=new_epoch()))).rowcount


async def renew_epochs_of(tx: Tx, vins: Collection[str]) -> None:
    """Give these vehicles a new epoch."""
    if vins:
        await tx.execute(vehicle.update().where(vehicle.c.vin.in_(list(vins))).values(epoch=new_epoch()))


async def raise_highest_index(tx: Tx, vin: str, index: int) -> None:
    """Note an index that the vehicle has had: new downloads get higher ones."""
    is_lower = sa.and_(vehicle.c.vin == vin, vehicle.c.highest_index < index)
    await tx.execute(vehicle.update().where(is_lower).values(highest_index=index))
