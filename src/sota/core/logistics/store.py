"""SQL of provisioning: many vehicles in a few statements."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import sqlalchemy as sa

from sota.core.logistics.model import Known
from sota.core.tables import vehicle, vehicle_component
from sota.core.vehicles.store import read_components, read_installed
from sota.kit.sql.database import Tx
from sota.kit.sql.keys import not_alone


async def read_known(tx: Tx, vins: Collection[str]) -> dict[str, Known]:
    """Read and lock these vehicles; those that are not registered are left out."""
    query = sa.select(vehicle.c.vin, vehicle.c.data_plan).where(vehicle.c.vin.in_(list(vins)))
    plans = {row.vin: row.data_plan for row in await tx.execute(query.order_by(vehicle.c.vin).with_for_update())}
    if not plans:
        return {}
    components = await read_components(tx, plans)
    packages = await read_installed(tx, plans)
    return {vin: Known(components[vin], packages[vin], plan) for vin, plan in plans.items()}


async def insert_vehicles(tx: Tx, new: Mapping[str, Known], now: datetime) -> None:
    """Register vehicles."""
    rows = [{"vin": vin, "created_at": now, "data_plan": known.data_plan} for vin, known in new.items()]
    if rows:
        await tx.execute(vehicle.insert(), rows)


async def change_components(tx: Tx, added: Mapping[str, set[str]], removed: Mapping[str, set[str]]) -> None:
    """Add components to vehicles and remove them."""
    gone = [(vin, number) for vin, numbers in removed.items() for number in numbers]
    keys = sa.tuple_(vehicle_component.c.vin, vehicle_component.c.part_number)
    for start in range(0, len(gone), 200):
        await tx.execute(vehicle_component.delete().where(keys.in_(not_alone(gone[start : start + 200]))))
    new = [{"vin": vin, "part_number": number} for vin, numbers in added.items() for number in sorted(numbers)]
    if new:
        await tx.execute(vehicle_component.insert(), new)


async def change_plans(tx: Tx, plans: Mapping[str, str | None]) -> None:
    """Change vehicles' data plans."""
    by_plan: dict[str | None, list[str]] = {}
    for vin, plan in plans.items():
        by_plan.setdefault(plan, []).append(vin)
    for plan, vins in by_plan.items():
        await tx.execute(vehicle.update().where(vehicle.c.vin.in_(vins)).values(data_plan=plan))
