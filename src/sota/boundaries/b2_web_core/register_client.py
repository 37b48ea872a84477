"""The registers of vehicles, packages, components and requests for a caller: the same on B1 and on B2."""

from __future__ import annotations

from collections.abc import Sequence

from sota.boundaries.b2_web_core import rows
from sota.boundaries.b2_web_core.messages import (
    CompletedInstall,
    Component,
    InstallRequest,
    ListedVehicle,
    Package,
    Update,
    VehicleDetail,
)
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import Caller, Page
from sota.boundaries.values import InstalledPackage, PackageId
from sota.kit.http.client import HttpClient
from sota.kit.http.paging import MAX_LIMIT


class RegisterClient:
    """What Core knows of vehicles, packages, components and requests."""

    def __init__(self, client: HttpClient) -> None:
        self._caller = Caller(client)

    @calls("WL-B1-19", "WL-B2-6")
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

    @calls("WL-B1-20", "WL-B2-7")
    async def search_vehicles(
        self,
        regex: str | None = None,
        *,
        packages: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page[ListedVehicle]:
        """List the vehicles whose VIN matches, all without ``regex``; with what they have for ``packages="true"``."""
        query = {"regex": regex, "packages": packages, "limit": limit, "cursor": cursor}
        return await self._caller.page(rows.SEARCH_VINS, query=query)

    @calls("WL-B1-26", "WL-B2-9")
    async def update_packages(self, vin: str, packages: Sequence[InstalledPackage]) -> list[InstalledPackage]:
        """Replace what is known to be installed on a vehicle."""
        return await self._caller.call(rows.UPDATE_VIN_PACKAGES, {"vin": vin}, body=list(packages))

    async def packages_of(self, vin: str) -> list[InstalledPackage]:
        """List everything that is installed on a vehicle, page after page."""
        page = await self.packages_page(vin, limit=MAX_LIMIT)
        found = page.items
        while page.cursor is not None:
            page = await self.packages_page(vin, limit=MAX_LIMIT, cursor=page.cursor)
            found += page.items
        return found

    @calls("WL-B1-27", "WL-B2-10")
    async def packages_page(
        self, vin: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[InstalledPackage]:
        """List what is installed on a vehicle, one page."""
        return await self._caller.page(rows.VIEW_VIN_PACKAGES, {"vin": vin}, query={"limit": limit, "cursor": cursor})

    @calls("WL-B1-28", "WL-B2-11")
    async def vehicles_with(
        self, name: str, version: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[str]:
        """List the VINs that have a package installed."""
        path = {"name": name, "version": version}
        return await self._caller.page(rows.VIEW_PACKAGE_VINS, path, query={"limit": limit, "cursor": cursor})

    @calls("WL-B1-30", "WL-B2-13")
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

    @calls("WL-B1-31", "WL-B2-14")
    async def completed_installs(
        self, install_request_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[CompletedInstall]:
        """List the VINs that have a request's package, and since when."""
        path = {"id": install_request_id}
        return await self._caller.page(rows.COMPLETED_INSTALLS, path, query={"limit": limit, "cursor": cursor})

    @calls("X-B1-1", "X-B2-1")
    async def vehicle(self, vin: str) -> VehicleDetail:
        """Give one vehicle, what is in it and its latest updates."""
        return await self._caller.call(rows.VEHICLE, {"vin": vin})

    @calls("X-B1-2", "X-B2-2")
    async def install_request(self, install_request_id: str) -> InstallRequest:
        """Give one install request and its counts."""
        return await self._caller.call(rows.INSTALL_REQUEST, {"id": install_request_id})

    @calls("X-B1-3", "X-B2-3")
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

    @calls("X-B1-4", "X-B2-4")
    async def update(self, update_id: str) -> Update:
        """Give one vehicle's update."""
        return await self._caller.call(rows.UPDATE, {"update_id": update_id})

    @calls("X-B1-5", "X-B2-5")
    async def search_packages(
        self, regex: str | None = None, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Package]:
        """List the packages whose NAME/VERSION matches, all of them without ``regex``."""
        return await self._caller.page(rows.SEARCH_PACKAGES, query={"regex": regex, "limit": limit, "cursor": cursor})

    @calls("X-B1-6", "X-B2-6")
    async def package(self, package: PackageId) -> Package:
        """Give one package's data."""
        path = {"name": package.name, "version": package.version}
        return await self._caller.call(rows.PACKAGE, path)
