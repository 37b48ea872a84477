"""What programs and tests use for dependencies, previews and recorded resolutions, with a token."""

from __future__ import annotations

from collections.abc import Sequence

from sota.boundaries.b3_web_resolver import resolution_messages as messages
from sota.boundaries.b3_web_resolver import resolution_rows as rows
from sota.boundaries.b3_web_resolver import rows as filter_rows
from sota.boundaries.b3_web_resolver.messages import Filter, Resolved
from sota.boundaries.b3_web_resolver.queries import DependencyQuery, DifferenceQuery, DropQuery
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import BoundaryClient, Page
from sota.boundaries.parameters import ListQuery, PackageFilterPath, WidenQuery
from sota.boundaries.values import MessageOnly, PackageId


class ResolutionClient(BoundaryClient):
    """What filters and dependencies decide."""

    @calls("X-B1-65")
    async def filters_of(self, package: PackageId, query: ListQuery | None = None) -> Page[Filter]:
        """List a package's filters."""
        return await self.caller.page(filter_rows.PACKAGE_FILTERS, package, query=query)

    @calls("X-B1-66")
    async def detach(self, package: PackageId, filter_name: str, *, widen: bool = False) -> MessageOnly:
        """Detach a filter from a package; ``widen``: although the package then goes to more vehicles."""
        path = PackageFilterPath(package.name, package.version, filter_name)
        return await self.caller.call(filter_rows.DETACH_FILTER, path, query=WidenQuery(widen))

    @calls("X-B1-33")
    async def dependencies_of(self, package: PackageId, *, recursive: bool = False) -> list[messages.Dependency]:
        """List what a package needs; ``recursive``: with all that it may bring with it."""
        return await self.caller.call(rows.DEPENDENCIES, package, query=DependencyQuery(recursive))

    @calls("X-B1-34")
    async def declare_dependencies(self, package: PackageId, needs: Sequence[PackageId]) -> list[messages.Dependency]:
        """Replace a package's dependencies, each given by the least version that will do."""
        return await self.caller.call(rows.DECLARE_DEPENDENCIES, package, body=list(needs))

    @calls("X-B1-35")
    async def drop_dependencies(self, package: PackageId, needed: str | None = None) -> list[messages.Dependency]:
        """Delete a package's dependency on another one, or all of them; return those that are left."""
        return await self.caller.call(rows.DROP_DEPENDENCIES, package, query=DropQuery(needed))

    @calls("X-B1-36")
    async def explain(self, request: messages.ExplainRequest) -> messages.Explanation:
        """Explain why a vehicle gets a package or not."""
        return await self.caller.call(rows.EXPLAIN, body=request)

    @calls("X-B1-37")
    async def preview(self, expression: str) -> messages.Preview:
        """Count the vehicles for which an expression is true."""
        return await self.caller.call(rows.PREVIEW, body=messages.TypedExpression(expression=expression))

    @calls("X-B1-38")
    async def validate(self, expression: str) -> messages.Validation:
        """Validate an expression."""
        return await self.caller.call(rows.VALIDATE, body=messages.TypedExpression(expression=expression))

    @calls("X-B1-39")
    async def format(self, expression: str) -> messages.Formatted:
        """Tidy an expression."""
        return await self.caller.call(rows.FORMAT, body=messages.TypedExpression(expression=expression))

    @calls("X-B1-60")
    async def preview_package(self, package: PackageId) -> messages.PackagePreview:
        """Preview what a resolve of a package would decide now."""
        return await self.caller.call(rows.PREVIEW_PACKAGE, package)

    @calls("X-B1-61")
    async def resolution(self, resolution_id: str) -> messages.Resolution:
        """Return a recorded resolution."""
        return await self.caller.call(rows.RESOLUTION, {"id": resolution_id})

    @calls("X-B1-62")
    async def chosen(self, resolution_id: str, query: ListQuery | None = None) -> Page[Resolved]:
        """List the vehicles that a recorded resolution chose."""
        return await self.caller.page(rows.CHOSEN, {"id": resolution_id}, query=query)

    @calls("X-B1-63")
    async def left_out(self, resolution_id: str, query: ListQuery | None = None) -> Page[messages.LeftOutVehicle]:
        """List the vehicles that a recorded resolution left out."""
        return await self.caller.page(rows.LEFT_OUT, {"id": resolution_id}, query=query)

    @calls("X-B1-64")
    async def difference(self, resolution_id: str, query: DifferenceQuery) -> Page[messages.Difference]:
        """List the vehicles for which two recorded resolutions decided otherwise."""
        return await self.caller.page(rows.DIFFERENCE, {"id": resolution_id}, query=query)
