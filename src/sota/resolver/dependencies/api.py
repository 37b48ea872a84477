"""Routes of a package's dependencies (EXT-RESOLV-DEPS-API-1 to -3)."""

from __future__ import annotations

from collections.abc import Iterable

from sota.boundaries.b3_web_resolver.queries import DependencyQuery, DropQuery
from sota.boundaries.b3_web_resolver.resolution_messages import Dependency
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.parameters import PackagePath
from sota.boundaries.values import PackageId
from sota.kit.sql.database import Database
from sota.resolver.dependencies import service
from sota.resolver.dependencies.model import Minimum, Package, to_package_id
from sota.resolver.dependencies.service import Edge


class DependenciesApi:
    """Reads and writes the graph for the Web Server."""

    def __init__(self, db: Database) -> None:
        self.db = db

    @serves("X-B3-14")
    async def edges(self, call: Call[PackagePath, DependencyQuery, None]) -> Reply:
        """Return what a package needs, or with ``recursive=true`` its whole graph as edges."""
        async with self.db.read() as tx:
            edges = await service.list_edges(tx, _package(call.path), recursive=call.query.recursive)
        return Reply("listed" if edges else "empty", to_wire(edges))

    @serves("X-B3-15")
    async def declare(self, call: Call[PackagePath, None, list[PackageId]]) -> Reply:
        """Replace a package's dependencies."""
        needs = [Minimum(need.name, need.version) for need in call.body]
        edges = await self.db.transact(lambda tx: service.declare(tx, _package(call.path), needs))
        return Reply("declared", to_wire(edges))

    @serves("X-B3-16")
    async def drop(self, call: Call[PackagePath, DropQuery, None]) -> Reply:
        """Delete one need of a package, or all."""
        edges = await self.db.transact(lambda tx: service.drop(tx, _package(call.path), call.query.needs))
        return Reply("dropped", to_wire(edges))


def to_wire(edges: Iterable[Edge]) -> list[Dependency]:
    """Format edges for B3."""
    return [Dependency(package=to_package_id(package), needs=to_package_id(need)) for package, need in edges]


def _package(path: PackagePath) -> Package:
    return Package(path.name, path.version)
