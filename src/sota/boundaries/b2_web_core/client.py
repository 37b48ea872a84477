"""What the Web Server uses to call SOTA Core."""

from __future__ import annotations

from sota.boundaries.audit import AuditQuery, AuditRecord, AuditVerdict
from sota.boundaries.b2_web_core import queue_rows, rows
from sota.boundaries.b2_web_core.messages import (
    Component,
    NewPackage,
    NewVehicle,
    PackageFile,
)
from sota.boundaries.b2_web_core.queries import DeletePackageQuery
from sota.boundaries.b2_web_core.queue_client import QueueClient
from sota.boundaries.b2_web_core.register_client import RegisterClient
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import Page
from sota.boundaries.values import MessageOnly, PackageId


class CoreClient(RegisterClient, QueueClient):
    """SOTA Core, as the Web Server sees it. ``key`` makes a registration safe to repeat."""

    @calls("WL-B2-1", "WL-B2-8")
    async def new_package(self, package: NewPackage, *, key: str | None = None) -> MessageOnly:
        """Register a package whose file is in the repository."""
        return await self.caller.call(rows.NEW_PACKAGE, body=package, key=key)

    @calls("WL-B2-2")
    async def new_vehicle(self, vehicle: NewVehicle, *, key: str | None = None) -> MessageOnly:
        """Register a vehicle."""
        return await self.caller.call(rows.NEW_VIN, body=vehicle, key=key)

    @calls("X-B2-7")
    async def new_component(self, component: Component, *, key: str | None = None) -> MessageOnly:
        """Register a component."""
        return await self.caller.call(rows.NEW_COMPONENT, body=component, key=key)

    @calls("WL-B2-12")
    async def component(self, part_number: str) -> Component:
        """Return one component's data."""
        return await self.caller.call(rows.COMPONENT, {"part_number": part_number})

    @calls("X-B2-8")
    async def package_file(self, package: PackageId) -> PackageFile:
        """Return where a package's file is stored."""
        return await self.caller.call(rows.PACKAGE_FILE, package)

    @calls("X-B2-9")
    async def delete_package(self, package: PackageId, file: str, *, key: str | None = None) -> MessageOnly:
        """Delete a package whose file is this one."""
        return await self.caller.call(rows.DELETE_PACKAGE, package, query=DeletePackageQuery(file), key=key)

    @calls("X-B2-48")
    async def wait_for_resolver(self) -> None:
        """Return when the Resolver knows what Core had acknowledged when this was called.

        Raises:
            Unavailable: it does not soon.
        """
        await self.caller.call(queue_rows.RESOLVER_FOLLOWS)

    @calls("X-B2-46")
    async def audit(self, query: AuditQuery) -> Page[AuditRecord]:
        """List records of its audit trail, newest first."""
        return await self.caller.page(queue_rows.AUDIT, query=query)

    @calls("X-B2-47")
    async def verify_audit(self) -> AuditVerdict:
        """Check the chain of its audit records."""
        return await self.caller.call(queue_rows.VERIFY_AUDIT)
