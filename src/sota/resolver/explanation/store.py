"""SQL of explanations: everything that a filter can test of one vehicle."""

from __future__ import annotations

from sota.kit.sql.database import Tx
from sota.resolver.changes.model import Kind
from sota.resolver.language.evaluation import Vehicle
from sota.resolver.things import find_vehicle, read_things


async def load_vehicle(tx: Tx, vin: str) -> Vehicle | None:
    """Read everything about a vehicle; None if the VIN is not registered."""
    row_id = await find_vehicle(tx, vin)
    if row_id is None:
        return None
    return Vehicle(
        vin,
        frozenset((name, version) for name, version in await read_things(tx, Kind.PACKAGE, row_id)),
        frozenset(part_number for (part_number,) in await read_things(tx, Kind.COMPONENT, row_id)),
        frozenset((name, value) for name, value in await read_things(tx, Kind.ATTRIBUTE, row_id)),
        frozenset(group for (group,) in await read_things(tx, Kind.GROUP, row_id)),
    )
