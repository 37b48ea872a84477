"""What programs and tests use for attributes and groups of vehicles, with a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sota.boundaries.b3_web_resolver import fleet_rows as rows
from sota.boundaries.b3_web_resolver.fleet_messages import Group, GroupChange, MembersChanged
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import BoundaryClient, Page
from sota.boundaries.parameters import ListQuery
from sota.boundaries.values import MessageOnly


class FleetClient(BoundaryClient):
    """What is said of vehicles."""

    @calls("X-B1-24")
    async def attributes_of(self, vin: str) -> dict[str, str]:
        """Return a vehicle's attributes by name."""
        return await self.caller.call(rows.ATTRIBUTES, {"vin": vin})

    @calls("X-B1-25")
    async def change_attributes(self, vin: str, attributes: Mapping[str, str]) -> dict[str, str]:
        """Replace a vehicle's attributes."""
        return await self.caller.call(rows.CHANGE_ATTRIBUTES, {"vin": vin}, body=dict(attributes))

    @calls("X-B1-26")
    async def groups(self, query: ListQuery | None = None) -> Page[Group]:
        """List the groups by name."""
        return await self.caller.page(rows.GROUPS, query=query)

    @calls("X-B1-27")
    async def group(self, name: str) -> Group:
        """Return a group."""
        return await self.caller.call(rows.GROUP, {"group": name})

    @calls("X-B1-28")
    async def keep_group(self, name: str, change: GroupChange) -> Group:
        """Create a group, or change its description."""
        return await self.caller.call(rows.KEEP_GROUP, {"group": name}, body=change)

    @calls("X-B1-29")
    async def delete_group(self, name: str) -> MessageOnly:
        """Delete a group that no filter asks for."""
        return await self.caller.call(rows.DELETE_GROUP, {"group": name})

    @calls("X-B1-30")
    async def members_of(self, name: str, query: ListQuery | None = None) -> Page[str]:
        """List the VINs of a group in order."""
        return await self.caller.page(rows.MEMBERS, {"group": name}, query=query)

    @calls("X-B1-31")
    async def add_members(self, name: str, vins: Sequence[str]) -> MembersChanged:
        """Add vehicles to a group, at most ten thousand."""
        return await self.caller.call(rows.ADD_MEMBERS, {"group": name}, body=list(vins))

    @calls("X-B1-32")
    async def remove_members(self, name: str, vins: Sequence[str]) -> MembersChanged:
        """Remove vehicles from a group, at most ten thousand."""
        return await self.caller.call(rows.REMOVE_MEMBERS, {"group": name}, body=list(vins))
