"""The registers of vehicles, packages, components and requests for a caller: the same on B1 and on B2."""

from __future__ import annotations

from collections.abc import Sequence

from sota.boundaries.b2_web_core import messages, rows
from sota.boundaries.b2_web_core.queries import ComponentQuery, RequestQuery, RequestVehicleQuery, VehicleQuery
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import BoundaryClient, Page
from sota.boundaries.parameters import MAX_LIMIT, ListQuery, RegexQuery
from sota.boundaries.values import InstalledPackage, PackageId


class RegisterClient(BoundaryClient):
    """What Core knows of vehicles, packages, components and requests."""

    @calls("WL-B1-19", "WL-B2-6")
    async def queued_requests(self, query: RequestQuery | None = None) -> Page[messages.InstallRequest]:
        """List install requests."""
        return await self.caller.page(rows.QUEUED_REQUESTS, query=query)

    @calls("WL-B1-20", "WL-B2-7")
    async def search_vehicles(self, query: VehicleQuery | None = None) -> Page[messages.ListedVehicle]:
        """List vehicles."""
        return await self.caller.page(rows.SEARCH_VINS, query=query)

    @calls("WL-B1-26", "WL-B2-9")
    async def update_packages(self, vin: str, packages: Sequence[InstalledPackage]) -> list[InstalledPackage]:
        """Replace what is known to be installed on a vehicle."""
        return await self.caller.call(rows.UPDATE_VIN_PACKAGES, {"vin": vin}, body=list(packages))

    async def packages_of(self, vin: str) -> list[InstalledPackage]:
        """List everything that is installed on a vehicle, page after page."""
        page = await self.packages_page(vin, ListQuery(limit=MAX_LIMIT))
        found = page.items
        while page.cursor is not None:
            page = await self.packages_page(vin, ListQuery(limit=MAX_LIMIT, cursor=page.cursor))
            found += page.items
        return found

    @calls("WL-B1-27", "WL-B2-10")
    async def packages_page(self, vin: str, query: ListQuery | None = None) -> Page[InstalledPackage]:
        """List what is installed on a vehicle, one page."""
        return await self.caller.page(rows.VIEW_VIN_PACKAGES, {"vin": vin}, query=query)

    @calls("WL-B1-28", "WL-B2-11")
    async def vehicles_with(self, name: str, version: str, query: ListQuery | None = None) -> Page[str]:
        """List the VINs that have a package installed."""
        path = {"name": name, "version": version}
        return await self.caller.page(rows.VIEW_PACKAGE_VINS, path, query=query)

    @calls("WL-B1-30", "WL-B2-13")
    async def search_components(self, query: ComponentQuery | None = None) -> Page[messages.Component]:
        """List components."""
        return await self.caller.page(rows.SEARCH_COMPONENTS, query=query)

    @calls("WL-B1-31", "WL-B2-14")
    async def completed_installs(
        self, install_request_id: str, query: ListQuery | None = None
    ) -> Page[messages.CompletedInstall]:
        """List the VINs that have a request's package, and since when."""
        path = {"id": install_request_id}
        return await self.caller.page(rows.COMPLETED_INSTALLS, path, query=query)

    @calls("X-B1-1", "X-B2-1")
    async def vehicle(self, vin: str) -> messages.VehicleDetail:
        """Return one vehicle, what is in it and its latest updates."""
        return await self.caller.call(rows.VEHICLE, {"vin": vin})

    @calls("X-B1-2", "X-B2-2")
    async def install_request(self, install_request_id: str) -> messages.InstallRequest:
        """Return one install request and its counts."""
        return await self.caller.call(rows.INSTALL_REQUEST, {"id": install_request_id})

    @calls("X-B1-3", "X-B2-3")
    async def request_vehicles(
        self, install_request_id: str, query: RequestVehicleQuery | None = None
    ) -> Page[messages.Update]:
        """List the updates of an install request, one a vehicle."""
        return await self.caller.page(rows.REQUEST_VEHICLES, {"id": install_request_id}, query=query)

    @calls("X-B1-4", "X-B2-4")
    async def update(self, update_id: str) -> messages.Update:
        """Return one vehicle's update."""
        return await self.caller.call(rows.UPDATE, {"update_id": update_id})

    @calls("X-B1-5", "X-B2-5")
    async def search_packages(self, query: RegexQuery | None = None) -> Page[messages.Package]:
        """List the packages whose NAME/VERSION matches, all of them without ``regex``."""
        return await self.caller.page(rows.SEARCH_PACKAGES, query=query)

    @calls("X-B1-6", "X-B2-6")
    async def package(self, package: PackageId) -> messages.Package:
        """Return one package's data."""
        return await self.caller.call(rows.PACKAGE, package)
