"""Attributes and groups of vehicles for a caller: the same paths and bodies on B1 and on B3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sota.boundaries.b3_web_resolver import fleet_rows as rows
from sota.boundaries.b3_web_resolver.fleet_messages import Group, GroupChange, MembersChanged
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import Caller, Page
from sota.boundaries.values import Said
from sota.kit.http.client import HttpClient


class FleetClient:
    """What is said of vehicles."""

    def __init__(self, client: HttpClient) -> None:
        self._caller = Caller(client)

    @calls("X-B1-24", "X-B3-5")
    async def attributes_of(self, vin: str) -> dict[str, str]:
        """Give a vehicle's attributes by name."""
        return await self._caller.call(rows.ATTRIBUTES, {"vin": vin})

    @calls("X-B1-25", "X-B3-6")
    async def change_attributes(self, vin: str, attributes: Mapping[str, str]) -> dict[str, str]:
        """Make a vehicle's attributes exactly these."""
        return await self._caller.call(rows.CHANGE_ATTRIBUTES, {"vin": vin}, body=dict(attributes))

    @calls("X-B1-26", "X-B3-7")
    async def groups(self, *, limit: int | None = None, cursor: str | None = None) -> Page[Group]:
        """List the groups by name."""
        return await self._caller.page(rows.GROUPS, query={"limit": limit, "cursor": cursor})

    @calls("X-B1-27", "X-B3-8")
    async def group(self, name: str) -> Group:
        """Look a group up."""
        return await self._caller.call(rows.GROUP, {"group": name})

    @calls("X-B1-28", "X-B3-9")
    async def keep_group(self, name: str, change: GroupChange) -> Group:
        """Make a group, or change what it is for."""
        return await self._caller.call(rows.KEEP_GROUP, {"group": name}, body=change)

    @calls("X-B1-29", "X-B3-10")
    async def delete_group(self, name: str) -> Said:
        """Delete a group that no filter asks for."""
        return await self._caller.call(rows.DELETE_GROUP, {"group": name})

    @calls("X-B1-30", "X-B3-11")
    async def members_of(self, name: str, *, limit: int | None = None, cursor: str | None = None) -> Page[str]:
        """List the VINs of a group in order."""
        return await self._caller.page(rows.MEMBERS, {"group": name}, query={"limit": limit, "cursor": cursor})

    @calls("X-B1-31", "X-B3-12")
    async def add_members(self, name: str, vins: Sequence[str]) -> MembersChanged:
        """Add vehicles to a group, at most ten thousand."""
        return await self._caller.call(rows.ADD_MEMBERS, {"group": name}, body=list(vins))

    @calls("X-B1-32", "X-B3-13")
    async def remove_members(self, name: str, vins: Sequence[str]) -> MembersChanged:
        """Remove vehicles from a group, at most ten thousand."""
        return await self._caller.call(rows.REMOVE_MEMBERS, {"group": name}, body=list(vins))
