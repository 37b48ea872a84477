"""Detects that the Resolver lost facts, and sends it everything again.

A Resolver whose database was restored from an older copy has lost facts that Core counts as delivered. So Core repeats
the last fact that the Resolver took every few seconds. A Resolver that remembers it answers that it was repeated; one
that records it as new has lost what came since its copy was made. It then gets every component, package and vehicle.

Core keeps the last fact in a file of its data folder, so that a restart of Core does not hide the loss.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import sqlalchemy as sa

from sota.boundaries.b5_core_resolver.client import FactsClient
from sota.boundaries.b5_core_resolver.messages import (
    ComponentRegistered,
    Fact,
    FactResult,
    FactStatus,
    PackageRegistered,
)
from sota.core import facts
from sota.core.tables import component, package
from sota.core.vehicles import store
from sota.kit.errors import SotaError
from sota.kit.files.durable import private_folder, write_atomic
from sota.kit.runtime.clock import Clock
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Database, Tx
from sota.kit.sql.outbox import Relay

VEHICLES_AT_ONCE = 200
FILE = "resolver-last-fact.json"


class Resync:
    """Sends facts to the Resolver, and detects that it lost earlier ones."""

    def __init__(self, db: Database, resolver: FactsClient, clock: Clock, folder: Path, *, every_s: float) -> None:
        self._db, self._resolver, self._clock, self._every_s = db, resolver, clock, every_s
        self._file = folder / FILE
        self._last: Fact | None = None
        self._kept: Fact | None = None
        self._forgot = asyncio.Event()
        self.relay: Relay | None = None

    async def tell(self, new: Sequence[Fact]) -> list[FactResult]:
        """Send facts after the last one of before, so that a loss is detected before anything hides it.

        Raises:
            Unavailable: the Resolver is away.
        """
        last = self._last
        results = await self._resolver.tell([*([last] if last is not None else []), *new])
        if last is not None and results:
            if results[0].status is FactStatus.RECORDED:
                self._forgot.set()
            results = results[1:]
        taken = [fact for fact, one in zip(new, results, strict=False) if one.status is not FactStatus.REFUSED]
        self._last = taken[-1] if taken else self._last
        return results

    async def run(self) -> None:
        """Look every few seconds until cancelled."""
        await asyncio.to_thread(self._read)
        while True:
            with contextlib.suppress(SotaError):  # the Resolver or the database is away: the next check is soon
                await self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._forgot.wait()

    async def look(self) -> bool:
        """Check that the Resolver remembers the last fact; if not, send everything again and return True.

        Raises:
            SotaError: the Resolver or the database is away; what must be told is not forgotten.
        """
        last = self._last
        if last is None:
            return False
        await self.tell([])
        if last is not self._kept:
            await asyncio.to_thread(self._write, last)
        if not self._forgot.is_set():
            return False
        get_logger().warning("resolver_forgot_facts", fact=last.id)
        await self._tell_all()
        self._forgot.clear()
        return True

    async def _tell_all(self) -> None:
        await self._db.transact(self._tell_registers)
        after: str | None = None
        while True:
            vins = await self._db.transact(lambda tx, after=after: self._tell_vehicles(tx, after))  # type: ignore[misc]
            if self.relay is not None:
                self.relay.wake()
            if not vins:
                return
            after = vins[-1]

    async def _tell_registers(self, tx: Tx) -> None:
        numbers = (await tx.execute(sa.select(component.c.part_number, component.c.description))).all()
        versions = (await tx.execute(sa.select(package.c.name, package.c.version))).all()
        told: list[Fact] = [
            ComponentRegistered(id=facts.fact_id(), part_number=row.part_number, description=row.description)
            for row in numbers
        ]
        told += [PackageRegistered(id=facts.fact_id(), name=row.name, version=row.version) for row in versions]
        size = VEHICLES_AT_ONCE
        topics = [("components", told[start : start + size]) for start in range(0, len(told), size)]
        await facts.tell(tx, self._clock, topics)

    async def _tell_vehicles(self, tx: Tx, after: str | None) -> list[str]:
        found = (await store.list_vehicles(tx, after, VEHICLES_AT_ONCE)).data or []
        vins = [one.vin for one in found]
        held = await store.lock_vehicles(tx, vins)  # what is read here does not change before it is sent
        packages, components = await store.read_installed(tx, vins), await store.read_components(tx, vins)
        told = [(vin, [facts.provisioned(vin, components[vin], packages[vin])]) for vin in vins if vin in held]
        await facts.tell(tx, self._clock, told)
        return vins

    def _read(self) -> None:
        try:
            self._kept = msgspec.json.decode(self._file.read_bytes(), type=Fact)
        except (OSError, msgspec.DecodeError):
            return  # a new Core, or one whose folder was lost: it starts with its next fact
        self._last = self._last or self._kept

    def _write(self, fact: Fact) -> None:
        with contextlib.suppress(OSError):  # a full disk: the next check tries again
            private_folder(self._file.parent)
            write_atomic(self._file, msgspec.json.encode(fact))
            self._kept = fact
