"""Rows of B1 about attributes and groups of vehicles, which go on to the External Resolver (B3)."""

from __future__ import annotations

from typing import Any

from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.b3_web_resolver.fleet_client import FleetClient
from sota.boundaries.b3_web_resolver.fleet_messages import GroupChange
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.web.gateway.answer import answering, listed, paging


class FleetApi:
    """What is said of vehicles, and which belong together.

    The Resolver learns of vehicles from Core: what names a VIN waits until it knows those that Core has acknowledged.
    """

    def __init__(self, fleet: FleetClient, core: CoreClient) -> None:
        self._fleet, self._core = fleet, core

    @serves("X-B1-24")
    async def attributes(self, call: Call[Any]) -> Reply:
        """Give a vehicle's attributes."""
        with answering(call.row):
            await self._core.wait_for_resolver()
            return Reply("found", await self._fleet.attributes_of(call.path["vin"]))

    @serves("X-B1-25")
    async def change_attributes(self, call: Call[dict[str, str]]) -> Reply:
        """Make a vehicle's attributes exactly these."""
        with answering(call.row):
            await self._core.wait_for_resolver()
            return Reply("changed", await self._fleet.change_attributes(call.path["vin"], call.body))

    @serves("X-B1-26")
    async def groups(self, call: Call[Any]) -> Reply:
        """List the groups."""
        with answering(call.row):
            return listed(call, await self._fleet.groups(**paging(call.query)))

    @serves("X-B1-27")
    async def group(self, call: Call[Any]) -> Reply:
        """Give a group."""
        with answering(call.row):
            return Reply("found", await self._fleet.group(call.path["group"]))

    @serves("X-B1-28")
    async def keep_group(self, call: Call[GroupChange]) -> Reply:
        """Make a group, or change what it is for."""
        with answering(call.row):
            return Reply("kept", await self._fleet.keep_group(call.path["group"], call.body))

    @serves("X-B1-29")
    async def delete_group(self, call: Call[Any]) -> Reply:
        """Delete a group that no filter asks for."""
        with answering(call.row):
            await self._fleet.delete_group(call.path["group"])
        return Reply("deleted")

    @serves("X-B1-30")
    async def members(self, call: Call[Any]) -> Reply:
        """List the VINs of a group."""
        with answering(call.row):
            return listed(call, await self._fleet.members_of(call.path["group"], **paging(call.query)))

    @serves("X-B1-31")
    async def add_members(self, call: Call[list[str]]) -> Reply:
        """Add vehicles to a group."""
        with answering(call.row):
            await self._core.wait_for_resolver()
            return Reply("changed", await self._fleet.add_members(call.path["group"], call.body))

    @serves("X-B1-32")
    async def remove_members(self, call: Call[list[str]]) -> Reply:
        """Remove vehicles from a group."""
        with answering(call.row):
            await self._core.wait_for_resolver()
            return Reply("changed", await self._fleet.remove_members(call.path["group"], call.body))
