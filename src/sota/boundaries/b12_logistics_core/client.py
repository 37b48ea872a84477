"""What a logistics system, the demo and tests use to tell SOTA Core about vehicles as they are built."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice

from sota.boundaries.b12_logistics_core import rows
from sota.boundaries.b12_logistics_core.messages import ProvisionedVehicle, ProvisionResult
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import NDJSON, BoundaryClient, encode_lines

BATCH = 500


class LogisticsClient(BoundaryClient):
    """SOTA Core, as Logistics & Provisioning sees it."""

    @calls("X-B12-1")
    async def provision(self, vehicles: Iterable[ProvisionedVehicle]) -> AsyncIterator[ProvisionResult]:
        """Send vehicles; yield a result for each, with its number among all of them.

        After a break the same vehicles may be sent again. They go out in batches, so that neither side waits with full
        buffers for the other.
        """
        done = 0
        for batch in _batches(vehicles):
            body = encode_lines(batch)
            results: AsyncIterator[ProvisionResult] = self.caller.lines(
                rows.PROVISION_VEHICLES, body=body, content_type=NDJSON
            )
            async for result in results:
                yield ProvisionResult(
                    line=done + result.line, status=result.status, vin=result.vin, detail=result.detail
                )
            done += len(batch)


def _batches(vehicles: Iterable[ProvisionedVehicle]) -> Iterator[list[ProvisionedVehicle]]:
    rest = iter(vehicles)
    while batch := list(islice(rest, BATCH)):
        yield batch
