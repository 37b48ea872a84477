"""Rows of B1 that go on to SOTA Core (B2)."""

from __future__ import annotations

from typing import Any

import msgspec

from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.b2_web_core.messages import NewCampaign, QueueRequest
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.values import InstalledPackage, PackageId
from sota.kit.errors import Invalid
from sota.web.gateway.answer import answering, key_of, listed, paging


class CoreApi:
    """What Core keeps: install requests, vehicles, packages, components."""

    def __init__(self, core: CoreClient) -> None:
        self._core = core

    @serves("WL-B1-5")
    async def new_campaign(self, call: Call[NewCampaign]) -> Reply:
        """Create a campaign."""
        with answering(call.row):
            created = await self._core.new_campaign(call.body, key=key_of(call))
        body = msgspec.to_builtins(created)
        del body["message"]  # the row says its own
        return Reply("campaign_created", body)

    @serves("WL-B1-8")
    async def queue_package(self, call: Call[QueueRequest]) -> Reply:
        """Queue a package for the vehicles that its filters choose."""
        with answering(call.row):
            return Reply("queued", await self._core.queue_package(call.body, key=key_of(call)))

    @serves("WL-B1-18")
    async def queue_packages(self, call: Call[list[QueueRequest]]) -> Reply:
        """Queue several packages under one id, all or none."""
        with answering(call.row):
            return Reply("queued", await self._core.queue_packages(call.body, key=key_of(call)))

    @serves("WL-B1-19")
    async def queued_requests(self, call: Call[Any]) -> Reply:
        """List install requests."""
        query = call.query
        with answering(call.row):
            page = await self._core.queued_requests(
                package=query.get("package"), vin=query.get("vin"), status=query.get("status"), **paging(query)
            )
        return listed(call, page)

    @serves("WL-B1-20")
    async def search_vehicles(self, call: Call[Any]) -> Reply:
        """List the vehicles whose VIN matches."""
        with answering(call.row):
            page = await self._core.search_vehicles(
                call.query.get("regex"), packages=call.query.get("packages"), **paging(call.query)
            )
        return listed(call, page)

    @serves("WL-B1-26")
    async def update_packages(self, call: Call[list[InstalledPackage]]) -> Reply:
        """Replace what is known to be installed on a vehicle."""
        with answering(call.row):
            return Reply("changed", await self._core.update_packages(call.path["vin"], call.body))

    @serves("WL-B1-27")
    async def packages_of(self, call: Call[Any]) -> Reply:
        """List what is installed on a vehicle."""
        with answering(call.row):
            page = await self._core.packages_page(call.path["vin"], **paging(call.query))
        return Reply("found", page.items, headers=listed(call, page).headers)

    @serves("WL-B1-28")
    async def vehicles_with(self, call: Call[Any]) -> Reply:
        """List the VINs that have a package installed."""
        with answering(call.row):
            page = await self._core.vehicles_with(call.path["name"], call.path["version"], **paging(call.query))
        return Reply("found", page.items, headers=listed(call, page).headers)

    @serves("WL-B1-30")
    async def search_components(self, call: Call[Any]) -> Reply:
        """List components by a regex, by part numbers or by name."""
        query = call.query
        if len(query.keys() & {"regex", "id", "name"}) > 1:
            raise Invalid("Search by one of regex, id and name.")
        with answering(call.row):
            page = await self._core.search_components(
                regex=query.get("regex"), ids=query.get("id"), name=query.get("name"), **paging(query)
            )
        return listed(call, page)

    @serves("WL-B1-31")
    async def completed_installs(self, call: Call[Any]) -> Reply:
        """List the VINs that have a request's package, and since when."""
        with answering(call.row):
            return listed(call, await self._core.completed_installs(call.path["id"], **paging(call.query)))

    @serves("X-B1-1")
    async def vehicle(self, call: Call[Any]) -> Reply:
        """Give one vehicle, what is in it and its latest updates."""
        with answering(call.row):
            return Reply("found", await self._core.vehicle(call.path["vin"]))

    @serves("X-B1-2")
    async def install_request(self, call: Call[Any]) -> Reply:
        """Give one install request and its counts."""
        with answering(call.row):
            return Reply("found", await self._core.install_request(call.path["id"]))

    @serves("X-B1-3")
    async def request_vehicles(self, call: Call[Any]) -> Reply:
        """List the updates of an install request, one a vehicle."""
        with answering(call.row):
            page = await self._core.request_vehicles(
                call.path["id"], status=call.query.get("status"), **paging(call.query)
            )
        return listed(call, page)

    @serves("X-B1-4")
    async def update(self, call: Call[Any]) -> Reply:
        """Give the update of one vehicle."""
        with answering(call.row):
            return Reply("found", await self._core.update(call.path["update_id"]))

    @serves("X-B1-5")
    async def search_packages(self, call: Call[Any]) -> Reply:
        """List the packages whose NAME/VERSION matches."""
        with answering(call.row):
            return listed(call, await self._core.search_packages(call.query.get("regex"), **paging(call.query)))

    @serves("X-B1-6")
    async def package(self, call: Call[Any]) -> Reply:
        """Give one package."""
        with answering(call.row):
            package = PackageId(name=call.path["name"], version=call.path["version"])
            return Reply("found", await self._core.package(package))
