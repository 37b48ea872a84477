"""SQL of the registers (B6-1, -2, -6)."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sota.boundaries.b3_web_resolver.messages import ComponentToResolve, PackageToResolve
from sota.boundaries.b6_resolver_database import rows
from sota.boundaries.binding.decorators import calls
from sota.boundaries.store_insert import insert_record
from sota.boundaries.store_result import StoreResult
from sota.kit.sql.database import Tx
from sota.kit.sql.statements import AnyRow
from sota.resolver.changes import store as change_store
from sota.resolver.changes.model import Changes
from sota.resolver.tables import component, package, vehicle


@calls("WL-B6-1")
async def insert_vehicle(tx: Tx, vin: str, now: datetime) -> StoreResult[int]:
    """Insert a new VIN: ``success`` or ``exists``."""
    inserted = await insert_record(tx, rows.NEW_VIN, vehicle.insert().values(vin=vin, created_at=now))
    changes = Changes()
    if inserted.data is not None:
        changes.add_vehicle(inserted.data)
    await change_store.append(tx, changes)
    return inserted


@calls("WL-B6-2")
async def insert_package(tx: Tx, new: PackageToResolve, now: datetime) -> StoreResult[int]:
    """Insert a new package: ``success`` with its row's id, or ``exists``."""
    statement = package.insert().values(
        name=new.name, version=new.version, description=new.description, vendor=new.vendor, created_at=now
    )
    return await insert_record(tx, rows.NEW_PACKAGE, statement)


@calls("WL-B6-6")
async def find_vehicle(tx: Tx, vin: str) -> StoreResult[AnyRow]:
    """Look one VIN up: ``found`` with its row, or ``missing``."""
    query = sa.select(vehicle).where(vehicle.c.vin == vin)
    return StoreResult.found(rows.FIND_VIN, (await tx.execute(query)).one_or_none())


async def register_component(tx: Tx, new: ComponentToResolve) -> bool:
    """Register a component, whose row a vehicle's fact may have created; return False if it was registered."""
    values = {"registered": True, "name": new.name, "description": new.description}
    try:
        await tx.execute(component.insert().values(part_number=new.part_number, **values))
    except IntegrityError:
        is_waiting = sa.and_(component.c.part_number == new.part_number, component.c.registered.is_(sa.false()))
        return (await tx.execute(component.update().where(is_waiting).values(values))).rowcount == 1
    return True


async def delete_package(tx: Tx, name: str, version: str) -> bool:
    """Delete a package with its dependencies and associations; return False if there was none."""
    statement = package.delete().where(package.c.name == name, package.c.version == version)
    return (await tx.execute(statement)).rowcount == 1


async def delete_vehicle(tx: Tx, vin: str) -> bool:
    """Delete a vehicle with everything it has; return False if there was none."""
    found = (await tx.execute(sa.select(vehicle.c.id).where(vehicle.c.vin == vin).with_for_update())).one_or_none()
    if found is None:
        return False
    await tx.execute(vehicle.delete().where(vehicle.c.id == found.id))
    changes = Changes()
    changes.remove_vehicle(found.id)
    await change_store.append(tx, changes)
    return True
