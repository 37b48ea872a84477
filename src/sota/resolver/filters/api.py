"""Routes of filters: B3-3, -4, -6 to -9, and the filters of a package for Core and the Web Server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sota.boundaries.b3_web_resolver.messages import Association, Filter, FilterChange
from sota.boundaries.binding.call import AnyCall, Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.binding.idempotency import Idempotency
from sota.boundaries.parameters import (
    DeleteFilterQuery,
    ListQuery,
    NamePath,
    PackageFilterPath,
    PackagePath,
    RegexQuery,
    WidenQuery,
)
from sota.kit.errors import Refused
from sota.kit.http.paging import link_next, link_to, make_cursor, read_cursor
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database, Tx
from sota.resolver.filters import service, store
from sota.resolver.filters.widening import Widening
from sota.resolver.index.workers import Workers

FILTERS = "/api/v1/filters"
NAMED = 3


class FiltersApi:
    """Filters, for the Web Server."""

    def __init__(self, db: Database, once: Idempotency, workers: Workers, widening: Widening, clock: Clock) -> None:
        self.db, self.once, self.workers, self.widening, self.clock = db, once, workers, widening, clock

    @serves("WL-B3-4")
    async def create(self, call: Call[None, None, Filter]) -> Reply:
        """Create a filter that can be evaluated."""
        new, meaning = call.body, await service.read_expression(call.body.expression, self.workers)
        return await self.once.change(call, "inserted", lambda tx: service.create_filter(tx, new, meaning, self.clock))

    @serves("WL-B3-3")
    async def attach(self, call: Call[PackagePath, None, Association]) -> Reply:
        """Attach a filter to a package."""
        path, label = call.path, call.body.filter
        return await self.once.change(
            call, "inserted", lambda tx: service.attach_filter(tx, path.name, path.version, label)
        )

    @serves("WL-B3-6", "WL-B3-7")
    async def list(self, call: Call[None, RegexQuery, None]) -> Reply:
        """Return the filters, or those whose name matches ``regex``, a page at a time."""
        limit, after = call.query.limit, read_cursor(call)
        if call.query.regex is not None:
            found = await service.search_filters(self.db, self.workers, call.query.regex, after, limit + 1)
        else:
            async with self.db.read() as tx:
                found = await service.list_filters(tx, after, limit + 1)
        headers = link_next(call, found[limit - 1].name) if len(found) > limit else {}
        return Reply("listed" if found else "empty", found[:limit], headers=headers)

    @serves("WL-B3-8")
    async def change(self, call: Call[NamePath, ListQuery, FilterChange]) -> Reply:
        """Change a filter's expression; answer with a page of the available filters."""
        limit, after = call.query.limit, read_cursor(call, path=FILTERS)
        meaning = await service.read_expression(call.body.expression, self.workers)

        async def work(tx: Tx) -> list[Filter]:
            await service.change_filter(tx, call.path.name, call.body.expression, meaning)
            return await service.list_filters(tx, after, limit + 1)

        return available("updated", call, await self.db.transact(work), limit)

    @serves("WL-B3-9")
    async def delete(self, call: Call[NamePath, DeleteFilterQuery, None]) -> Reply:
        """Delete a filter; answer with a page of the available filters."""
        limit, after = call.query.limit, read_cursor(call, path=FILTERS)
        name, looked_at = call.path.name, None
        if not call.query.widen:
            async with self.db.read() as tx:
                looked_at = await store.find_targets(tx, name)
            await self._require_no_wider(name, looked_at)

        async def work(tx: Tx) -> list[Filter]:
            await service.delete_filter(tx, name, looked_at)
            return await service.list_filters(tx, after, limit + 1)

        return available("deleted", call, await self.db.transact(work), limit)

    async def _require_no_wider(self, name: str, targets: Mapping[str, Sequence[Filter]]) -> None:
        """Refuse if packages with several filters would reach more vehicles without this one."""
        added = {package: await self.widening.count(filters, name) for package, filters in targets.items()}
        wider = [f"{package} goes to {count} vehicles more" for package, count in added.items() if count]
        if wider:
            others = f", and so do {len(wider) - NAMED} packages more" if len(wider) > NAMED else ""
            text = f"Without {name}, {', '.join(wider[:NAMED])}{others}."
            raise Refused("target_widens", f"{text} Say widen=true if that is meant.")

    @serves("X-B3-1", "X-B5-1")
    async def of_package(self, call: Call[PackagePath, ListQuery, None]) -> Reply:
        """Return the filters of a package, a page at a time."""
        limit, after = call.query.limit, read_cursor(call)
        async with self.db.read() as tx:
            filters = await service.package_filters(tx, call.path.name, call.path.version)
        rest = [one for one in filters if after is None or one.name > after]
        headers = link_next(call, rest[limit - 1].name) if len(rest) > limit else {}
        return Reply("listed" if rest else "empty", rest[:limit], headers=headers)

    @serves("X-B3-26")
    async def detach(self, call: Call[PackageFilterPath, WidenQuery, None]) -> Reply:
        """Detach a filter from a package."""
        name, version, filter_name = call.path.name, call.path.version, call.path.filter
        if not call.query.widen:
            async with self.db.read() as tx:
                filters = (await store.find_package_filters(tx, name, version)).data or []
            added = await self.widening.count(filters, filter_name)
            if added:
                text = f"Without {filter_name}, {name}/{version} goes to {added} vehicles more."
                raise Refused("target_widens", f"{text} Say widen=true if that is meant.")
        await self.db.transact(lambda tx: service.detach_filter(tx, name, version, filter_name))
        return Reply("detached")


def available(outcome: str, call: AnyCall, found: list[Filter], limit: int) -> Reply:
    """Answer with a page of the available filters; its next page is one of the list of filters."""
    headers: dict[str, str] = {}
    if len(found) > limit:
        asked = {"limit": call.raw_query["limit"]} if "limit" in call.raw_query else {}
        headers = link_to(FILTERS, {**asked, "cursor": make_cursor(FILTERS, found[limit - 1].name)})
    return Reply(outcome, found[:limit], headers=headers)
