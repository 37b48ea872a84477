"""Rows of B1 about dependencies, explanations, previews and recorded resolutions, which go on to the Resolver (B3)."""

from __future__ import annotations

from typing import Any

from sota.boundaries.b2_web_core.client import CoreClient
from sota.boundaries.b3_web_resolver.resolution_client import ResolutionClient
from sota.boundaries.b3_web_resolver.resolution_messages import ExplainRequest, TypedExpression
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.values import PackageId
from sota.kit.errors import Invalid
from sota.web.gateway.answer import answering, listed, paging, read_flag


class ResolutionApi:
    """What filters and dependencies decide, and why.

    The Resolver learns of the fleet from Core: what looks at vehicles waits until it knows what Core has acknowledged.
    """

    def __init__(self, resolver: ResolutionClient, core: CoreClient) -> None:
        self._resolver, self._core = resolver, core

    @serves("X-B1-65")
    async def filters_of(self, call: Call[Any]) -> Reply:
        """List a package's filters."""
        with answering(call.row):
            return listed(call, await self._resolver.filters_of(_package(call), **paging(call.query)))

    @serves("X-B1-66")
    async def detach(self, call: Call[Any]) -> Reply:
        """Detach a filter from a package."""
        widen = read_flag(call.query, "widen")
        with answering(call.row):
            await self._core.wait_for_resolver()
            await self._resolver.detach(_package(call), call.path["filter"], widen=widen)
        return Reply("detached")

    @serves("X-B1-33")
    async def dependencies(self, call: Call[Any]) -> Reply:
        """List what a package needs."""
        recursive = call.query.get("recursive", "false")
        if recursive not in ("true", "false"):
            raise Invalid(f"recursive must be true or false, not {recursive[:40]!r}.")
        with answering(call.row):
            found = await self._resolver.dependencies_of(_package(call), recursive=recursive == "true")
        return Reply("listed" if found else "empty", found)

    @serves("X-B1-34")
    async def declare_dependencies(self, call: Call[list[PackageId]]) -> Reply:
        """Make what a package needs exactly these."""
        with answering(call.row):
            return Reply("declared", await self._resolver.declare_dependencies(_package(call), call.body))

    @serves("X-B1-35")
    async def drop_dependencies(self, call: Call[Any]) -> Reply:
        """Delete one need of a package, or all."""
        with answering(call.row):
            return Reply("dropped", await self._resolver.drop_dependencies(_package(call), call.query.get("needs")))

    @serves("X-B1-36")
    async def explain(self, call: Call[ExplainRequest]) -> Reply:
        """Say why a vehicle gets a package or not."""
        with answering(call.row):
            await self._core.wait_for_resolver()
            return Reply("explained", await self._resolver.explain(call.body))

    @serves("X-B1-37")
    async def preview(self, call: Call[TypedExpression]) -> Reply:
        """Count the vehicles for which an expression is true."""
        with answering(call.row):
            await self._core.wait_for_resolver()
            return Reply("previewed", await self._resolver.preview(call.body.expression))

    @serves("X-B1-38")
    async def validate(self, call: Call[TypedExpression]) -> Reply:
        """Say whether an expression can be evaluated."""
        with answering(call.row):
            return Reply("validated", await self._resolver.validate(call.body.expression))

    @serves("X-B1-39")
    async def format(self, call: Call[TypedExpression]) -> Reply:
        """Tidy an expression."""
        with answering(call.row):
            return Reply("formatted", await self._resolver.format(call.body.expression))

    @serves("X-B1-60")
    async def preview_package(self, call: Call[Any]) -> Reply:
        """Say what a resolve of a package would decide now."""
        with answering(call.row):
            await self._core.wait_for_resolver()
            return Reply("previewed", await self._resolver.preview_package(_package(call)))

    @serves("X-B1-61")
    async def resolution(self, call: Call[Any]) -> Reply:
        """Give a recorded resolution."""
        with answering(call.row):
            return Reply("found", await self._resolver.resolution(call.path["id"]))

    @serves("X-B1-62")
    async def chosen(self, call: Call[Any]) -> Reply:
        """List the vehicles that a recorded resolution chose."""
        with answering(call.row):
            return listed(call, await self._resolver.chosen(call.path["id"], **paging(call.query)))

    @serves("X-B1-63")
    async def left_out(self, call: Call[Any]) -> Reply:
        """List the vehicles that a recorded resolution left out."""
        with answering(call.row):
            return listed(call, await self._resolver.left_out(call.path["id"], **paging(call.query)))

    @serves("X-B1-64")
    async def difference(self, call: Call[Any]) -> Reply:
        """List the vehicles for which two recorded resolutions decided otherwise."""
        to = call.query.get("to")
        if to is None:
            raise Invalid("to must be the id of the resolution to compare with.")
        with answering(call.row):
            return listed(call, await self._resolver.difference(call.path["id"], to, **paging(call.query)))


def _package(call: Call[Any]) -> PackageId:
    return PackageId(name=call.path["name"], version=call.path["version"])
