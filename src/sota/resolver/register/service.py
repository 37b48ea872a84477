"""Use cases of the registers: a new vehicle, package or component."""

from __future__ import annotations

from sota.boundaries.b3_web_resolver.messages import ComponentToResolve, PackageToResolve
from sota.kit.errors import NotFound, Refused
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Tx
from sota.resolver.dependencies import service as dependency_service
from sota.resolver.dependencies import store as dependency_store
from sota.resolver.dependencies.model import Minimum, Package
from sota.resolver.register import store


async def register_vehicle(tx: Tx, vin: str, clock: Clock) -> None:
    """Register a VIN.

    Raises:
        Refused: ``vin_exists``.
    """
    if (await store.insert_vehicle(tx, vin, clock.now())).outcome == "exists":
        raise Refused("vin_exists", f"The VIN {vin} is registered already.")


async def register_package(tx: Tx, new: PackageToResolve, clock: Clock) -> None:
    """Register a package with its dependencies.

    They may be registered later; until then no vehicle without them gets the package.

    Raises:
        Refused: ``package_exists``.
        Invalid: too many dependencies, a duplicate, or a cycle.
    """
    package = Package(new.name, new.version)
    needs = [Minimum(need.name, need.version) for need in new.dependencies]
    inserted = await store.insert_package(tx, new, clock.now())
    if inserted.data is None:
        raise Refused("package_exists", f"The package {package.text} is registered already.")
    if needs:  # a package without dependencies closes no cycle
        await dependency_store.lock_graph(tx)
        graph = (await dependency_store.load_graph(tx)).with_package(package, needs)
        dependency_service.check(graph, package, needs)
    await dependency_store.insert_dependencies(tx, inserted.data, needs)


async def register_component(tx: Tx, new: ComponentToResolve) -> None:
    """Register a component.

    Raises:
        Refused: ``component_exists``.
    """
    if not await store.register_component(tx, new):
        raise Refused("component_exists", f"The component {new.part_number} is registered already.")


async def delete_package(tx: Tx, name: str, version: str) -> None:
    """Delete a package with its dependencies and associations.

    Other packages may depend on it: they wait, as for one that is not registered yet.

    Raises:
        NotFound: it is not registered.
    """
    if not await store.delete_package(tx, name, version):
        raise NotFound(f"The package {name}/{version} is not registered.")


async def delete_vehicle(tx: Tx, vin: str) -> None:
    """Delete a vehicle and its data.

    Raises:
        NotFound: it is not registered.
    """
    if not await store.delete_vehicle(tx, vin):
        raise NotFound(f"The VIN {vin} is not registered.")
