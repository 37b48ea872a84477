"""What the Web Server uses to call SOTA Core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sota.boundaries.audit import AuditRecord, AuditVerdict
from sota.boundaries.b2_web_core import queue_rows, rows
from sota.boundaries.b2_web_core.identity_client import IdentityClient
from sota.boundaries.b2_web_core.messages import (
    CampaignCreated,
    Component,
    NewCampaign,
    NewPackage,
    NewVehicle,
    PackageFile,
    Queued,
    QueueRequest,
)
from sota.boundaries.b2_web_core.queue_client import QueueClient
from sota.boundaries.b2_web_core.register_client import RegisterClient
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import Page
from sota.boundaries.values import PackageId, Said

# A request for a million vehicles is answered when all of it is written.
QUEUEING_S = 115.0


class CoreClient(RegisterClient, QueueClient, IdentityClient):
    """SOTA Core, as the Web Server sees it. ``key`` makes a registration safe to repeat."""

    @calls("WL-B2-1", "WL-B2-8")
    async def new_package(self, package: NewPackage, *, key: str | None = None) -> Said:
        """Register a package whose file is in the repository."""
        return await self._caller.call(rows.NEW_PACKAGE, body=package, key=key)

    @calls("WL-B2-2")
    async def new_vehicle(self, vehicle: NewVehicle, *, key: str | None = None) -> Said:
        """Register a vehicle."""
        return await self._caller.call(rows.NEW_VIN, body=vehicle, key=key)

    @calls("WL-B2-3")
    async def new_campaign(self, campaign: NewCampaign, *, key: str | None = None) -> CampaignCreated:
        """Create a campaign and queue its package."""
        return await self._caller.call(rows.NEW_CAMPAIGN, body=campaign, key=key, timeout_s=QUEUEING_S)

    @calls("WL-B2-4")
    async def queue_package(self, request: QueueRequest, *, key: str | None = None) -> Queued:
        """Queue a package for the vehicles that its filters choose."""
        return await self._caller.call(rows.QUEUE_PACKAGE, body=request, key=key, timeout_s=QUEUEING_S)

    @calls("WL-B2-5")
    async def queue_packages(self, requests: Sequence[QueueRequest], *, key: str | None = None) -> Queued:
        """Queue several packages under one Install Request ID, all or none."""
        return await self._caller.call(rows.QUEUE_PACKAGES, body=list(requests), key=key, timeout_s=QUEUEING_S)

    @calls("X-B2-7")
    async def new_component(self, component: Component, *, key: str | None = None) -> Said:
        """Register a component."""
        return await self._caller.call(rows.NEW_COMPONENT, body=component, key=key)

    @calls("WL-B2-12")
    async def component(self, part_number: str) -> Component:
        """Give one component's data."""
        return await self._caller.call(rows.COMPONENT, {"part_number": part_number})

    @calls("X-B2-8")
    async def package_file(self, package: PackageId) -> PackageFile:
        """Say where a package's file lies."""
        path = {"name": package.name, "version": package.version}
        return await self._caller.call(rows.PACKAGE_FILE, path)

    @calls("X-B2-9")
    async def delete_package(self, package: PackageId, file: str, *, key: str | None = None) -> Said:
        """Delete a package whose file is this one."""
        path = {"name": package.name, "version": package.version}
        return await self._caller.call(rows.DELETE_PACKAGE, path, query={"file": file}, key=key)

    @calls("X-B2-48")
    async def wait_for_resolver(self) -> None:
        """Return when the Resolver knows what Core had acknowledged when this was called.

        Raises:
            Unavailable: it does not soon.
        """
        await self._caller.call(queue_rows.RESOLVER_FOLLOWS)

    @calls("X-B2-46")
    async def audit(self, query: dict[str, Any]) -> Page[AuditRecord]:
        """List records of its audit trail, newest first; ``query`` is as :data:`sota.boundaries.audit.QUERY` says."""
        return await self._caller.page(queue_rows.AUDIT, query=query)

    @calls("X-B2-47")
    async def verify_audit(self) -> AuditVerdict:
        """Check the chain of its audit records."""
        return await self._caller.call(queue_rows.VERIFY_AUDIT)
