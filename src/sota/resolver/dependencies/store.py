"""SQL of dependencies: declared ones, the whole graph, and those within one vehicle (B6-7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sota.boundaries.b6_resolver_database import rows
from sota.boundaries.binding.decorators import calls
from sota.boundaries.store_result import StoreResult
from sota.kit.sql.database import Tx
from sota.kit.sql.statements import AnySelect
from sota.resolver.dependencies.model import DependencyGraph, Minimum, Package
from sota.resolver.tables import installed_package, package, package_dependency, software
from sota.resolver.things import find_vehicle


@dataclass(frozen=True, slots=True)
class VehicleDependencies:
    """A vehicle's installed packages, and the dependencies among them."""

    installed: frozenset[Package]
    needs: dict[Package, tuple[Minimum, ...]]


async def insert_dependencies(tx: Tx, package_id: int, needs: Sequence[Minimum]) -> None:
    """Insert a package's dependencies."""
    if needs:
        values = [{"package_id": package_id, "name": need.name, "minimum": need.version} for need in needs]
        await tx.execute(package_dependency.insert(), values)


async def replace_dependencies(tx: Tx, package_id: int, needs: Sequence[Minimum]) -> None:
    """Replace a package's dependencies."""
    await tx.execute(package_dependency.delete().where(package_dependency.c.package_id == package_id))
    await insert_dependencies(tx, package_id, needs)


def package_id_of(name: str, version: str) -> AnySelect:
    """Select the row's id of a registered package."""
    return sa.select(package.c.id).where(package.c.name == name, package.c.version == version)


async def find_package(tx: Tx, wanted: Package) -> int | None:
    """Look a registered package up; return its row's id."""
    found: int | None = (await tx.execute(package_id_of(*wanted))).scalar_one_or_none()
    return found


async def lock_graph(tx: Tx) -> None:
    """Lock the graph against other declarations until the transaction ends: the first package's row is the lock."""
    await tx.execute(sa.select(package.c.id).order_by(package.c.id).limit(1).with_for_update())


async def load_graph(tx: Tx) -> DependencyGraph:
    """Read all registered packages and their dependencies."""
    query = (
        sa.select(
            package.c.name, package.c.version, package_dependency.c.name.label("needed"), package_dependency.c.minimum
        )
        .select_from(package.outerjoin(package_dependency, package_dependency.c.package_id == package.c.id))
        .order_by(package.c.id, package_dependency.c.name)
    )
    needs: dict[Package, list[Minimum]] = {}
    for row in await tx.execute(query):
        of_one = needs.setdefault(Package(row.name, row.version), [])
        if row.needed is not None:
            of_one.append(Minimum(row.needed, row.minimum))
    return DependencyGraph(needs)


@calls("WL-B6-7")
async def find_vehicle_dependencies(tx: Tx, vin: str) -> StoreResult[VehicleDependencies]:
    """Look up a VIN's installed packages and the dependencies among them: ``found`` or ``missing``."""
    row_id = await find_vehicle(tx, vin)
    if row_id is None:
        return StoreResult.of(rows.FIND_VIN_DEPENDENCIES, "missing")
    is_same = sa.and_(package.c.name == software.c.name, package.c.version == software.c.version)
    query = (
        sa.select(
            software.c.name, software.c.version, package_dependency.c.name.label("needed"), package_dependency.c.minimum
        )
        .select_from(
            installed_package.join(software, software.c.id == installed_package.c.software_id)
            .outerjoin(package, is_same)
            .outerjoin(package_dependency, package_dependency.c.package_id == package.c.id)
        )
        .where(installed_package.c.vehicle_id == row_id)
        .order_by(software.c.name, software.c.version, package_dependency.c.name)
    )
    needs: dict[Package, tuple[Minimum, ...]] = {}
    for row in await tx.execute(query):
        one = Package(row.name, row.version)
        needs[one] = needs.get(one, ()) + ((Minimum(row.needed, row.minimum),) if row.needed is not None else ())
    found = VehicleDependencies(frozenset(needs), {one: of_one for one, of_one in needs.items() if of_one})
    return StoreResult.of(rows.FIND_VIN_DEPENDENCIES, "found", found)
