"""SQL of components (B4-9, -10)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from sota.boundaries.b2_web_core.messages import Component
from sota.boundaries.b4_core_database import rows
from sota.boundaries.binding.decorators import calls
from sota.boundaries.store_insert import insert_record
from sota.boundaries.store_result import StoreResult
from sota.core.tables import component
from sota.kit.sql.database import Tx
from sota.kit.sql.insert import insert_new
from sota.kit.sql.statements import AnySelect


@calls("WL-B4-9")
async def insert_component(tx: Tx, new: Component, now: datetime) -> StoreResult[str]:
    """Insert a new component: ``success`` or ``exists``."""
    values = {"part_number": new.part_number, "name": new.name, "description": new.description, "created_at": now}
    return await insert_record(tx, rows.NEW_COMPONENT, component.insert().values(values))


@calls("WL-B4-10")
async def list_components(tx: Tx, after: str | None, count: int) -> StoreResult[list[Component]]:
    """Read the next components by part number: ``found`` or ``missing``."""
    query = sa.select(component).limit(count)
    return await _read(tx, query if after is None else query.where(component.c.part_number > after))


@calls("WL-B4-10")
async def find_components(tx: Tx, part_numbers: Collection[str]) -> StoreResult[list[Component]]:
    """Look components up by part number: ``found`` or ``missing``."""
    return await _read(tx, sa.select(component).where(component.c.part_number.in_(list(part_numbers))))


async def _read(tx: Tx, query: AnySelect) -> StoreResult[list[Component]]:
    found = [
        Component(part_number=row.part_number, name=row.name, description=row.description)
        for row in await tx.execute(query.order_by(component.c.part_number))
    ]
    return StoreResult.found(rows.SEARCH_COMPONENTS, found)


async def add_components(tx: Tx, part_numbers: Collection[str], now: datetime) -> set[str]:
    """Register new part numbers; return them. Two streams may insert the same ones at the same time."""
    known: set[str] = set()
    for start in range(0, len(part_numbers), 500):
        chunk = sorted(part_numbers)[start : start + 500]
        query = sa.select(component.c.part_number).where(component.c.part_number.in_(chunk))
        known.update((await tx.execute(query)).scalars())
    new = set(part_numbers) - known
    rows = [{"part_number": number, "description": "", "created_at": now} for number in sorted(new)]
    await insert_new(tx, component, rows)
    return new
