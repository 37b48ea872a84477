"""What the Web Server uses to call SOTA Core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sota.boundaries.audit import AuditRecord, AuditVerdict
from sota.boundaries.b2_web_core import queue_rows, rows
from sota.boundaries.b2_web_core.identity_client import IdentityClient
from sota.boundaries.b2_web_core.messages import (
    CampaignCreated,
    CompletedInstall,
    Component,
    InstallRequest,
    NewCampaign,
    NewPackage,
    NewVehicle,
    Package,
    PackageFile,
    Queued,
    QueueRequest,
    Update,
    Vehicle,
    VehicleDetail,
)
from sota.boundaries.b2_web_core.queue_client import QueueClient
from sota.boundaries.calling import Page
from sota.boundaries.interaction import calls
from sota.boundaries.values import InstalledPackage, PackageId, Said

# A request for a million vehicles is answered when all of it is written.
QUEUEING_S = 115.0


class CoreClient(QueueClient, IdentityClient):
    """SOTA Core, as the Web Server sees it. ``key`` makes a registration safe to repeat."""

    @calls("WL-B2-1", "WL-B2-8")
    async def new_package(self, package: NewPackage, *, key: str | None = None) -> Said:
        """Register a package whose file is in the repository."""
        said: Said = await self._caller.call(rows.NEW_PACKAGE, body=package, key=key)
        return said

    @calls("WL-B2-2")
    async def new_vehicle(self, vehicle: NewVehicle, *, key: str | None = None) -> Said:
        """Register a vehicle."""
        said: Said = await self._caller.call(rows.NEW_VIN, body=vehicle, key=key)
        return said

    @calls("WL-B2-3")
    async def new_campaign(self, campaign: NewCampaign, *, key: str | None = None) -> CampaignCreated:
        """Create a campaign and queue its package."""
        created: CampaignCreated = await self._caller.call(
            rows.NEW_CAMPAIGN, body=campaign, key=key, timeout_s=QUEUEING_S
        )
        return created

    @calls("WL-B2-4")
    async def queue_package(self, request: QueueRequest, *, key: str | None = None) -> Queued:
        """Queue a package for the vehicles that its filters choose."""
        queued: Queued = await self._caller.call(rows.QUEUE_PACKAGE, body=request, key=key, timeout_s=QUEUEING_S)
        return queued

    @calls("WL-B2-5")
    async def queue_packages(self, requests: Sequence[QueueRequest], *, key: str | None = None) -> Queued:
        """Queue several packages under one Install Request ID, all or none."""
        queued: Queued = await self._caller.call(
            rows.QUEUE_PACKAGES, body=list(requests), key=key, timeout_s=QUEUEING_S
        )
        return queued

    @calls("WL-B2-6")
    async def queued_requests(
        self,
        *,
        package: str | None = None,
        vin: str | None = None,
        status: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[InstallRequest]:
        """List install requests; ``package`` is NAME/VERSION."""
        query = {"package": package, "vin": vin, "status": status, "limit": limit, "cursor": cursor}
        return await self._caller.page(rows.QUEUED_REQUESTS, query=query)

    @calls("WL-B2-7")
    async def search_vehicles(
        self, regex: str | None = None, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Vehicle]:
        """List the vehicles whose VIN matches, all of them without ``regex``."""
        return await self._caller.page(rows.SEARCH_VINS, query={"regex": regex, "limit": limit, "cursor": cursor})

    @calls("WL-B2-9")
    async def update_packages(self, vin: str, packages: Sequence[InstalledPackage]) -> list[InstalledPackage]:
        """Replace what is known to be installed on a vehicle."""
        changed: list[InstalledPackage] = await self._caller.call(
            rows.UPDATE_VIN_PACKAGES, {"vin": vin}, body=list(packages)
        )
        return changed

    @calls("WL-B2-10")
    async def packages_of(self, vin: str) -> list[InstalledPackage]:
        """List what is installed on a vehicle."""
        found: list[InstalledPackage] = await self._caller.call(rows.VIEW_VIN_PACKAGES, {"vin": vin})
        return found

    @calls("WL-B2-11")
    async def vehicles_with(
        self, name: str, version: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[str]:
        """List the VINs that have a package installed."""
        path = {"name": name, "version": version}
        return await self._caller.page(rows.VIEW_PACKAGE_VINS, path, query={"limit": limit, "cursor": cursor})

    @calls("WL-B2-12")
    async def new_component(self, component: Component, *, key: str | None = None) -> Said:
        """Register a component."""
        said: Said = await self._caller.call(rows.NEW_COMPONENT, body=component, key=key)
        return said

    @calls("WL-B2-13")
    async def search_components(
        self,
        *,
        regex: str | None = None,
        ids: str | None = None,
        name: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Component]:
        """List components by a regex, by part numbers (``A,B``) or by name."""
        query = {"regex": regex, "id": ids, "name": name, "limit": limit, "cursor": cursor}
        return await self._caller.page(rows.SEARCH_COMPONENTS, query=query)

    @calls("WL-B2-14")
    async def completed_installs(
        self, install_request_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[CompletedInstall]:
        """List the VINs that have a request's package, and since when."""
        path = {"id": install_request_id}
        return await self._caller.page(rows.COMPLETED_INSTALLS, path, query={"limit": limit, "cursor": cursor})

    @calls("X-B2-1")
    async def vehicle(self, vin: str) -> VehicleDetail:
        """Give one vehicle, what is in it and its latest updates."""
        found: VehicleDetail = await self._caller.call(rows.VEHICLE, {"vin": vin})
        return found

    @calls("X-B2-2")
    async def install_request(self, install_request_id: str) -> InstallRequest:
        """Give one install request and its counts."""
        found: InstallRequest = await self._caller.call(rows.INSTALL_REQUEST, {"id": install_request_id})
        return found

    @calls("X-B2-3")
    async def request_vehicles(
        self,
        install_request_id: str,
        *,
        status: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[Update]:
        """List the updates of an install request, one a vehicle."""
        query = {"status": status, "limit": limit, "cursor": cursor}
        return await self._caller.page(rows.REQUEST_VEHICLES, {"id": install_request_id}, query=query)

    @calls("X-B2-4")
    async def update(self, update_id: str) -> Update:
        """Give one vehicle's update."""
        found: Update = await self._caller.call(rows.UPDATE, {"update_id": update_id})
        return found

    @calls("X-B2-5")
    async def search_packages(
        self, regex: str | None = None, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Package]:
        """List the packages whose NAME/VERSION matches, all of them without ``regex``."""
        return await self._caller.page(rows.SEARCH_PACKAGES, query={"regex": regex, "limit": limit, "cursor": cursor})

    @calls("X-B2-6")
    async def package(self, package: PackageId) -> Package:
        """Give one package's data."""
        path = {"name": package.name, "version": package.version}
        found: Package = await self._caller.call(rows.PACKAGE, path)
        return found

    @calls("X-B2-7")
    async def component(self, part_number: str) -> Component:
        """Give one component's data."""
        found: Component = await self._caller.call(rows.COMPONENT, {"part_number": part_number})
        return found

    @calls("X-B2-8")
    async def package_file(self, package: PackageId) -> PackageFile:
        """Say where a package's file lies."""
        path = {"name": package.name, "version": package.version}
        found: PackageFile = await self._caller.call(rows.PACKAGE_FILE, path)
        return found

    @calls("X-B2-9")
    async def delete_package(self, package: PackageId, file: str, *, key: str | None = None) -> Said:
        """Delete a package whose file is this one."""
        path = {"name": package.name, "version": package.version}
        said: Said = await self._caller.call(rows.DELETE_PACKAGE, path, query={"file": file}, key=key)
        return said

    @calls("X-B2-46")
    async def audit(self, query: dict[str, Any]) -> Page[AuditRecord]:
        """List records of its audit trail, newest first; ``query`` is as :data:`sota.boundaries.audit.QUERY` says."""
        return await self._caller.page(queue_rows.AUDIT, query=query)

    @calls("X-B2-47")
    async def verify_audit(self) -> AuditVerdict:
        """Check the chain of its audit records."""
        verdict: AuditVerdict = await self._caller.call(queue_rows.VERIFY_AUDIT)
        return verdict
