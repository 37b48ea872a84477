"""Routes of components: look-up (B2-12), search (B2-13) and registration."""

from __future__ import annotations

from sota.boundaries.b2_web_core.messages import Component
from sota.boundaries.b2_web_core.queries import ComponentQuery
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.binding.idempotency import Idempotency
from sota.boundaries.parameters import PartPath
from sota.core.components import store
from sota.core.search import Pattern, search
from sota.kit.errors import Failed, Refused
from sota.kit.http.paging import link_next, read_cursor
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database, Tx

MAX_IDS = 200


class ComponentsApi:
    """Components, for the Web Server."""

    def __init__(self, db: Database, once: Idempotency, clock: Clock) -> None:
        self.db, self.once, self.clock = db, once, clock

    @serves("X-B2-7")
    async def register(self, call: Call[None, None, Component]) -> Reply:
        """Register a component."""
        new = call.body

        async def work(tx: Tx) -> None:
            if (await store.insert_component(tx, new, self.clock.now())).outcome == "exists":
                raise Refused("component_exists", f"The component {new.part_number} is registered already.")

        return await self.once.change(call, "inserted", work)

    @serves("WL-B2-13")
    async def search(self, call: Call[None, ComponentQuery, None]) -> Reply:
        """Return the components that match ``regex`` (part number), ``id`` (part numbers) or ``name``, by pages."""
        query, given = call.query, call.query.given
        if len(given) > 1:
            raise Failed(f"Search by one of regex, id and name, not by {' and '.join(given)}.")
        limit, after = query.limit, read_cursor(call)
        if query.id is not None:
            found = await self._find(query.id.split(","))
            return Reply("listed" if found else "empty", found)
        pattern = Pattern(query.regex) if query.regex is not None else None

        def matches(entry: Component) -> bool:
            return pattern.found_in(entry.part_number) if pattern else entry.name == query.name

        async with self.db.read() as tx:

            async def read_slice(last: str | None, count: int) -> list[Component]:
                return (await store.list_components(tx, last, count)).data or []

            page, following = await search(
                read_slice, lambda entry: entry.part_number, matches if given else None, after=after, limit=limit
            )
        headers = link_next(call, following) if following else {}
        return Reply("listed" if page else "empty", page, headers=headers)

    @serves("WL-B2-12")
    async def show(self, call: Call[PartPath, None, None]) -> Reply:
        """Return one component."""
        found = await self._find([call.path.part_number])
        if not found:
            raise Refused("component_unknown", f"The component {call.path.part_number} is not registered.")
        return Reply("found", found[0])

    async def _find(self, part_numbers: list[str]) -> list[Component]:
        if len(part_numbers) > MAX_IDS:
            raise Failed(f"Ask for {MAX_IDS} components at most.")
        async with self.db.read() as tx:
            return (await store.find_components(tx, part_numbers)).data or []
