"""What SOTA Core uses to call the External Resolver."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import msgspec

from sota.boundaries.b3_web_resolver.messages import Filter, Resolved, ResolveRequest
from sota.boundaries.b3_web_resolver.resolution_messages import Resolution
from sota.boundaries.b5_core_resolver import rows
from sota.boundaries.b5_core_resolver.messages import Fact, FactResult
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import NDJSON, BoundaryClient, decode_line, encode_lines
from sota.boundaries.values import PackageId

_BEFORE_VIN, _VIN_END = b'{"vin":"', len(b'{"vin":"') + 17
_VINS = re.compile(rb"(?:[A-Z0-9]{17})*")


@dataclass(frozen=True, slots=True)
class ResolvedSet:
    """Vehicles that must get the same packages, prerequisites first."""

    packages: tuple[PackageId, ...]
    vins: list[str]


class FactsClient(BoundaryClient):
    """The External Resolver, as SOTA Core sees it: ask for vehicles, tell facts about them."""

    @calls("WL-B5-1")
    async def resolve(self, package: PackageId, resolution_id: str | None = None) -> AsyncIterator[list[ResolvedSet]]:
        """Yield the vehicles that a package is for as they arrive, grouped by the packages that they get.

        ``resolution_id`` is a new UUIDv7 of the caller's. Under it the Resolver freezes all that it decides, the
        vehicles left out and their reasons included, before it sends any of it: whatever was received of an answer,
        however little, is part of what the same call returns again, in the same order, from any process and after any
        crash. A caller that keeps the id and was stopped in the middle asks again and continues.

        Raises:
            Refused: ``package_missing``, ``filters_missing``; ``resolution_exists``: the id stands for another package.
            Unavailable: the Resolver is away; it ended before its answer did; or another call under the same id is
                making the resolution just now. The same call may succeed later.
        """
        body = msgspec.json.encode(ResolveRequest(package=package, resolution_id=resolution_id))
        known: dict[bytes, tuple[PackageId, ...]] = {}
        async for lines in self.caller.line_batches(rows.RESOLVE, body=body):
            yield _read_sets(lines, known)

    @calls("WL-B5-2")
    async def tell(self, facts: Sequence[Fact]) -> list[FactResult]:
        """Send facts in their order; return a result for each. The same facts may be sent again."""
        lines: AsyncIterator[FactResult] = self.caller.lines(
            rows.TELL_FACTS, body=encode_lines(facts), content_type=NDJSON
        )
        return [result async for result in lines]

    @calls("X-B5-1")
    async def filters_of(self, package: PackageId) -> list[Filter]:
        """List a package's filters."""
        return await self.caller.call(rows.PACKAGE_FILTERS, package)

    @calls("X-B5-2")
    async def resolution(self, resolution_id: str) -> Resolution:
        """Return a recorded resolution."""
        return await self.caller.call(rows.RESOLUTION, {"id": resolution_id})


def _read_sets(lines: Sequence[bytes], known: dict[bytes, tuple[PackageId, ...]]) -> list[ResolvedSet]:
    """Group lines that differ only in their VIN; each kind of line is decoded once.

    ``known`` keeps what was decoded: a million lines are of a few kinds.
    """
    found: dict[bytes, list[bytes]] = {}
    for line in lines:
        if line:
            found.setdefault(line[:8] + line[_VIN_END:], []).append(line)
    sets: list[ResolvedSet] = []
    for kind, same in found.items():
        joined = b"".join([line[8:_VIN_END] for line in same])
        if not kind.startswith(_BEFORE_VIN + b'"') or _VINS.fullmatch(joined) is None:
            # Not as our Resolver writes it: slower, and with the decoder's own words where it is wrong.
            sets += [ResolvedSet(tuple(one.packages), [one.vin]) for one in map(_decode, same)]
            continue
        if kind not in known:
            known[kind] = tuple(_decode(same[0]).packages)
        text = joined.decode()
        sets.append(ResolvedSet(known[kind], [text[at : at + 17] for at in range(0, len(text), 17)]))
    return sets


def _decode(line: bytes) -> Resolved:
    return decode_line(rows.RESOLVE, line, Resolved)
