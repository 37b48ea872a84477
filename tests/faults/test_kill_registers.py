"""Programs killed during registrations and uploads: both registers or neither (docs/specification.md, ruling 8).

Core's and the Resolver's databases are read beside the programs; what was answered with success must stand in both.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from sota.core import tables as core
from sota.kit.audit.model import RecordFilter
from sota.kit.audit.trail import AuditTrail
from sota.kit.errors import SotaError, Unavailable
from sota.kit.runtime.clock import SystemClock
from sota.kit.sql.database import Database
from sota.resolver import tables as resolver
from tests.support.packages import DebFile
from tests.support.system import System, running_system
from tests.support.thorough import IS_THOROUGH
from tests.support.waiting import until

NUMBERS = itertools.count(1)
AT_ONCE = 16
KILLS = 20 if IS_THOROUGH else 4
SETTINGS = {"web": {"intent_wait_s": 3.0, "intent_retry_s": 0.5}}


@pytest.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with running_system(tmp_path_factory.mktemp("registers"), settings=SETTINGS) as system:
        yield system


def _new_vin() -> str:
    return f"WVWZZZ1KZ7W{next(NUMBERS):06}"


async def _read(database: Database, *columns: sa.Column[str]) -> set[str]:
    async with database.read() as tx:
        return {"/".join(row) for row in await tx.execute(sa.select(*columns))}


async def _registers(system: System, which: str) -> tuple[set[str], set[str]]:
    """Read Core's register and the Resolver's: of vehicles or of packages."""
    columns = {
        "vehicles": ((core.vehicle.c.vin,), (resolver.vehicle.c.vin,)),
        "packages": (
            (core.package.c.name, core.package.c.version),
            (resolver.package.c.name, resolver.package.c.version),
        ),
    }[which]
    databases = system.database("core"), system.database("resolver")
    try:
        return await _read(databases[0], *columns[0]), await _read(databases[1], *columns[1])
    finally:
        for database in databases:
            await database.close()


async def _wait_for_both(system: System, which: str, expected: set[str]) -> None:
    """Wait until both registers hold what was begun, and see that they hold the same."""
    latest: list[object] = []

    async def look() -> bool:
        registers = await _registers(system, which)
        latest[:] = registers
        return registers[0] == registers[1] and registers[0] >= expected

    await until(look, f"both registers have {len(expected)} {which}", timeout_s=60, latest=lambda: latest)


async def _answered(work: Awaitable[object]) -> bool:
    """Report whether a request succeeded; an absent program is expected here."""
    try:
        await work
    except (Unavailable, SotaError):
        return False
    return True


async def _in(registers: Callable[[], Awaitable[tuple[set[str], set[str]]]], number: int, name: str) -> None:
    async def look() -> bool:
        return name in (await registers())[number]

    await until(look, f"{name} is in register {number}")


@pytest.mark.parametrize("killed", ["web", "core", "resolver"])
async def test_a_program_killed_among_many_registrations_leaves_none_in_one_register_alone(
    system: System, killed: str
) -> None:
    vins = [_new_vin() for _ in range(AT_ONCE)]
    requests = [asyncio.create_task(_answered(system.web.new_vehicle(vin))) for vin in vins]
    await asyncio.wait(requests, return_when=asyncio.FIRST_COMPLETED)

    system.kill(killed)
    answered = await asyncio.gather(*requests)
    await system.restart(killed)

    succeeded = {vin for vin, success in zip(vins, answered, strict=True) if success}
    assert succeeded
    in_core, _ = await _registers(system, "vehicles")
    await _wait_for_both(system, "vehicles", succeeded | in_core)


@pytest.mark.slow
async def test_kills_at_random_moments_leave_nothing_in_one_register_alone(system: System) -> None:
    seed = int(os.environ.get("SOTA_FAULT_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"SOTA_FAULT_SEED={seed}")
    generator = random.Random(seed)
    began = time.monotonic()
    assert await _answered(system.web.new_vehicle(_new_vin()))
    takes_s = time.monotonic() - began
    succeeded: set[str] = set()
    half = 0
    for _ in range(KILLS):
        vins = [_new_vin() for _ in range(3)]
        requests = [asyncio.create_task(_answered(system.web.new_vehicle(vin))) for vin in vins]
        await asyncio.sleep(generator.uniform(0, 3 * takes_s))
        killed = generator.choice(["web", "web", "core", "resolver"])
        system.kill(killed)
        answered = await asyncio.gather(*requests)
        succeeded |= {vin for vin, success in zip(vins, answered, strict=True) if success}
        in_core, in_resolver = await _registers(system, "vehicles")
        half += in_core != in_resolver
        await system.restart(killed)

    print(f"{half} of {KILLS} kills left a vehicle in one register alone, for a moment")
    in_core, _ = await _registers(system, "vehicles")
    await _wait_for_both(system, "vehicles", succeeded | in_core)


async def test_a_vehicle_that_only_core_has_when_the_web_server_is_killed_reaches_the_resolver(system: System) -> None:
    vin = _new_vin()
    system.programs["resolver"].signal(signal.SIGSTOP)
    request = asyncio.create_task(_answered(system.web.new_vehicle(vin)))
    await _in(lambda: _registers(system, "vehicles"), 0, vin)

    system.kill("web")
    assert not await request
    system.programs["resolver"].signal(signal.SIGCONT)
    await system.restart("web")

    await _wait_for_both(system, "vehicles", {vin})
    assert await _told(system, vin) == [("WL-B1-4", f"vehicles vin={vin}", "interrupted")]


async def _told(system: System, about: str) -> list[tuple[str, str, str]]:
    """Return what the Web Server's audit trail will have in an hour, records of interrupted work included."""
    database = system.database("web")
    try:
        trail = AuditTrail(database)
        await trail.take_up(SystemClock().now() + timedelta(hours=1))
        records = await trail.latest(RecordFilter(object=about), 10, None)
        assert all(record.action.actor for record in records)
        return [(record.action.interaction, record.action.object, record.action.outcome) for record in records]
    finally:
        await database.close()


