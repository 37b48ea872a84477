"""SQL of explanations: everything that a filter can test of one vehicle."""

from __future__ import annotations

import sqlalchemy as sa

from sota.kit.sql.database import Tx
from sota.resolver.language.evaluation import Vehicle
from sota.resolver.tables import (
    attribute,
    component,
    group_member,
    installed_component,
    installed_package,
    software,
    vehicle,
    vehicle_attribute,
    vehicle_group,
)


async def load_vehicle(tx: Tx, vin: str) -> Vehicle | None:
    """Read everything about a vehicle; None if the VIN is not registered."""
    row_id = (await tx.execute(sa.select(vehicle.c.id).where(vehicle.c.vin == vin))).scalar_one_or_none()
    if row_id is None:
        return None
    packages = sa.select(software.c.name, software.c.version).join(
        installed_package, installed_package.c.software_id == software.c.id
    )
    components = sa.select(component.c.part_number).join(
        installed_component, installed_component.c.component_id == component.c.id
    )
    attributes = sa.select(attribute.c.name, attribute.c.value).join(
        vehicle_attribute, vehicle_attribute.c.attribute_id == attribute.c.id
    )
    groups = sa.select(vehicle_group.c.name).join(group_member, group_member.c.group_id == vehicle_group.c.id)
    return Vehicle(
        vin,
        frozenset(
            (row.name, row.version)
            for row in await tx.execute(packages.where(installed_package.c.vehicle_id == row_id))
        ),
        frozenset(
            row.part_number for row in await tx.execute(components.where(installed_component.c.vehicle_id == row_id))
        ),
        frozenset(
            (row.name, row.value)
            for row in await tx.execute(attributes.where(vehicle_attribute.c.vehicle_id == row_id))
        ),
        frozenset(row.name for row in await tx.execute(groups.where(group_member.c.vehicle_id == row_id))),
    )
