"""SQL of retired vehicles: their packages, and a history under another name."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from sota.core.tables import download, installed_package, operation_result, update, vehicle, vehicle_component
from sota.kit.sql.database import Tx


async def retire(tx: Tx, vin: str, now: datetime) -> None:
    """Mark a vehicle as retired, and delete its packages."""
    is_it = vehicle.c.vin == vin
    await tx.execute(installed_package.delete().where(installed_package.c.vin == vin))
    await tx.execute(vehicle_component.delete().where(vehicle_component.c.vin == vin))
    await tx.execute(vehicle.update().where(is_it).values(connected=False, data_plan=None))
    await tx.execute(vehicle.update().where(is_it, vehicle.c.retired_at.is_(None)).values(retired_at=now))


async def rename(tx: Tx, vin: str, name: str) -> None:
    """Move a vehicle's history to another name, and delete everything under its own.

    Installers' own texts are dropped: they may contain a VIN.
    """
    row = (await tx.execute(sa.select(vehicle).where(vehicle.c.vin == vin))).one()
    kept = {**row._mapping, "vin": name, "active_update": None, "last_seen_at": None}
    await tx.execute(vehicle.insert().values(kept))
    await tx.execute(update.update().where(update.c.vin == vin).values(vin=name, result_text=None))
    # The results refer to the downloads' keys: the downloads are copied, the results moved, and the old ones deleted.
    columns = [column for column in download.columns if column.name != "vin"]
    copies = sa.select(sa.literal(name, download.c.vin.type), *columns).where(download.c.vin == vin)
    await tx.execute(download.insert().from_select(["vin", *(column.name for column in columns)], copies))
    await tx.execute(operation_result.update().where(operation_result.c.vin == vin).values(vin=name, result_text=""))
    await tx.execute(download.delete().where(download.c.vin == vin))
    await tx.execute(vehicle.delete().where(vehicle.c.vin == vin))
