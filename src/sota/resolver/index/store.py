"""SQL of the scan: the dictionaries, and a slice of the fleet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

import sqlalchemy as sa

from sota.kit.db import Tx
from sota.resolver.dependencies.model import Package
from sota.resolver.index.evaluator import Dictionary
from sota.resolver.tables import component, installed_component, installed_package, software, vehicle

MAX_LISTED = 1_000
"""Up to so many numbers are listed in a statement; for more, everything is read and chosen from here."""


async def load_dictionary(tx: Tx) -> Dictionary:
    """Read every distinct package and component of the fleet."""
    packages = await tx.execute(sa.select(software.c.id, software.c.name, software.c.version))
    by_number = {row.id: Package(row.name, row.version) for row in packages}
    components = await tx.execute(sa.select(component.c.id, component.c.part_number))
    return Dictionary(by_number, {row.id: row.part_number for row in components})


async def load_vehicles(tx: Tx, after: int, count: int) -> list[tuple[int, str]]:
    """Read the next vehicles by row id."""
    query = sa.select(vehicle.c.id, vehicle.c.vin).where(vehicle.c.id > after).order_by(vehicle.c.id).limit(count)
    return [(row.id, row.vin) for row in await tx.execute(query)]


async def load_packages(tx: Tx, first: int, last: int, wanted: Collection[int]) -> dict[int, frozenset[int]]:
    """Read which of the wanted packages the vehicles of a range have."""
    return await _load(tx, installed_package.c.vehicle_id, installed_package.c.software_id, (first, last), wanted)


async def load_components(tx: Tx, first: int, last: int, wanted: Collection[int]) -> dict[int, frozenset[int]]:
    """Read which of the wanted components the vehicles of a range have."""
    return await _load(tx, installed_component.c.vehicle_id, installed_component.c.component_id, (first, last), wanted)


async def _load(
    tx: Tx, owner: sa.Column[int], number: sa.Column[int], span: tuple[int, int], wanted: Collection[int]
) -> dict[int, frozenset[int]]:
    if not wanted:
        return {}
    query = sa.select(owner, number).where(owner.between(*span))
    if len(wanted) <= MAX_LISTED:
        query = query.where(number.in_(sorted(wanted)))
    found: dict[int, set[int]] = defaultdict(set)
    for row_id, value in await tx.execute(query):
        if value in wanted:
            found[row_id].add(value)
    return {row_id: frozenset(values) for row_id, values in found.items()}
