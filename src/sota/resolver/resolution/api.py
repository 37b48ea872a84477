"""Route of the resolve: B3-5 and B5-1, as an array or, by ``Accept: application/x-ndjson``, one object a line.

Both are streamed: the first vehicles arrive while the last are still looked for. An answer that breaks off, because
something failed on the way, ends without the end that its encoding needs: no caller takes a part for the whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from sota.boundaries.b3_web_resolver.messages import Resolved, ResolveRequest
from sota.boundaries.interaction import serves
from sota.boundaries.values import PackageId
from sota.kit.http_message import Call, Reply
from sota.resolver.dependencies.model import Planned
from sota.resolver.resolution.service import Decision, Resolution, Resolver

NDJSON = "application/x-ndjson"


class ResolutionApi:
    """What the Web Server and Core ask."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver

    @serves("WL-B3-5", "WL-B5-1")
    async def resolve(self, call: Call[ResolveRequest]) -> Reply:
        """Give the vehicles that a package is for, each with what it must get."""
        resolution = await self.resolver.prepare(call.body.package)
        if NDJSON in call.headers.get("accept", ""):
            return Reply("resolved", stream=self._lines(resolution), content_type=NDJSON)
        return Reply("resolved", stream=self._array(resolution))

    async def _lines(self, resolution: Resolution) -> AsyncIterator[bytes]:
        async for decisions in self.resolver.decide(resolution):
            objects = _encode(decisions)
            if objects:
                yield b"\n".join(objects) + b"\n"

    async def _array(self, resolution: Resolution) -> AsyncIterator[bytes]:
        before = b"["
        async for decisions in self.resolver.decide(resolution):
            objects = _encode(decisions)
            if objects:
                yield before + b",".join(objects)
                before = b","
        yield b"[]" if before == b"[" else b"]"


def _encode(decisions: list[Decision]) -> list[bytes]:
    return [
        msgspec.json.encode(
            Resolved(
                vin=decision.vin,
                packages=[PackageId(name=one.name, version=one.version) for one in decision.plan.packages],
            )
        )
        for decision in decisions
        if isinstance(decision.plan, Planned)
    ]
