"""What SOTA Core uses to call the External Resolver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import msgspec

from sota.boundaries.b5_core_resolver import rows
from sota.boundaries.b5_core_resolver.messages import Fact, FactResult, Filter, Resolved, ResolveRequest
from sota.boundaries.calling import NDJSON, Caller, encode_lines
from sota.boundaries.interaction import calls
from sota.boundaries.values import PackageId
from sota.kit.http_client import HttpClient


class FactsClient:
    """The External Resolver, as SOTA Core sees it: ask for vehicles, tell facts about them."""

    def __init__(self, client: HttpClient) -> None:
        self._caller = Caller(client)

    @calls("WL-B5-1")
    async def resolve(self, package: PackageId, resolution_id: str | None = None) -> AsyncIterator[Resolved]:
        """Give, one after the other, the vehicles that a package is for, each with what it must get.

        ``resolution_id`` is a new UUIDv7 of the caller's. Under it the Resolver freezes all that it decides, the
        vehicles left out and their reasons included, before it gives any of it: whatever was received of an answer,
        however little, is part of what the same call gives again, in the same order, from any process and after any
        crash. So a caller who keeps the id, and was stopped in the middle, asks again and goes on where it was.

        Raises:
            Refused: ``package_missing``, ``filters_missing``; ``resolution_exists``: the id stands for another package.
            Unavailable: the Resolver is away; it ended before its answer did; or another call under the same id is
                making the resolution just now. The same call may succeed later.
        """
        body = msgspec.json.encode(ResolveRequest(package=package, resolution_id=resolution_id))
        async for resolved in self._caller.lines(rows.RESOLVE, body=body):
            yield resolved

    @calls("WL-B5-2")
    async def tell(self, facts: Sequence[Fact]) -> list[FactResult]:
        """Tell facts, in their order; gives a result for each. The same facts may be told again."""
        lines = self._caller.lines(rows.TELL_FACTS, body=encode_lines(facts), content_type=NDJSON)
        return [result async for result in lines]

    @calls("X-B5-1")
    async def filters_of(self, package: PackageId) -> list[Filter]:
        """List a package's filters."""
        path = {"name": package.name, "version": package.version}
        found: list[Filter] = await self._caller.call(rows.PACKAGE_FILTERS, path)
        return found
