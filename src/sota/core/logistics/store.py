"""SQL of provisioning: many vehicles in a few statements."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

import sqlalchemy as sa

from sota.core.logistics.model import Known
from sota.core.tables import vehicle, vehicle_component
from sota.core.vehicles.store import change_links, read_components, read_installed, write_installed
from sota.kit.sql.database import Tx


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


async def write_changes(tx: Tx, before: Mapping[str, Known], after: Mapping[str, Known], now: datetime) -> None:
    """Write the components, packages and data plans of vehicles; new ones are missing in ``before``."""
    gone = [(vin, one) for vin, known in before.items() for one in known.components - after[vin].components]
    new = [
        {"vin": vin, "part_number": number}
        for vin, known in after.items()
        for number in sorted(known.components - before.get(vin, Known()).components)
    ]
    await change_links(tx, vehicle_component, gone, new)
    had, has = ({vin: known.packages for vin, known in state.items()} for state in (before, after))
    await write_installed(tx, had, has, now)
    by_plan: dict[str | None, list[str]] = {}
    for vin, known in before.items():
        if known.data_plan != after[vin].data_plan:
            by_plan.setdefault(after[vin].data_plan, []).append(vin)
    for plan, vins in by_plan.items():
        await tx.execute(vehicle.update().where(vehicle.c.vin.in_(vins)).values(data_plan=plan))
