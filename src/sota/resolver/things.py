"""SQL of the things that vehicles have: where each kind is stored, what a vehicle has, and the things' numbers.

Each distinct thing is in a dictionary once, and vehicles are linked to its number there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sota.kit.sql.database import Tx
from sota.kit.sql.insert import insert_new
from sota.resolver import tables
from sota.resolver.changes.model import Kind, Texts
from sota.resolver.sql import batches
from sota.resolver.tables import vehicle


@dataclass(frozen=True, slots=True)
class Source:
    """Where links of a kind and the texts of its things are stored."""

    owner: sa.Column[int]
    thing: sa.Column[int]
    number: sa.Column[int]
    texts: tuple[sa.Column[str], ...]


def _source(links: sa.Table, thing: str, things: sa.Table, *texts: str) -> Source:
    return Source(links.c.vehicle_id, links.c[thing], things.c.id, tuple(things.c[text] for text in texts))


SOURCES = {
    Kind.PACKAGE: _source(tables.installed_package, "software_id", tables.software, "name", "version"),
    Kind.COMPONENT: _source(tables.installed_component, "component_id", tables.component, "part_number"),
    Kind.ATTRIBUTE: _source(tables.vehicle_attribute, "attribute_id", tables.attribute, "name", "value"),
    Kind.GROUP: _source(tables.group_member, "group_id", tables.vehicle_group, "name"),
}


async def find_vehicle(tx: Tx, vin: str) -> int | None:
    """Find the row of a VIN; None if it is not registered."""
    found: int | None = (await tx.execute(sa.select(vehicle.c.id).where(vehicle.c.vin == vin))).scalar_one_or_none()
    return found


async def read_things(tx: Tx, kind: Kind, row_id: int) -> list[Texts]:
    """Read the things of a kind that a vehicle has, in order."""
    source = SOURCES[kind]
    query = sa.select(*source.texts).join(source.owner.table, source.thing == source.number)
    found = await tx.execute(query.where(source.owner == row_id).order_by(*source.texts))
    return [tuple(row) for row in found]


async def number_things(tx: Tx, kind: Kind, wanted: Collection[Texts]) -> dict[Texts, int]:
    """Find the numbers of things, giving new ones a number."""
    found = await find_things(tx, kind, sorted(wanted))
    missing = sorted(one for one in wanted if one not in found)
    if missing:
        texts = SOURCES[kind].texts
        rows: list[dict[str, object]] = [
            {column.name: text for column, text in zip(texts, one, strict=True)} for one in missing
        ]
        await insert_new(tx, texts[0].table, rows)
        found |= await find_things(tx, kind, missing)
    return found


async def find_things(tx: Tx, kind: Kind, wanted: Sequence[Texts]) -> dict[Texts, int]:
    """Find the numbers of known things."""
    source = SOURCES[kind]
    found: dict[Texts, int] = {}
    for some in batches(wanted):
        if len(source.texts) == 1:
            is_one = source.texts[0].in_([text for (text,) in some])
        else:
            is_one = sa.tuple_(*source.texts).in_([tuple(one) for one in some])
        query = sa.select(source.number, *source.texts).where(is_one)
        if kind is Kind.COMPONENT:  # locked, so that no transaction retires it between here and the link to it
            query = query.with_for_update(read=True)
        found |= {tuple(row[1:]): row[0] for row in await tx.execute(query)}
    return found
