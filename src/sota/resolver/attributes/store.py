"""SQL of attributes. Each distinct name and value is in a dictionary once, as packages are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from sota.kit.sql.database import Tx
from sota.resolver.changes import store as change_store
from sota.resolver.changes.model import Changes, Kind
from sota.resolver.facts import store as fact_store
from sota.resolver.sql import batches
from sota.resolver.tables import attribute
from sota.resolver.things import find_vehicle, number_things, read_things


async def find_attributes(tx: Tx, vin: str) -> dict[str, str] | None:
    """Return a vehicle's attributes by name; None if the VIN is not registered."""
    row_id = await find_vehicle(tx, vin)
    if row_id is None:
        return None
    return {one[0]: one[1] for one in await read_things(tx, Kind.ATTRIBUTE, row_id)}


async def replace_attributes(tx: Tx, vin: str, attributes: Mapping[str, str]) -> bool:
    """Replace a vehicle's attributes; return False if the VIN is not registered."""
    row_id = (await fact_store.find_vehicles(tx, [vin])).get(vin)
    if row_id is None:
        return False
    numbers = await number_things(tx, Kind.ATTRIBUTE, attributes.items())
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
