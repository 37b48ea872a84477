"""SQL of filters and their packages (B6-3, -4, -5, -8, -9, -10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from sota.boundaries.b3_web_resolver.messages import Filter
from sota.boundaries.b6_resolver_database import rows
from sota.boundaries.binding.decorators import calls
from sota.boundaries.store_insert import insert_record
from sota.boundaries.store_result import StoreResult
from sota.kit.sql.database import Tx
from sota.kit.sql.statements import AnySelect
from sota.resolver import tables
from sota.resolver.dependencies.store import package_id_of
from sota.resolver.sql import batches
from sota.resolver.tables import package, package_filter

_NAMED = sa.select(tables.filter.c.name, tables.filter.c.expression)


def _filter_id(name: str) -> AnySelect:
    return sa.select(tables.filter.c.id).where(tables.filter.c.name == name)


async def _read(tx: Tx, query: AnySelect) -> list[Filter]:
    return [Filter(name=row.name, expression=row.expression) for row in await tx.execute(query)]


@calls("WL-B6-3")
async def insert_filter(tx: Tx, name: str, expression: str, now: datetime) -> StoreResult[int]:
    """Insert a new filter: ``success`` or ``exists``."""
    new = tables.filter.insert().values(name=name, expression=expression, created_at=now)
    return await insert_record(tx, rows.NEW_FILTER, new)


@calls("WL-B6-4")
async def insert_association(tx: Tx, name: str, version: str, filter_name: str) -> StoreResult[int]:
    """Attach a filter to a package: ``success``, ``exists``, ``filter_missing`` or ``package_missing``."""
    # Locked, so that neither is deleted before the association exists.
    filter_id = (await tx.execute(_filter_id(filter_name).with_for_update(read=True))).scalar_one_or_none()
    if filter_id is None:
        return StoreResult.of(rows.NEW_ASSOCIATION, "filter_missing")
    package_id = (await tx.execute(package_id_of(name, version).with_for_update(read=True))).scalar_one_or_none()
    if package_id is None:
        return StoreResult.of(rows.NEW_ASSOCIATION, "package_missing")
    new = package_filter.insert().values(package_id=package_id, filter_id=filter_id)
    return await insert_record(tx, rows.NEW_ASSOCIATION, new)


async def delete_association(tx: Tx, name: str, version: str, filter_name: str) -> bool:
    """Detach a filter from a package; return whether the package had it."""
    this = package_filter.delete().where(
        package_filter.c.package_id == package_id_of(name, version).scalar_subquery(),
        package_filter.c.filter_id == _filter_id(filter_name).scalar_subquery(),
    )
    return bool((await tx.execute(this)).rowcount)


@calls("WL-B6-5")
async def find_package_filters(tx: Tx, name: str, version: str) -> StoreResult[list[Filter]]:
    """Look up a package's filters: ``found`` or ``missing``."""
    query = (
        _NAMED.join(package_filter, package_filter.c.filter_id == tables.filter.c.id)
        .join(package, package.c.id == package_filter.c.package_id)
        .where(package.c.name == name, package.c.version == version)
        .order_by(tables.filter.c.name)
    )
    return StoreResult.found(rows.FIND_PACKAGE_FILTERS, await _read(tx, query))


async def find_targets(tx: Tx, name: str) -> dict[str, list[Filter]]:
    """Find the packages that have a filter, each with all its filters."""
    own = package_filter.alias("own")
    query = (
        sa.select(package.c.name, package.c.version, tables.filter.c.name.label("filter"), tables.filter.c.expression)
        .select_from(own)
        .join(package, package.c.id == own.c.package_id)
        .join(package_filter, package_filter.c.package_id == package.c.id)
        .join(tables.filter, tables.filter.c.id == package_filter.c.filter_id)
        .where(own.c.filter_id == _filter_id(name).scalar_subquery())
        .order_by(package.c.name, package.c.version, tables.filter.c.name)
    )
    found: dict[str, list[Filter]] = {}
    for row in await tx.execute(query):
        one = Filter(name=row.filter, expression=row.expression)
        found.setdefault(f"{row.name}/{row.version}", []).append(one)
    return found


async def lock_filter(tx: Tx, name: str) -> None:
    """Lock a filter against being attached until the transaction ends."""
    await tx.execute(_filter_id(name).with_for_update())


@calls("WL-B6-8")
async def list_filters(tx: Tx, after: str | None, count: int) -> StoreResult[list[Filter]]:
    """Read the next filters by name: ``found`` or ``missing``."""
    query = _NAMED.order_by(tables.filter.c.name).limit(count)
    if after is not None:
        query = query.where(tables.filter.c.name > after)
    return StoreResult.found(rows.SEARCH_FILTERS, await _read(tx, query))


@calls("WL-B6-8")
async def find_filters(tx: Tx, names: Sequence[str]) -> StoreResult[list[Filter]]:
    """Look up filters by name: ``found`` (those that exist) or ``missing``."""
    found: list[Filter] = []
    for some in batches(sorted(set(names))):
        found += await _read(tx, _NAMED.where(tables.filter.c.name.in_(some)).order_by(tables.filter.c.name))
    return StoreResult.found(rows.SEARCH_FILTERS, found)


@calls("WL-B6-9")
async def update_filters(tx: Tx, expressions: Mapping[str, str]) -> StoreResult[int]:
    """Change the expressions of filters: ``updated`` with their number, or ``missing``."""
    count = 0
    for name, expression in sorted(expressions.items()):
        # Found first: MariaDB counts only changed rows, and an unchanged expression does not mean a missing filter.
        known = (await tx.execute(_filter_id(name).with_for_update())).scalar_one_or_none()
        if known is not None:
            await tx.execute(tables.filter.update().where(tables.filter.c.id == known).values(expression=expression))
            count += 1
    return StoreResult.of(rows.CHANGE_FILTERS, "updated" if count else "missing", count or None)


@calls("WL-B6-10")
async def delete_filters(tx: Tx, names: Sequence[str]) -> StoreResult[int]:
    """Delete filters with their associations: ``deleted`` with their number, or ``missing``."""
    count = 0
    for some in batches(sorted(set(names))):
        count += (await tx.execute(tables.filter.delete().where(tables.filter.c.name.in_(some)))).rowcount
    return StoreResult.of(rows.DELETE_FILTERS, "deleted" if count else "missing", count or None)
