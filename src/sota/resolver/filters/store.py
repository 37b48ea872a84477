"""SQL of filters and their packages (B6-3, -4, -5, -8, -9, -10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from sota.boundaries.b6_resolver_database import rows
from sota.boundaries.binding.decorators import calls
from sota.kit.sql.database import Tx
from sota.resolver import tables
from sota.resolver.results import StoreResult
from sota.resolver.sql import batches
from sota.resolver.tables import package, package_filter


@dataclass(frozen=True, slots=True)
class StoredFilter:
    """A stored filter; its expression was valid when it was written."""

    name: str
    expression: str


@calls("WL-B6-3")
async def insert_filter(tx: Tx, name: str, expression: str, now: datetime) -> StoreResult[None]:
    """Insert a new filter: ``success`` or ``exists``."""
    try:
        await tx.execute(tables.filter.insert().values(name=name, expression=expression, created_at=now))
    except IntegrityError:
        return StoreResult.of(rows.NEW_FILTER, "exists")
    return StoreResult.of(rows.NEW_FILTER, "success")


@calls("WL-B6-4")
async def insert_association(tx: Tx, name: str, version: str, filter_name: str) -> StoreResult[None]:
    """Attach a filter to a package: ``success``, ``exists``, ``filter_missing`` or ``package_missing``."""
    # Locked, so that neither is deleted before the association exists.
    find_filter = sa.select(tables.filter.c.id).where(tables.filter.c.name == filter_name)
    filter_id = (await tx.execute(find_filter.with_for_update(read=True))).scalar_one_or_none()
    if filter_id is None:
        return StoreResult.of(rows.NEW_ASSOCIATION, "filter_missing")
    find_package = sa.select(package.c.id).where(package.c.name == name, package.c.version == version)
    package_id = (await tx.execute(find_package.with_for_update(read=True))).scalar_one_or_none()
    if package_id is None:
        return StoreResult.of(rows.NEW_ASSOCIATION, "package_missing")
    try:
        await tx.execute(package_filter.insert().values(package_id=package_id, filter_id=filter_id))
    except IntegrityError:
        return StoreResult.of(rows.NEW_ASSOCIATION, "exists")
    return StoreResult.of(rows.NEW_ASSOCIATION, "success")


async def delete_association(tx: Tx, name: str, version: str, filter_name: str) -> bool:
    """Detach a filter from a package; return whether the package had it."""
    find_package = sa.select(package.c.id).where(package.c.name == name, package.c.version == version)
    find_filter = sa.select(tables.filter.c.id).where(tables.filter.c.name == filter_name)
    this = package_filter.delete().where(
        package_filter.c.package_id == find_package.scalar_subquery(),
        package_filter.c.filter_id == find_filter.scalar_subquery(),
    )
    return bool((await tx.execute(this)).rowcount)


@calls("WL-B6-5")
async def find_package_filters(tx: Tx, name: str, version: str) -> StoreResult[list[StoredFilter]]:
    """Look up a package's filters: ``found`` or ``missing``."""
    query = (
        sa.select(tables.filter.c.name, tables.filter.c.expression)
        .join(package_filter, package_filter.c.filter_id == tables.filter.c.id)
        .join(package, package.c.id == package_filter.c.package_id)
        .where(package.c.name == name, package.c.version == version)
        .order_by(tables.filter.c.name)
    )
    found = [StoredFilter(row.name, row.expression) for row in await tx.execute(query)]
    if not found:
        return StoreResult.of(rows.FIND_PACKAGE_FILTERS, "missing")
    return StoreResult.of(rows.FIND_PACKAGE_FILTERS, "found", found)


async def find_targets(tx: Tx, name: str) -> dict[str, list[StoredFilter]]:
    """Find the packages that have a filter, each with all its filters."""
    own = package_filter.alias("own")
    query = (
        sa.select(package.c.name, package.c.version, tables.filter.c.name.label("filter"), tables.filter.c.expression)
        .select_from(own)
        .join(package, package.c.id == own.c.package_id)
        .join(package_filter, package_filter.c.package_id == package.c.id)
        .join(tables.filter, tables.filter.c.id == package_filter.c.filter_id)
        .where(own.c.filter_id == sa.select(tables.filter.c.id).where(tables.filter.c.name == name).scalar_subquery())
        .order_by(package.c.name, package.c.version, tables.filter.c.name)
    )
    found: dict[str, list[StoredFilter]] = {}
    for row in await tx.execute(query):
        found.setdefault(f"{row.name}/{row.version}", []).append(StoredFilter(row.filter, row.expression))
    return found


async def lock_filter(tx: Tx, name: str) -> None:
    """Lock a filter against being attached until the transaction ends."""
    await tx.execute(sa.select(tables.filter.c.id).where(tables.filter.c.name == name).with_for_update())


@calls("WL-B6-8")
async def list_filters(tx: Tx, after: str | None, count: int) -> StoreResult[list[StoredFilter]]:
    """Read the next filters by name: ``found`` or ``missing``."""
    query = sa.select(tables.filter.c.name, tables.filter.c.expression).order_by(tables.filter.c.name).limit(count)
    if after is not None:
        query = query.where(tables.filter.c.name > after)
    found = [StoredFilter(row.name, row.expression) for row in await tx.execute(query)]
    if not found:
        return StoreResult.of(rows.SEARCH_FILTERS, "missing")
    return StoreResult.of(rows.SEARCH_FILTERS, "found", found)


@calls("WL-B6-8")
async def find_filters(tx: Tx, names: Sequence[str]) -> StoreResult[list[StoredFilter]]:
    """Look up filters by name: ``found`` (those that exist) or ``missing``."""
    found: list[StoredFilter] = []
    for some in batches(sorted(set(names))):
        query = sa.select(tables.filter.c.name, tables.filter.c.expression).where(tables.filter.c.name.in_(some))
        found += [StoredFilter(row.name, row.expression) for row in await tx.execute(query)]
    if not found:
        return StoreResult.of(rows.SEARCH_FILTERS, "missing")
    return StoreResult.of(rows.SEARCH_FILTERS, "found", sorted(found, key=lambda one: one.name))


@calls("WL-B6-9")
async def update_filters(tx: Tx, expressions: Mapping[str, str]) -> StoreResult[int]:
    """Change the expressions of filters: ``updated`` with their number, or ``missing``."""
    count = 0
    for name, expression in sorted(expressions.items()):
        # Found first: MariaDB counts only changed rows, and an unchanged expression does not mean a missing filter.
        is_known = sa.select(tables.filter.c.id).where(tables.filter.c.name == name).with_for_update()
        known = (await tx.execute(is_known)).scalar_one_or_none()
        if known is not None:
            await tx.execute(tables.filter.update().where(tables.filter.c.id == known).values(expression=expression))
            count += 1
    if not count:
        return StoreResult.of(rows.CHANGE_FILTERS, "missing")
    return StoreResult.of(rows.CHANGE_FILTERS, "updated", count)


@calls("WL-B6-10")
async def delete_filters(tx: Tx, names: Sequence[str]) -> StoreResult[int]:
    """Delete filters with their associations: ``deleted`` with their number, or ``missing``."""
    count = 0
    for some in batches(sorted(set(names))):
        count += (await tx.execute(tables.filter.delete().where(tables.filter.c.name.in_(some)))).rowcount
    if not count:
        return StoreResult.of(rows.DELETE_FILTERS, "missing")
    return StoreResult.of(rows.DELETE_FILTERS, "deleted", count)
