"""SQL of packages (B4-2, -3, -8)."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa

from sota.boundaries.b4_core_database import rows
from sota.boundaries.binding.decorators import calls
from sota.boundaries.store_insert import insert_record
from sota.boundaries.store_result import StoreResult
from sota.core.packages.model import Package
from sota.core.requests.model import OPEN
from sota.core.requests.set_store import IS_ITS_SET
from sota.core.tables import installed_package, package, package_set, update
from sota.kit.sql.database import Tx
from sota.kit.sql.statements import AnyRow

# Frequent statements are built once: building one takes longer than executing it.
_ONE = sa.select(package).where(
    package.c.name == sa.bindparam("one_name"), package.c.version == sa.bindparam("one_version")
)


def to_package(row: AnyRow) -> Package:
    """Read a row."""
    return Package(**row._mapping)


@calls("WL-B4-2")
async def insert_package(tx: Tx, new: Package) -> StoreResult[str]:
    """Insert new package data: ``success`` or ``exists``."""
    values = {column.name: getattr(new, column.name) for column in package.columns}
    return await insert_record(tx, rows.NEW_PACKAGE, package.insert().values(values))


@calls("WL-B4-3")
async def find_package(tx: Tx, name: str, version: str) -> StoreResult[Package]:
    """Look a Package ID up: ``found`` or ``missing``."""
    row = (await tx.execute(_ONE, {"one_name": name, "one_version": version})).one_or_none()
    return StoreResult.found(rows.FIND_PACKAGE, to_package(row) if row is not None else None)


async def lock_package(tx: Tx, name: str, version: str) -> Package | None:
    """Look a Package ID up, and lock it against being queued until the transaction ends."""
    query = sa.select(package).where(package.c.name == name, package.c.version == version).with_for_update()
    row = (await tx.execute(query)).one_or_none()
    return to_package(row) if row is not None else None


async def delete_package(tx: Tx, name: str, version: str) -> None:
    """Delete a package's data."""
    await tx.execute(package.delete().where(package.c.name == name, package.c.version == version))


async def find_open_update(tx: Tx, name: str, version: str) -> UUID | None:
    """Find an unfinished update that needs the package, directly or as a prerequisite."""
    query = (
        sa.select(update.c.update_id)
        .select_from(package_set)
        .join(update, sa.and_(IS_ITS_SET, update.c.superseded_by.is_(None)))
        .where(
            update.c.status.in_(OPEN),
            package_set.c.package_name == name,
            package_set.c.package_version == version,
        )
    )
    found: UUID | None = (await tx.execute(query.limit(1))).scalar_one_or_none()
    return found


async def find_packages(
    tx: Tx, keys: Collection[tuple[str, str]], *, kept: bool = False
) -> dict[tuple[str, str], Package]:
    """Look several Package IDs up; those that are not registered are left out.

    ``kept`` locks them against deletion and blacklisting until the transaction ends.
    """
    found: dict[tuple[str, str], Package] = {}
    wanted = sorted(keys)
    for start in range(0, len(wanted), 200):
        chunk = wanted[start : start + 200]
        query = sa.select(package).where(sa.tuple_(package.c.name, package.c.version).in_(chunk))
        if kept:
            query = query.with_for_update(read=True)
        for row in await tx.execute(query):
            found[row.name, row.version] = to_package(row)
    return found


async def list_packages(tx: Tx, after: tuple[str, str] | None, count: int) -> list[Package]:
    """Read the next packages by name and version."""
    query = sa.select(package).order_by(package.c.name, package.c.version).limit(count)
    if after is not None:
        name, version = after
        query = query.where(sa.or_(package.c.name > name, sa.and_(package.c.name == name, package.c.version > version)))
    return [to_package(row) for row in await tx.execute(query)]


@calls("WL-B4-8")
async def find_vins(tx: Tx, name: str, version: str, after: str | None, count: int) -> StoreResult[list[str]]:
    """Look up the next VINs that have a package installed: ``found`` or ``none_installed``."""
    table = installed_package
    query = sa.select(table.c.vin).where(table.c.name == name, table.c.version == version)
    if after is not None:
        query = query.where(table.c.vin > after)
    vins = list((await tx.execute(query.order_by(table.c.vin).limit(count))).scalars())
    return StoreResult.of(rows.FIND_PACKAGE_VINS, "found" if vins else "none_installed", vins)
