"""What the Web Server uses to call the External Resolver."""

from __future__ import annotations

from sota.boundaries.audit import AuditQuery, AuditRecord, AuditVerdict
from sota.boundaries.b3_web_resolver import messages, rows
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import BoundaryClient, Page
from sota.boundaries.values import MessageOnly, PackageId


class ResolverClient(BoundaryClient):
    """The External Resolver, as the Web Server sees it. ``key`` makes a registration safe to repeat."""

    @calls("WL-B3-1")
    async def new_package(self, package: messages.PackageToResolve, *, key: str | None = None) -> MessageOnly:
        """Register a package and its dependencies."""
        return await self.caller.call(rows.NEW_PACKAGE, body=package, key=key)

    @calls("WL-B3-2")
    async def new_vehicle(self, vehicle: messages.VehicleToResolve, *, key: str | None = None) -> MessageOnly:
        """Register a vehicle."""
        return await self.caller.call(rows.NEW_VIN, body=vehicle, key=key)

    @calls("WL-B3-5")
    async def resolve(self, package: PackageId) -> list[messages.Resolved]:
        """Return the vehicles that a package is for, each with what it must get."""
        return await self.caller.call(rows.RESOLVE, body=messages.ResolveRequest(package=package))

    @calls("X-B3-2")
    async def new_component(self, component: messages.ComponentToResolve, *, key: str | None = None) -> MessageOnly:
        """Register a component."""
        return await self.caller.call(rows.NEW_COMPONENT, body=component, key=key)

    @calls("X-B3-3")
    async def delete_package(self, package: PackageId, *, key: str | None = None) -> MessageOnly:
        """Delete a package, its dependencies and its associations with filters."""
        return await self.caller.call(rows.DELETE_PACKAGE, package, key=key)

    @calls("X-B3-4")
    async def delete_vehicle(self, vin: str, *, key: str | None = None) -> MessageOnly:
        """Delete a vehicle and what is known of it."""
        return await self.caller.call(rows.DELETE_VEHICLE, {"vin": vin}, key=key)

    @calls("X-B3-30")
    async def audit(self, query: AuditQuery) -> Page[AuditRecord]:
        """List records of its audit trail, newest first."""
        return await self.caller.page(rows.AUDIT, query=query)

    @calls("X-B3-31")
    async def verify_audit(self) -> AuditVerdict:
        """Check the chain of its audit records."""
        return await self.caller.call(rows.VERIFY_AUDIT)
