"""Dependencies, explanations, previews and recorded resolutions for a caller: the same on B1 and on B3."""

from __future__ import annotations

from collections.abc import Sequence

from sota.boundaries.b3_web_resolver import resolution_rows as rows
from sota.boundaries.b3_web_resolver import rows as filter_rows
from sota.boundaries.b3_web_resolver.messages import Filter, Resolved
from sota.boundaries.b3_web_resolver.resolution_messages import (
    Dependency,
    Difference,
    ExplainRequest,
    Explanation,
    Formatted,
    LeftOutVehicle,
    PackagePreview,
    Preview,
    Resolution,
    TypedExpression,
    Validation,
)
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import Caller, Page
from sota.boundaries.values import PackageId, Said
from sota.kit.http.client import HttpClient


class ResolutionClient:
    """What filters and dependencies decide."""

    def __init__(self, client: HttpClient) -> None:
        self._caller = Caller(client)

    @calls("X-B1-65", "X-B3-1")
    async def filters_of(
        self, package: PackageId, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Filter]:
        """List a package's filters."""
        query = {"limit": limit, "cursor": cursor}
        return await self._caller.page(filter_rows.PACKAGE_FILTERS, _path(package), query=query)

    @calls("X-B1-66", "X-B3-26")
    async def detach(self, package: PackageId, filter_name: str, *, widen: bool = False) -> Said:
        """Detach a filter from a package; ``widen``: although the package then goes to more vehicles."""
        path = {**_path(package), "filter": filter_name}
        query = {"widen": "true"} if widen else None
        return await self._caller.call(filter_rows.DETACH_FILTER, path, query=query)

    @calls("X-B1-33", "X-B3-14")
    async def dependencies_of(self, package: PackageId, *, recursive: bool = False) -> list[Dependency]:
        """List what a package needs; ``recursive``: with all that it may bring with it."""
        query = {"recursive": "true"} if recursive else None
        return await self._caller.call(rows.DEPENDENCIES, _path(package), query=query)

    @calls("X-B1-34", "X-B3-15")
    async def declare_dependencies(self, package: PackageId, needs: Sequence[PackageId]) -> list[Dependency]:
        """Make a package's dependencies exactly these, each the least version that will do."""
        return await self._caller.call(rows.DECLARE_DEPENDENCIES, _path(package), body=list(needs))

    @calls("X-B1-35", "X-B3-16")
    async def drop_dependencies(self, package: PackageId, needed: str | None = None) -> list[Dependency]:
        """Delete a package's dependency on another one, or all of them; gives those that are left."""
        return await self._caller.call(rows.DROP_DEPENDENCIES, _path(package), query={"needs": needed})

    @calls("X-B1-36", "X-B3-17")
    async def explain(self, request: ExplainRequest) -> Explanation:
        """Say why a vehicle gets a package or not."""
        return await self._caller.call(rows.EXPLAIN, body=request)

    @calls("X-B1-37", "X-B3-18")
    async def preview(self, expression: str) -> Preview:
        """Say how many vehicles an expression is true for."""
        return await self._caller.call(rows.PREVIEW, body=TypedExpression(expression=expression))

    @calls("X-B1-38", "X-B3-19")
    async def validate(self, expression: str) -> Validation:
        """Say whether an expression can be evaluated."""
        return await self._caller.call(rows.VALIDATE, body=TypedExpression(expression=expression))

    @calls("X-B1-39", "X-B3-20")
    async def format(self, expression: str) -> Formatted:
        """Tidy an expression."""
        return await self._caller.call(rows.FORMAT, body=TypedExpression(expression=expression))

    @calls("X-B1-60", "X-B3-21")
    async def preview_package(self, package: PackageId) -> PackagePreview:
        """Say what a resolve of a package would decide now."""
        return await self._caller.call(rows.PREVIEW_PACKAGE, _path(package))

    @calls("X-B1-61", "X-B3-22")
    async def resolution(self, resolution_id: str) -> Resolution:
        """Look a recorded resolution up."""
        return await self._caller.call(rows.RESOLUTION, {"id": resolution_id})

    @calls("X-B1-62", "X-B3-23")
    async def chosen(
        self, resolution_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Resolved]:
        """List the vehicles that a recorded resolution chose."""
        return await self._caller.page(rows.CHOSEN, {"id": resolution_id}, query={"limit": limit, "cursor": cursor})

    @calls("X-B1-63", "X-B3-24")
    async def left_out(
        self, resolution_id: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[LeftOutVehicle]:
        """List the vehicles that a recorded resolution left out."""
        return await self._caller.page(rows.LEFT_OUT, {"id": resolution_id}, query={"limit": limit, "cursor": cursor})

    @calls("X-B1-64", "X-B3-25")
    async def difference(
        self, resolution_id: str, to: str, *, limit: int | None = None, cursor: str | None = None
    ) -> Page[Difference]:
        """List the vehicles for which two recorded resolutions decided otherwise."""
        query = {"to": to, "limit": limit, "cursor": cursor}
        return await self._caller.page(rows.DIFFERENCE, {"id": resolution_id}, query=query)


def _path(package: PackageId) -> dict[str, str]:
    return {"name": package.name, "version": package.version}
