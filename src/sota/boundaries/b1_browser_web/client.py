"""What programs and tests use to call the Web Server's JSON API, with a token. ``browser.py`` plays the browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from sota.boundaries.b1_browser_web import page_rows, rows
from sota.boundaries.b1_browser_web.fleet_client import FleetClient
from sota.boundaries.b1_browser_web.identity_client import IdentityClient
from sota.boundaries.b1_browser_web.messages import ApiDocument, PackageMetadata
from sota.boundaries.b1_browser_web.multipart import Upload
from sota.boundaries.b1_browser_web.resolution_client import ResolutionClient
from sota.boundaries.b2_web_core import messages as core
from sota.boundaries.b2_web_core.queue_client import QueueClient
from sota.boundaries.b2_web_core.register_client import RegisterClient
from sota.boundaries.b3_web_resolver import messages as resolver
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import Page, address, check, decode
from sota.boundaries.parameters import DeleteFilterQuery, ListQuery, RegexQuery
from sota.boundaries.values import MessageOnly, PackageId
from sota.kit.http.client import StreamedResponse

UPLOAD_TIMEOUT_S = 600.0


class WebClient(RegisterClient, QueueClient, IdentityClient, FleetClient, ResolutionClient):
    """The Web Server's JSON API. Lists come as pages: ``cursor`` asks for the next one."""

    @calls("WL-B1-4")
    async def new_vehicle(self, vin: str) -> MessageOnly:
        """Register a vehicle."""
        return await self.caller.call(rows.NEW_VIN, body=core.NewVehicle(vin=vin))

    @calls("WL-B1-5")
    async def new_campaign(self, campaign: core.NewCampaign) -> core.CampaignCreated:
        """Create a campaign and queue its package."""
        return await self.caller.call(rows.NEW_CAMPAIGN, body=campaign)

    @calls("WL-B1-6")
    async def new_filter(self, name: str, expression: str) -> MessageOnly:
        """Create a filter."""
        return await self.caller.call(rows.NEW_FILTER, body=resolver.Filter(name=name, expression=expression))

    @calls("WL-B1-7")
    async def associate(self, package: PackageId, filter_name: str) -> MessageOnly:
        """Associate a filter with a package."""
        return await self.caller.call(rows.NEW_ASSOCIATION, package, body=resolver.Association(filter=filter_name))

    @calls("WL-B1-8")
    async def queue_package(self, request: core.QueueRequest) -> core.Queued:
        """Queue a package for the vehicles that its filters choose."""
        return await self.caller.call(rows.QUEUE_PACKAGE, body=request)

    @calls("WL-B1-18")
    async def queue_packages(self, requests: Sequence[core.QueueRequest]) -> core.Queued:
        """Queue several packages under one Install Request ID, all or none."""
        return await self.caller.call(rows.QUEUE_PACKAGES, body=list(requests))

    @calls("WL-B1-21")
    async def upload_package(
        self, metadata: PackageMetadata, file: AsyncIterator[bytes], file_name: str = "package"
    ) -> MessageOnly:
        """Upload a package's file and metadata, part by part."""
        upload = Upload(metadata, file, file_name)
        method, path = address(rows.UPLOAD_PACKAGE, {})
        headers = {"content-type": upload.content_type, "accept": "application/json"}
        response = await self.caller.client.request(
            method, path, body=upload.parts(), headers=headers, timeout_s=UPLOAD_TIMEOUT_S
        )
        check(response.status, response.body)
        said: MessageOnly = decode(rows.UPLOAD_PACKAGE, response.body)
        return said

    @calls("WL-B1-22")
    async def search_filters(self, query: RegexQuery) -> Page[resolver.Filter]:
        """List the filters whose name matches."""
        return await self.caller.page(rows.SEARCH_FILTERS, query=query)

    @calls("WL-B1-23")
    async def list_filters(self, query: ListQuery | None = None) -> Page[resolver.Filter]:
        """List the available filters."""
        return await self.caller.page(rows.LIST_FILTERS, query=query)

    @calls("WL-B1-24")
    async def update_filter(self, name: str, expression: str, query: ListQuery | None = None) -> Page[resolver.Filter]:
        """Change a filter's expression; return a page of the available filters."""
        return await self.caller.page(
            rows.UPDATE_FILTER,
            {"name": name},
            query=query,
            body=resolver.FilterChange(expression=expression),
        )

    @calls("WL-B1-25")
    async def delete_filter(self, name: str, query: DeleteFilterQuery | None = None) -> Page[resolver.Filter]:
        """Delete a filter and its associations; return a page of the available filters."""
        return await self.caller.page(rows.DELETE_FILTER, {"name": name}, query=query)

    @calls("WL-B1-29")
    async def new_component(self, component: core.Component) -> MessageOnly:
        """Register a component."""
        return await self.caller.call(rows.NEW_COMPONENT, body=component)

    @calls("X-B1-8")
    async def api_document(self) -> ApiDocument:
        """Return the Web Server's API document."""
        return await self.caller.call(page_rows.API_DOCUMENT)

    @calls("X-B1-10")
    def package_file(
        self, package: PackageId, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[StreamedResponse]:
        """Read a package's file as it comes; ``headers`` are ``Range``, ``If-Range``, ``If-None-Match``.

        Raises:
            Refused: ``not_found``, or ``out_of_range``.
            Unavailable: the Web Server or the repository is away.
        """
        return self.caller.stream(rows.PACKAGE_FILE, package, headers=headers)

    @calls("X-B1-11")
    async def delete_package(self, package: PackageId) -> MessageOnly:
        """Delete a package that is no longer needed."""
        return await self.caller.call(rows.DELETE_PACKAGE, package)
