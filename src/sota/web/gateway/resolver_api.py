"""Rows of B1 that go on to the External Resolver (B3)."""

from __future__ import annotations

from typing import Any

from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.b3_web_resolver.client import ResolverClient
from sota.boundaries.b3_web_resolver.messages import Association, Filter, FilterChange
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.calling import Page
from sota.boundaries.values import PackageId
from sota.kit.http.paging import link_to
from sota.web.gateway.answer import answering, listed, paging, read_flag

FILTERS = "/api/v1/filters"


class ResolverApi:
    """What the Resolver keeps: filters, and which package has which."""

    def __init__(self, resolver: ResolverClient, core: CoreClient) -> None:
        self._resolver, self._core = resolver, core

    @serves("WL-B1-6")
    async def new_filter(self, call: Call[Filter]) -> Reply:
        """Create a filter."""
        with answering(call.row):
            await self._resolver.new_filter(call.body)
        return Reply("inserted")

    @serves("WL-B1-7")
    async def associate(self, call: Call[Association]) -> Reply:
        """Associate a filter with a package."""
        package = PackageId(name=call.path["name"], version=call.path["version"])
        with answering(call.row):
            await self._resolver.associate(package, call.body.filter)
        return Reply("inserted")

    @serves("WL-B1-22", "WL-B1-23")
    async def filters(self, call: Call[Any]) -> Reply:
        """List the filters; with ``regex`` those whose name matches."""
        regex = call.query.get("regex")
        with answering(call.row):
            if regex is not None:
                return listed(call, await self._resolver.search_filters(regex, **paging(call.query)))
            return listed(call, await self._resolver.list_filters(**paging(call.query)))

    @serves("WL-B1-24")
    async def update_filter(self, call: Call[FilterChange]) -> Reply:
        """Change a filter's expression."""
        with answering(call.row):
            name, expression = call.path["name"], call.body.expression
            return _available(
                "updated", call, await self._resolver.update_filter(name, expression, **paging(call.query))
            )

    @serves("WL-B1-25")
    async def delete_filter(self, call: Call[Any]) -> Reply:
        """Delete a filter and its associations."""
        name, widen = call.path["name"], read_flag(call.query, "widen")
        with answering(call.row):
            if not widen:  # what it would add is counted
                await self._core.wait_for_resolver()
            page = await self._resolver.delete_filter(name, widen=widen, **paging(call.query))
            return _available("deleted", call, page)


def _available(outcome: str, call: Call[Any], page: Page[Filter]) -> Reply:
    """Answer with a page of the available filters; its next page is one of the list of filters."""
    limit = {"limit": call.query["limit"]} if "limit" in call.query else {}
    headers = link_to(FILTERS, {**limit, "cursor": page.cursor}) if page.cursor is not None else {}
    return Reply(outcome, page.items, headers=headers)
