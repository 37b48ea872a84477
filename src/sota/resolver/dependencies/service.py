"""Use cases of dependencies after the registration: read, replace, delete.

Declarations are serialised: two that are harmless alone could close a cycle together.
"""

from __future__ import annotations

from collections.abc import Sequence

from sota.kit.errors import Invalid, NotFound, Refused
from sota.kit.sql.database import Tx
from sota.resolver.dependencies import store
from sota.resolver.dependencies.model import DependencyGraph, Minimum, Package, check_declaration

Edge = tuple[Package, Minimum]


async def list_edges(tx: Tx, package: Package, *, recursive: bool) -> list[Edge]:
    """Return a package's dependencies; with ``recursive`` also those of packages it may bring with it.

    Raises:
        Refused: ``package_missing``.
    """
    await require_package(tx, package)
    graph = await store.load_graph(tx)
    if not recursive:
        return _edges(graph, [package])
    return _edges(graph, sorted(graph.reachable(package), key=lambda one: (one != package, one)))


async def declare(tx: Tx, package: Package, needs: Sequence[Minimum]) -> list[Edge]:
    """Replace a package's dependencies.

    Raises:
        Refused: ``package_missing``.
        Invalid: too many, a duplicate, or a cycle.
    """
    await store.lock_graph(tx)
    package_id = await require_package(tx, package)
    graph = (await store.load_graph(tx)).with_package(package, needs)
    check(graph, package, needs)
    await store.replace_dependencies(tx, package_id, needs)
    return _edges(graph, [package])


async def drop(tx: Tx, package: Package, needed: str | None) -> list[Edge]:
    """Delete one dependency, or all; return those that are left.

    Raises:
        Refused: ``package_missing``.
        NotFound: the package has no such dependency.
    """
    await store.lock_graph(tx)
    package_id = await require_package(tx, package)
    needs = (await store.load_graph(tx)).needs_of(package)
    left = [need for need in needs if needed is not None and need.name != needed]
    if needed is not None and len(left) == len(needs):
        raise NotFound(f"{package.text} does not need {needed}.")
    await store.replace_dependencies(tx, package_id, left)
    return [(package, need) for need in left]


def check(graph: DependencyGraph, package: Package, needs: Sequence[Minimum]) -> None:
    """Check a declaration that ``graph`` already contains.

    Raises:
        Invalid: too many, a duplicate, or a cycle.
    """
    wrong = check_declaration(package, needs)
    if wrong is not None:
        raise Invalid(f"{wrong}.")
    cycle = graph.find_cycle(package)
    if cycle is not None:
        raise Invalid(f"The dependencies form a cycle: {' needs '.join(one.text for one in cycle)}.")


async def require_package(tx: Tx, package: Package) -> int:
    """Return the row's id of a registered package.

    Raises:
        Refused: ``package_missing``.
    """
    package_id = await store.find_package(tx, package)
    if package_id is None:
        raise Refused("package_missing", f"Package {package.text} is not registered: upload it first.")
    return package_id


def _edges(graph: DependencyGraph, packages: Sequence[Package]) -> list[Edge]:
    return [(package, need) for package in packages for need in sorted(graph.needs_of(package))]
