"""Route of the resolve: B3-5 and B5-1, as an array or, by ``Accept: application/x-ndjson``, one object a line.

Both are streamed: the first vehicles are sent while others are still being searched. If something fails on the way,
the answer lacks the end that its encoding needs: no caller takes a part for the whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from uuid import UUID

import msgspec

from sota.boundaries.b3_web_resolver.messages import Resolved, ResolveRequest
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.resolver.dependencies.model import Planned, to_package_id
from sota.resolver.recorded.service import Records
from sota.resolver.resolution.model import Decision
from sota.resolver.resolution.service import Resolver

NDJSON = "application/x-ndjson"
AT_ONCE = 2_000
# A placeholder for a VIN: no name or version of a package that can be sent contains a space.
PLACE = " "


class ResolutionApi:
    """Resolves packages for the Web Server and Core."""

    def __init__(self, resolver: Resolver, records: Records) -> None:
        self.resolver, self.records = resolver, records

    @serves("WL-B3-5", "WL-B5-1")
    async def resolve(self, call: Call[None, None, ResolveRequest]) -> Reply:
        """Return the vehicles that a package is for, each with what it must get.

        Under a ``resolution_id`` all of it is frozen before any of it is sent: see ``recorded/service.py``.
        """
        decisions = await self._decide(call.body)
        if NDJSON in call.headers.get("accept", ""):
            return Reply("resolved", stream=self._lines(decisions), content_type=NDJSON)
        return Reply("resolved", stream=self._array(decisions))

    async def _decide(self, asked: ResolveRequest) -> AsyncIterator[list[Decision]]:
        if asked.resolution_id is None:
            return self.resolver.decide(await self.resolver.prepare(asked.package))
        return self.records.decisions(await self.records.resolve(UUID(asked.resolution_id), asked.package))

    async def _lines(self, found: AsyncIterator[list[Decision]]) -> AsyncIterator[bytes]:
        async for decisions in found:
            for objects in _encode(decisions, "\n"):
                yield objects + b"\n"

    async def _array(self, found: AsyncIterator[list[Decision]]) -> AsyncIterator[bytes]:
        before = b"["
        async for decisions in found:
            for objects in _encode(decisions, ","):
                yield before + objects
                before = b","
        yield b"[]" if before == b"[" else b"]"


def _encode(decisions: Sequence[Decision], between: str) -> Iterator[bytes]:
    """Encode the vehicles that get something, some hundred kilobytes at a time.

    Vehicles of a group differ only in their VIN, which needs no escaping: the rest is encoded once.
    """
    for decision in decisions:
        if isinstance(decision.plan, Planned):
            packages = [to_package_id(one) for one in decision.plan.packages]
            before, after = msgspec.json.encode(Resolved(vin=PLACE, packages=packages)).decode().split(PLACE)
            for start in range(0, len(decision.vins), AT_ONCE):
                vins = decision.vins[start : start + AT_ONCE]
                yield f"{before}{f'{after}{between}{before}'.join(vins)}{after}".encode()
