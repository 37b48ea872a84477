"""SQL of components (B4-9, -10)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sota.boundaries.b4_core_database import rows
from sota.boundaries.binding.decorators import calls
from sota.boundaries.store_result import StoreResult
from sota.core.components.model import Component
from sota.core.tables import component
from sota.kit.sql.database import Tx
from sota.kit.sql.insert import insert_new
from sota.kit.sql.statements import AnyRow


def to_component(row: AnyRow) -> Component:
    """Read a row."""
    return Component(row.part_number, row.name, row.description, row.created_at)


@calls("WL-B4-9")
async def insert_component(tx: Tx, new: Component) -> StoreResult[None]:
    """Insert a new component: ``success`` or ``exists``."""
    values = {column.name: getattr(new, column.name) for column in component.columns}
    try:
        await tx.execute(component.insert().values(values))
    except IntegrityError:
        return StoreResult.of(rows.NEW_COMPONENT, "exists")
    return StoreResult.of(rows.NEW_COMPONENT, "success")


@calls("WL-B4-10")
async def list_components(tx: Tx, after: str | None, count: int) -> StoreResult[list[Component]]:
    """Read the next components by part number: ``found`` or ``missing``."""
    query = sa.select(component).order_by(component.c.part_number).limit(count)
    if after is not None:
        query = query.where(component.c.part_number > after)
    found = [to_component(row) for row in await tx.execute(query)]
    return StoreResult.of(rows.SEARCH_COMPONENTS, "found" if found else "missing", found)


@calls("WL-B4-10")
async def find_components(tx: Tx, part_numbers: Collection[str]) -> StoreResult[list[Component]]:
    """Look components up by part number: ``found`` or ``missing``."""
    query = sa.select(component).where(component.c.part_number.in_(list(part_numbers)))
    found = [to_component(row) for row in await tx.execute(query.order_by(component.c.part_number))]
    return StoreResult.of(rows.SEARCH_COMPONENTS, "found" if found else "missing", found)


async def add_components(tx: Tx, part_numbers: Collection[str], now: datetime) -> set[str]:
    """Register new part numbers; return them. Two streams may insert the same ones at the same time."""
    known: set[str] = set()
    for start in range(0, len(part_numbers), 500):
        chunk = sorted(part_numbers)[start : start + 500]
        known |= {
            row.part_number
            for row in await tx.execute(sa.select(component.c.part_number).where(component.c.part_number.in_(chunk)))
        }
    new = set(part_numbers) - known
    rows = [{"part_number": number, "description": "", "created_at": now} for number in sorted(new)]
    await insert_new(tx, component, rows)
    return new