async def test_a_resolver_killed_during_a_registration_gets_it_when_it_is_back(system: System) -> None:
    vin = _new_vin()
    system.kill("resolver")

    assert not await _answered(system.web.new_vehicle(vin))
    await system.restart("resolver")

    await _wait_for_both(system, "vehicles", {vin})


async def test_an_upload_cut_by_a_kill_leaves_nothing_and_can_be_repeated(system: System, tmp_path: Path) -> None:
    package = DebFile.build(tmp_path, "cut", "1.0.0", payload_bytes=2_000_000)
    half_sent = asyncio.Event()

    async def parts() -> AsyncIterator[bytes]:
        async for part in package.parts():
            yield part
            if half_sent.is_set():
                await asyncio.Event().wait()  # the rest never comes: the kill ends the wait
            half_sent.set()

    metadata = package.metadata(package.signed_by(system.signing_key))
    upload = asyncio.create_task(_answered(system.web.upload_package(metadata, parts())))
    async with asyncio.timeout(60):
        await half_sent.wait()
    system.kill("web")
    upload.cancel()
    await asyncio.gather(upload, return_exceptions=True)
    await system.restart("web")

    in_core, in_resolver = await _registers(system, "packages")
    assert package.id.text not in in_core | in_resolver
    await system.upload(package)
    await _wait_for_both(system, "packages", {package.id.text})


async def test_an_upload_that_only_core_has_when_the_web_server_is_killed_reaches_the_resolver(
    system: System, tmp_path: Path
) -> None:
    package = DebFile.build(tmp_path, "maps", "1.0.0")
    system.programs["resolver"].signal(signal.SIGSTOP)
    upload = asyncio.create_task(_answered(system.upload(package)))
    await _in(lambda: _registers(system, "packages"), 0, package.id.text)

    system.kill("web")
    assert not await upload
    system.programs["resolver"].signal(signal.SIGCONT)
    await system.restart("web")

    await _wait_for_both(system, "packages", {package.id.text})
    assert package.file.read_bytes() in [path.read_bytes() for path in system.repository.rglob("*") if path.is_file()]
