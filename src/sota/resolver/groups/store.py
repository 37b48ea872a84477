"""SQL of groups and their members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from sota.kit.sql.database import Tx
from sota.kit.sql.insert import insert_new
from sota.resolver import tables
from sota.resolver.changes import store as change_store
from sota.resolver.changes.model import Changes, Kind
from sota.resolver.facts import store as fact_store
from sota.resolver.sql import batches
from sota.resolver.tables import group_member, vehicle, vehicle_group


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group, and its number of vehicles."""

    id: int
    name: str
    description: str
    vehicles: int


def _groups() -> sa.Select[tuple[int, str, str, int]]:
    is_its = group_member.c.group_id == vehicle_group.c.id
    members = sa.select(sa.func.count()).select_from(group_member).where(is_its).scalar_subquery()
    return sa.select(vehicle_group.c.id, vehicle_group.c.name, vehicle_group.c.description, members.label("vehicles"))


async def list_groups(tx: Tx, after: str | None, count: int) -> list[GroupRow]:
    """Read the next groups by name."""
    query = _groups().order_by(vehicle_group.c.name).limit(count)
    if after is not None:
        query = query.where(vehicle_group.c.name > after)
    return [GroupRow(row.id, row.name, row.description, row.vehicles) for row in await tx.execute(query)]


async def find_group(tx: Tx, name: str) -> GroupRow | None:
    """Look a group up."""
    row = (await tx.execute(_groups().where(vehicle_group.c.name == name))).one_or_none()
    return GroupRow(row.id, row.name, row.description, row.vehicles) if row is not None else None


async def keep_group(tx: Tx, name: str, description: str, now: datetime) -> None:
    """Create a group, or change its description."""
    await insert_new(tx, vehicle_group, [{"name": name, "description": description, "created_at": now}])
    await tx.execute(vehicle_group.update().where(vehicle_group.c.name == name).values(description=description))


async def find_groups(tx: Tx, names: Sequence[str], *, for_change: bool = False) -> dict[str, int]:
    """Return the rows of existing groups; ``for_change`` locks them until the transaction ends."""
    found: dict[str, int] = {}
    for some in batches(sorted(set(names))):
        query = sa.select(vehicle_group.c.name, vehicle_group.c.id).where(vehicle_group.c.name.in_(some))
        rows = await tx.execute(query.with_for_update() if for_change else query)
        found |= {row.name: row.id for row in rows}
    return found


async def find_expressions_with(tx: Tx, text: str) -> list[tuple[str, str]]:
    """Read the filters, name and expression, whose expression contains a text."""
    occurs = sa.func.instr(tables.filter.c.expression, text) > 0
    query = sa.select(tables.filter.c.name, tables.filter.c.expression).where(occurs).order_by(tables.filter.c.name)
    return [(row.name, row.expression) for row in await tx.execute(query)]


async def delete_group(tx: Tx, group_id: int) -> None:
    """Delete a group; its vehicles stay."""
    await tx.execute(vehicle_group.delete().where(vehicle_group.c.id == group_id))
    fleet = Changes()
    fleet.remove_thing(Kind.GROUP, group_id)
    await change_store.append(tx, fleet)


async def list_members(tx: Tx, group_id: int, after: str | None, count: int) -> list[str]:
    """Read the next VINs of a group in order."""
    query = sa.select(vehicle.c.vin).join(group_member, group_member.c.vehicle_id == vehicle.c.id)
    query = query.where(group_member.c.group_id == group_id).order_by(vehicle.c.vin).limit(count)
    if after is not None:
        query = query.where(vehicle.c.vin > after)
    return [row.vin for row in await tx.execute(query)]


async def change_members(tx: Tx, group_id: int, vins: Sequence[str], *, add: bool) -> tuple[int, list[str]]:
    """Add vehicles to a group or remove them; return how many changed, and the VINs that are not registered."""
    known = await fact_store.find_vehicles(tx, vins)
    present: set[int] = set()
    for some in batches(sorted(known.values())):
        is_its = sa.and_(group_member.c.group_id == group_id, group_member.c.vehicle_id.in_(some))
        present |= {row.vehicle_id for row in await tx.execute(sa.select(group_member.c.vehicle_id).where(is_its))}
    changed = [(row_id, group_id) for row_id in known.values() if (row_id in present) is not add]
    fleet = Changes()
    gone, new = ([], changed) if add else (changed, [])
    await fact_store.write_links(tx, fleet, Kind.GROUP, exact=[], gone=gone, new=new)
    await change_store.append(tx, fleet)
    return len(changed), sorted(set(vins) - known.keys())
