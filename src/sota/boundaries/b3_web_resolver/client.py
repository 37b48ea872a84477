"""What the Web Server uses to call the External Resolver."""

from __future__ import annotations

from typing import Any

from sota.boundaries.audit import AuditRecord, AuditVerdict
from sota.boundaries.b3_web_resolver import rows
from sota.boundaries.b3_web_resolver.fleet_client import FleetClient
from sota.boundaries.b3_web_resolver.messages import (
    Association,
    ComponentToResolve,
    Filter,
    FilterChange,
    PackageToResolve,
    Resolved,
    ResolveRequest,
    VehicleToResolve,
)
from sota.boundaries.b3_web_resolver.resolution_client import ResolutionClient
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import Page
from sota.boundaries.values import PackageId, Said


class ResolverClient(FleetClient, ResolutionClient):
    """The External Resolver, as the Web Server sees it. ``key`` makes a registration safe to repeat."""

    @calls("WL-B3-1")
    async def new_package(self, package: PackageToResolve, *, key: str | None = None) -> Said:
        """Register a package and its dependencies."""
        return await self._caller.call(rows.NEW_PACKAGE, body=package, key=key)

    @calls("WL-B3-2")
    async def new_vehicle(self, vehicle: VehicleToResolve, *, key: str | None = None) -> Said:
        """Register a vehicle."""
        return await self._caller.call(rows.NEW_VIN, body=vehicle, key=key)

    @calls("WL-B3-3")
    async def associate(self, package: PackageId, filter_name: str) -> Said:
        """Associate a filter with a package."""
        path = {"name": package.name, "version": package.version}
        return await self._caller.call(rows.NEW_ASSOCIATION, path, body=Association(filter=filter_name))

    @calls("WL-B3-4")
    async def new_filter(self, new: Filter) -> Said:
        """Create a filter."""
        return await self._caller.call(rows.NEW_FILTER, body=new)

    @calls("WL-B3-5")
    async def resolve(self, package: PackageId) -> list[Resolved]:
        """Give the vehicles that a package is for, each with what it must get."""
        return await self._caller.call(rows.RESOLVE, body=ResolveRequest(package=package))

    @calls("WL-B3-6")
    async def search_filters(self, regex: str, *, limit: int | None = None, cursor: str | None = None) -> Page[Filter]:
        """List the filters whose name matches."""
        return await self._caller.page(rows.SEARCH_FILTERS, query={"regex": regex, "limit": limit, "cursor": cursor})

    @calls("WL-B3-7")
    async def list_filters(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Filter]:
        """List the available filters."""
        return await self._caller.page(rows.LIST_FILTERS, query={"limit": limit, "cursor": cursor})

    @calls("WL-B3-8")
    async def update_filter(
        self, name: str, expression: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Filter]:
        """Change a filter's expression; return a page of the available filters."""
        return await self._caller.page(
            rows.UPDATE_FILTER,
            {"name": name},
            query={"limit": limit, "cursor": cursor},
            body=FilterChange(expression=expression),
        )

    @calls("WL-B3-9")
    async def delete_filter(
        self, name: str, *, widen: bool = False, limit: int | None = None, cursor: str | None = None
    ) -> Page[Filter]:
        """Delete a filter and its associations; return a page of the available filters.

        ``widen``: although packages then go to more vehicles.
        """
        query = {"widen": "true" if widen else None, "limit": limit, "cursor": cursor}
        return await self._caller.page(rows.DELETE_FILTER, {"name": name}, query=query)

    @calls("X-B3-2")
    async def new_component(self, component: ComponentToResolve, *, key: str | None = None) -> Said:
        """Register a component."""
        return await self._caller.call(rows.NEW_COMPONENT, body=component, key=key)

    @calls("X-B3-3")
    async def delete_package(self, package: PackageId, *, key: str | None = None) -> Said:
        """Delete a package, its dependencies and its associations with filters."""
        path = {"name": package.name, "version": package.version}
        return await self._caller.call(rows.DELETE_PACKAGE, path, key=key)

    @calls("X-B3-4")
    async def delete_vehicle(self, vin: str, *, key: str | None = None) -> Said:
        """Delete a vehicle and what is known of it."""
        return await self._caller.call(rows.DELETE_VEHICLE, {"vin": vin}, key=key)

    @calls("X-B3-30")
    async def audit(self, query: dict[str, Any]) -> Page[AuditRecord]:
        """List records of its audit trail, newest first; ``query`` is as :data:`sota.boundaries.audit.QUERY` says."""
        return await self._caller.page(rows.AUDIT, query=query)

    @calls("X-B3-31")
    async def verify_audit(self) -> AuditVerdict:
        """Check the chain of its audit records."""
        return await self._caller.call(rows.VERIFY_AUDIT)
