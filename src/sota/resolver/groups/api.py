"""Routes of groups and their vehicles."""

from __future__ import annotations

from sota.boundaries.b3_web_resolver.fleet_messages import Group, GroupChange, MembersChanged
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.parameters import GroupPath, ListQuery
from sota.kit.http.paging import link_next, read_cursor
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database
from sota.resolver.groups import service, store
from sota.resolver.groups.store import GroupRow


class GroupsApi:
    """Groups, for the Web Server."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self.db, self.clock = db, clock

    @serves("X-B3-7")
    async def groups(self, call: Call[None, ListQuery, None]) -> Reply:
        """Return the groups by name, a page at a time."""
        limit, after = call.query.limit, read_cursor(call)
        async with self.db.read() as tx:
            found = await store.list_groups(tx, after, limit + 1)
        headers = link_next(call, found[limit - 1].name) if len(found) > limit else {}
        groups = [to_wire(one) for one in found[:limit]]
        return Reply("listed" if groups else "empty", groups, headers=headers)

    @serves("X-B3-8")
    async def find(self, call: Call[GroupPath, None, None]) -> Reply:
        """Return a group."""
        async with self.db.read() as tx:
            return Reply("found", to_wire(await service.find(tx, call.path.group)))

    @serves("X-B3-9")
    async def keep(self, call: Call[GroupPath, None, GroupChange]) -> Reply:
        """Create a group, or change its description."""
        kept = await self.db.transact(lambda tx: service.keep(tx, call.path.group, call.body.description, self.clock))
        return Reply("kept", to_wire(kept))

    @serves("X-B3-10")
    async def delete(self, call: Call[GroupPath, None, None]) -> Reply:
        """Delete a group that no filter asks for."""
        await self.db.transact(lambda tx: service.delete(tx, call.path.group))
        return Reply("deleted")

    @serves("X-B3-11")
    async def members(self, call: Call[GroupPath, ListQuery, None]) -> Reply:
        """Return the VINs of a group, a page at a time."""
        limit, after = call.query.limit, read_cursor(call)
        async with self.db.read() as tx:
            group = await service.find(tx, call.path.group)
            found = await store.list_members(tx, group.id, after, limit + 1)
        headers = link_next(call, found[limit - 1]) if len(found) > limit else {}
        return Reply("listed" if found else "empty", found[:limit], headers=headers)

    @serves("X-B3-12")
    async def add(self, call: Call[GroupPath, None, list[str]]) -> Reply:
        """Add vehicles to a group."""
        return await self._change(call, add=True)

    @serves("X-B3-13")
    async def remove(self, call: Call[GroupPath, None, list[str]]) -> Reply:
        """Remove vehicles from a group."""
        return await self._change(call, add=False)

    async def _change(self, call: Call[GroupPath, None, list[str]], *, add: bool) -> Reply:
        changed, unknown = await service.change_members(self.db, call.path.group, call.body, add=add)
        return Reply("changed", MembersChanged(changed=changed, unknown=unknown))


def to_wire(group: GroupRow) -> Group:
    """Format a group for B3."""
    return Group(name=group.name, description=group.description, vehicles=group.vehicles)
