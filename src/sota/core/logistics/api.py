"""Routes of provisioning: B12-1, NDJSON in and NDJSON out.

Rules kept here:

* a result is sent when its line is committed. While the caller is still sending, results wait in memory and then in a
  file, so that a caller that reads only afterwards causes no deadlock;
* a line is refused only for its own fault. If another stream brings the same names at the same moment, or the database
  aborts a transaction, the lines are stored again;
* if the database cannot be written, the answer is 503, or breaks off if results were sent already. Lines with a result
  are stored, and the whole file can be sent again.
"""

from __future__ import annotations

import asyncio
import codecs
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator

import msgspec
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from sota.boundaries.b12_logistics_core.messages import ProvisionedVehicle, ProvisionResult, ProvisionStatus
from sota.boundaries.binding.call import AnyCall, Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.core.logistics import service
from sota.core.logistics.model import Known, Line
from sota.core.vehicles.model import two_versions
from sota.kit.errors import Invalid, SotaError, Unavailable
from sota.kit.runtime.clock import Clock
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Database
from sota.kit.sql.outbox import Relay

BATCH = 400
# Streams with the same names at the same time: each collision is with another one that has committed.
REPEATED = 8
MAX_LINE = 4 << 20
BOM = codecs.BOM_UTF8  # some editors put it before a file
SPOOLED_IN_MEMORY = 1 << 20


class LogisticsApi:
    """Receives vehicles from Logistics & Provisioning."""

    def __init__(self, db: Database, relay: Relay, clock: Clock) -> None:
        self.db, self.relay, self.clock = db, relay, clock
        self._decoder = msgspec.json.Decoder(ProvisionedVehicle)

    @serves("X-B12-1")
    async def provision_vehicles(self, call: Call[None, None, None]) -> Reply:
        """Register vehicles as they are built, one a line."""
        answer = self._answer(call)
        try:
            first = await anext(answer, b"")
        except BaseException:
            await answer.aclose()
            raise
        return Reply("provisioned", stream=_chain(first, answer), content_type="application/x-ndjson")

    async def _answer(self, call: AnyCall) -> AsyncGenerator[bytes]:
        spool = Spool()
        reading = asyncio.create_task(self._read(call, spool))
        try:
            async for part in spool.parts():
                yield part
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            spool.close()

    async def _read(self, call: AnyCall, spool: Spool) -> None:
        """Read the request to its end, whatever is in it, and leave the results in the spool."""
        batch: dict[str, Line] = {}
        number = 0
        try:
            async for text in _lines(call):
                number += 1
                if not text.strip():
                    continue
                try:
                    line = self._read_line(number, text)
                except (msgspec.DecodeError, ValueError) as error:
                    spool.write([_refused(number, str(error))])
                    continue
                if line.vin in batch or len(batch) == BATCH:
                    await self._provision([*batch.values()], spool)
                    batch = {}
                batch[line.vin] = line
            await self._provision([*batch.values()], spool)
        except Unavailable:
            raise  # not a fault of the line
        except SotaError as error:
            spool.write([_refused(number, error.detail)])
        finally:
            spool.end()

    def _read_line(self, number: int, text: bytes) -> Line:
        vehicle = self._decoder.decode(text)
        packages = {(package.name, package.version) for package in vehicle.packages}
        name = two_versions(packages)
        if name is not None:
            raise ValueError(f"The package {name} is listed in two versions: a vehicle has one.")
        return Line(number, vehicle.vin, Known(set(vehicle.components), packages, vehicle.data_plan))

    async def _provision(self, batch: list[Line], spool: Spool) -> None:
        if not batch:
            return
        spool.write(await self._store(batch))
        self.relay.wake()

    async def _store(self, batch: list[Line]) -> list[ProvisionResult]:
        """Store some lines; if they cannot be stored together, one by one, to find the bad one."""
        collision: IntegrityError | None = None
        for _ in range(REPEATED):
            try:
                return await self.db.transact(lambda tx: service.provision(tx, batch, self.clock))
            except IntegrityError as error:
                # Another stream inserted one of the names first. It has ended by now: the next attempt sees it.
                collision = error
            except SQLAlchemyError as error:
                get_logger().error("provisioning_failed", first_line=batch[0].number, reason=str(error)[:500])
                break
        else:
            get_logger().error("provisioning_collides", first_line=batch[0].number, reason=str(collision)[:500])
        if len(batch) > 1:
            return [result for line in batch for result in await self._store([line])]
        return [_refused(batch[0].number, "It cannot be stored.", batch[0].vin)]


class Spool:
    """Results that wait for their reader: a few in memory, many in an unnamed file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=SPOOLED_IN_MEMORY)  # noqa: SIM115 - close() closes it
        self._written = self._read = 0
        self._ended = False
        self._changed = asyncio.Event()

    def write(self, results: list[ProvisionResult]) -> None:
        """Add results."""
        self._file.seek(self._written)
        self._file.write(b"".join(msgspec.json.encode(result) + b"\n" for result in results))
        self._written = self._file.tell()
        self._changed.set()

    def end(self) -> None:
        """Note that no more results follow."""
        self._ended = True
        self._changed.set()

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield results as they come, to the end."""
        while True:
            self._changed.clear()
            while self._read < self._written:
                self._file.seek(self._read)
                part = self._file.read(min(1 << 16, self._written - self._read))
                self._read += len(part)
                yield part
            if self._ended and self._read == self._written:
                return
            await self._changed.wait()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


async def _chain(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    try:
        if first:
            yield first
        async for part in rest:
            yield part
    finally:
        await rest.aclose()


async def _lines(call: AnyCall) -> AsyncIterator[bytes]:
    rest, is_begun = b"", False
    async for part in call.stream():
        *whole, rest = (rest + part).split(b"\n")
        if whole and not is_begun:
            whole[0], is_begun = whole[0].removeprefix(BOM), True
        for line in whole:
            yield line
        if len(rest) > MAX_LINE:
            raise Invalid(f"A line may have {MAX_LINE} bytes at most.")
    if rest:
        yield rest if is_begun else rest.removeprefix(BOM)


def _refused(number: int, detail: str, vin: str | None = None) -> ProvisionResult:
    return ProvisionResult(line=number, status=ProvisionStatus.REFUSED, vin=vin, detail=detail)
