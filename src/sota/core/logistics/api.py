"""Routes of provisioning: B12-1, NDJSON in and NDJSON out.

A result is given when its line is committed. Results wait in memory and then in a file while the caller is still
sending, so that a caller who reads only afterwards cannot bring both sides to a halt.
"""

from __future__ import annotations

import asyncio
import codecs
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from sota.boundaries.b12_logistics_core.messages import ProvisionedVehicle, ProvisionResult, ProvisionStatus
from sota.boundaries.interaction import serves
from sota.core.logistics import service
from sota.core.logistics.model import Known, Line
from sota.kit.clock import Clock
from sota.kit.db import Database
from sota.kit.errors import Invalid, SotaError
from sota.kit.http_message import Call, Reply
from sota.kit.logging import get_logger
from sota.kit.outbox import Relay

BATCH = 200
MAX_LINE = 4 << 20
BOM = codecs.BOM_UTF8  # what some editors put before a file
SPOOLED_IN_MEMORY = 1 << 20


class LogisticsApi:
    """What Logistics & Provisioning tells Core."""

    def __init__(self, db: Database, relay: Relay, clock: Clock) -> None:
        self.db, self.relay, self.clock = db, relay, clock
        self._decoder = msgspec.json.Decoder(ProvisionedVehicle)

    @serves("X-B12-1")
    async def provision_vehicles(self, call: Call[Any]) -> Reply:
        """Take vehicles as they are built, a line each."""
        return Reply("provisioned", stream=self._answer(call), content_type="application/x-ndjson")

    async def _answer(self, call: Call[Any]) -> AsyncIterator[bytes]:
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

    async def _read(self, call: Call[Any], spool: Spool) -> None:
        """Read the request to its end, whatever is in it, and leave the results in the spool."""
        batch: list[Line] = []
        number = 0
        try:
            async for text in _lines(call):
                number += 1
                if not text.strip():
                    continue
                try:
                    line = self._read_line(number, text)
                except msgspec.DecodeError as error:
                    spool.write([_refused(number, str(error))])
                    continue
                if any(line.vin == other.vin for other in batch):
                    await self._provision(batch, spool)
                    batch = []
                batch.append(line)
                if len(batch) == BATCH:
                    await self._provision(batch, spool)
                    batch = []
            await self._provision(batch, spool)
        except SotaError as error:
            spool.write([_refused(number, error.detail)])
        finally:
            spool.end()

    def _read_line(self, number: int, text: bytes) -> Line:
        vehicle = self._decoder.decode(text)
        packages = {(package.name, package.version) for package in vehicle.packages}
        return Line(number, vehicle.vin, Known(set(vehicle.components), packages, vehicle.data_plan))

    async def _provision(self, batch: list[Line], spool: Spool) -> None:
        if not batch:
            return
        try:
            results = await self.db.transact(lambda tx: service.provision(tx, batch, self.clock))
        except SQLAlchemyError as error:
            get_logger().error("provisioning_failed", first_line=batch[0].number, reason=str(error)[:500])
            results = [_refused(line.number, "It could not be stored: send it again.", line.vin) for line in batch]
        spool.write(results)
        self.relay.wake()


class Spool:
    """Results that wait for their reader: a few in memory, many in a file without a name."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=SPOOLED_IN_MEMORY)  # noqa: SIM115 - close() closes it
        self._written = self._read = 0
        self._ended = False
        self._changed = asyncio.Event()

    def write(self, results: list[ProvisionResult]) -> None:
        """Leave results."""
        self._file.seek(self._written)
        self._file.write(b"".join(msgspec.json.encode(result) + b"\n" for result in results))
        self._written = self._file.tell()
        self._changed.set()

    def end(self) -> None:
        """Say that nothing follows."""
        self._ended = True
        self._changed.set()

    async def parts(self) -> AsyncIterator[bytes]:
        """Give what is there, as it comes, to the end."""
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
        """Give the file back."""
        self._file.close()


async def _lines(call: Call[Any]) -> AsyncIterator[bytes]:
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
