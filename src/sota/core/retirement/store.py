"""SQL of vehicles that go: what is in them, and a history that changes its name."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from sota.core.tables import download, installed_package, operation_result, update, vehicle, vehicle_component
from sota.kit.sql.database import Tx


async def lock_vehicle(tx: Tx, vin: str) -> bool:
    """Let nothing be queued for a vehicle until the transaction ends; says whether it is there."""
    query = sa.select(vehicle.c.vin).where(vehicle.c.vin == vin).with_for_update()
    return (await tx.execute(query)).one_or_none() is not None


async def retire(tx: Tx, vin: str, now: datetime) -> None:
    """Mark a vehicle as retired, and forget what is in it."""
    is_it = vehicle.c.vin == vin
    await tx.execute(installed_package.delete().where(installed_package.c.vin == vin))
    await tx.execute(vehicle_component.delete().where(vehicle_component.c.vin == vin))
    await tx.execute(vehicle.update().where(is_it).values(connected=False, data_plan=None))
    await tx.execute(vehicle.update().where(is_it, vehicle.c.retired_at.is_(None)).values(retired_at=now))


async def rename(tx: Tx, vin: str, name: str) -> None:
    """Keep a vehicle's history under another name, and nothing under its own.

    Installers' own words are dropped: a VIN may stand in them.
    """
    row = (await tx.execute(sa.select(vehicle).where(vehicle.c.vin == vin))).one()
    kept = {**row._mapping, "vin": name, "active_update": None, "last_seen_at": None}
    await tx.execute(vehicle.insert().values(kept))
    await tx.execute(update.update().where(update.c.vin == vin).values(vin=name, result_text=None))
    # The results hang on the downloads' keys: the downloads are copied, the results moved, and the old ones go.
    columns = [column for column in download.columns if column.name != "vin"]
    copies = sa.select(sa.literal(name, download.c.vin.type), *columns).where(download.c.vin == vin)
    await tx.execute(download.insert().from_select(["vin", *(column.name for column in columns)], copies))
    await tx.execute(operation_result.update().where(operation_result.c.vin == vin).values(vin=name, result_text=""))
    await tx.execute(download.delete().where(download.c.vin == vin))
    await tx.execute(vehicle.delete().where(vehicle.c.vin == vin))
