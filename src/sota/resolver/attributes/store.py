"""SQL of attributes. Each distinct name and value is in a dictionary once, as packages are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from sota.kit.sql.database import Tx
from sota.kit.sql.insert import insert_new
from sota.resolver.changes import store as change_store
from sota.resolver.changes.model import Changes, Kind
from sota.resolver.facts import store as fact_store
from sota.resolver.sql import batches
from sota.resolver.tables import attribute, vehicle, vehicle_attribute

Pair = tuple[str, str]


async def find_attributes(tx: Tx, vin: str) -> dict[str, str] | None:
    """Return a vehicle's attributes by name; None if the VIN is not registered."""
    known = (await tx.execute(sa.select(vehicle.c.id).where(vehicle.c.vin == vin))).scalar_one_or_none()
    if known is None:
        return None
    query = (
        sa.select(attribute.c.name, attribute.c.value)
        .join(vehicle_attribute, vehicle_attribute.c.attribute_id == attribute.c.id)
        .where(vehicle_attribute.c.vehicle_id == known)
        .order_by(attribute.c.name)
    )
    return {row.name: row.value for row in await tx.execute(query)}


async def replace_attributes(tx: Tx, vin: str, attributes: Mapping[str, str]) -> bool:
    """Replace a vehicle's attributes; return False if the VIN is not registered."""
    row_id = (await fact_store.find_vehicles(tx, [vin])).get(vin)
    if row_id is None:
        return False
    numbers = await _number(tx, sorted(attributes.items()))
    fleet = Changes()
    new = [(row_id, number) for number in numbers.values()]
    await fact_store.write_links(tx, fleet, Kind.ATTRIBUTE, exact=[row_id], gone=[], new=new)
    await change_store.append(tx, fleet)
    return True


async def unknown_names(tx: Tx, names: Sequence[str]) -> set[str]:
    """Return those of the names that no vehicle has."""
    found: set[str] = set()
    for some in batches(sorted(set(names))):
        query = sa.select(attribute.c.name).distinct().where(attribute.c.name.in_(some))
        found |= {row.name for row in await tx.execute(query)}
    return set(names) - found


async def _number(tx: Tx, pairs: Sequence[Pair]) -> dict[Pair, int]:
    found = await _find(tx, pairs)
    missing = [pair for pair in pairs if pair not in found]
    if missing:
        await insert_new(tx, attribute, [{"name": name, "value": value} for name, value in missing])
        found |= await _find(tx, missing)
    return found


async def _find(tx: Tx, pairs: Sequence[Pair]) -> dict[Pair, int]:
    found: dict[Pair, int] = {}
    for some in batches(pairs):
        keys = sa.tuple_(attribute.c.name, attribute.c.value).in_(some)
        query = sa.select(attribute.c.id, attribute.c.name, attribute.c.value).where(keys)
        found |= {(row.name, row.value): row.id for row in await tx.execute(query)}
    return found
