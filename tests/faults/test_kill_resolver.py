"""The Resolver killed at random moments while facts come in: index and database never differ afterwards.

It saves its index all the time and keeps a short log, so that kills fall into snapshots, and starts find old ones. The
seed is printed; ``SOTA_FAULT_SEED`` repeats a run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sota.boundaries.binding.service_credentials import issue
from sota.kit.errors import Unavailable
from sota.kit.http.client import HttpClient
from sota.kit.runtime.clock import SystemClock
from sota.kit.sql.database import Database
from sota.kit.sql.migrations import upgrade
from sota.resolver.changes.model import Kind
from sota.resolver.changes.store import read_head
from sota.resolver.index.loading import load
from sota.resolver.index.share import WHOLE, Share
from sota.resolver.index.snapshot import Snapshots
from sota.resolver.index.workers import Workers
from sota.resolver.language.evaluation import Vehicle, evaluate
from sota.resolver.language.parser import parse
from sota.resolver.program import MIGRATIONS
from sota.resolver.tables import vehicle
from tests.support.fleets import contents
from tests.support.processes import ProgramProcess, free_ports
from tests.support.resolver import ProgramCaller
from tests.support.thorough import IS_THOROUGH
from tests.support.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
PAUSE_S = (0.05, 0.8)
READY_S = 60
KILLS = {1: 6, 2: 3} if IS_THOROUGH else {1: 2, 2: 1}
EXPRESSIONS = [
    "TRUE",
    'has_package "^a$" "^1"',
    'NOT has_package "" "2" AND has_component "ECU-[12]"',
    'vin_matches "[0-4]$" OR has_component "ECU-3"',
]


class Resolver:
    """The program under test, and who calls it."""

    def __init__(self, database_url: str, folder: Path, index_processes: int) -> None:
        self.port, self.operation_port = free_ports(2)
        callers = folder / "callers.toml"
        self.tokens = {name: issue(callers, name) for name in ("Web Server", "SOTA Core")}
        settings = {
            "port": self.port,
            "operation_port": self.operation_port,
            "database": database_url,
            "credentials_file": callers,
            "data": folder / "data",
            "snapshot_interval_s": 0.05,
            "kept_changes": 10,
            "index_processes": index_processes,
        }
        options = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
        self.process = ProgramProcess("resolver", ["resolver", *options], folder / "resolver.log")

    async def start(self) -> None:
        self.process.start()
        client = HttpClient(f"http://127.0.0.1:{self.operation_port}")

        async def is_ready() -> bool:
            assert self.process.running, self.process.tail()
            with contextlib.suppress(Unavailable):
                return (await client.request("GET", "/readyz")).status == 200
            return False

        await until(is_ready, "the Resolver is ready", timeout_s=READY_S, latest=self.process.tail)
        await client.close()

    def caller(self, program: str) -> ProgramCaller:
        return ProgramCaller(f"http://127.0.0.1:{self.port}", self.tokens[program])


def a_fact(generator: random.Random, number: int) -> dict[str, Any]:
    vin, name = f"KILLED{generator.randint(1, 60):011d}", generator.choice("abc")
    package = {"name": name, "version": generator.choice(["1", "2"])}
    part = f"ECU-{generator.randint(1, 4)}"
    facts: list[dict[str, Any]] = [
        {"fact": "vehicle_registered", "vin": vin},
        {"fact": "vehicle_registered", "vin": vin},
        {"fact": "vehicle_retired", "vin": vin},
        {"fact": "package_added", "vin": vin, "package": package},
        {"fact": "package_added", "vin": vin, "package": package},
        {"fact": "package_removed", "vin": vin, "package": package},
        {"fact": "component_added", "vin": vin, "part_number": part},
        {"fact": "component_added", "vin": vin, "part_number": part},
        {"fact": "component_retired", "part_number": part} if generator.random() < 0.1 else {"fact": "nothing"},
    ]
    return {**generator.choice(facts), "id": f"fact-{number}"}


async def truth(database_url: str) -> list[Vehicle]:
    database, workers = Database(database_url), Workers(1)
    try:
        return [
            Vehicle(
                vin,
                frozenset((text[0], text[1]) for kind, text in things if kind is Kind.PACKAGE),
                frozenset(text[0] for kind, text in things if kind is Kind.COMPONENT),
            )
            for vin, things in contents(await load(database, workers)).items()
        ]
    finally:
        workers.close()
        await database.close()


async def compare(resolver: Resolver, database_url: str) -> None:
    fleet = await truth(database_url)
    web = resolver.caller("Web Server")
    for number, expression in enumerate(EXPRESSIONS):
        answer = await web.send("POST", "/resolve", {"package": {"name": f"probe-{number}", "version": "1.0.0"}})
        assert answer.status == 200, answer.body
        expected = {vehicle.vin for vehicle in fleet if evaluate(parse(expression), vehicle)}
        assert {one["vin"] for one in answer.body} == expected
    await web.client.close()


async def offer_probes(resolver: Resolver) -> None:
    web = resolver.caller("Web Server")
    for number, expression in enumerate(EXPRESSIONS):
        package = {"name": f"probe-{number}", "version": "1.0.0", "description": "", "vendor": "", "dependencies": []}
        assert (await web.send("POST", "/packages", package)).status == 200
        assert (await web.send("POST", "/filters", {"name": f"f-{number}", "expression": expression})).status == 200
        attached = await web.send("POST", f"/packages/probe-{number}/1.0.0/filters", {"filter": f"f-{number}"})
        assert attached.status == 200
    await web.client.close()


async def tell_until_killed(resolver: Resolver, generator: random.Random, first: int) -> int:
    """Send batches until the program dies; return how many facts were sent, the unanswered ones included."""
    core = resolver.caller("SOTA Core")
    told = first
    try:
        while True:
            batch = [a_fact(generator, told + position) for position in range(generator.randint(1, 12))]
            told += len(batch)
            answer = await core.tell(*batch)
            assert answer.status == 200, answer.body
    except Unavailable:
        return told
    finally:
        await core.client.close()


async def lead_into_the_next_shard(database_url: str) -> None:
    """Register a vehicle whose row is the thirtieth before the second shard: the next ones are in both."""
    database = Database(database_url)
    await upgrade(database, MIGRATIONS)
    row = {"id": (1 << 20) - 30, "vin": "LEADS000000000001", "created_at": SystemClock().now()}
    await database.transact(lambda tx: tx.execute(vehicle.insert(), [row]))
    await database.close()


async def kill_and_compare(resolver: Resolver, generator: random.Random, database_url: str, kills: int) -> None:
    """Kill the program while facts come in, some times; each time it answers as the database says."""
    told = 0
    for _ in range(kills):
        telling = asyncio.create_task(tell_until_killed(resolver, generator, told))
        await asyncio.sleep(generator.uniform(*PAUSE_S))
        resolver.process.kill()
        told = await telling
        await resolver.start()
        await compare(resolver, database_url)
        print(f"killed after {told} facts")


async def snapshots_at_the_head(database_url: str, data: Path, index_processes: int) -> None:
    """Wait until each index process has saved all that is committed: its next start needs the snapshot."""
    shares = [WHOLE] if index_processes == 1 else [Share(number, index_processes) for number in range(index_processes)]
    database = Database(database_url)

    async def are_there() -> bool:
        async with database.read() as tx:
            head = await read_head(tx)
        saved = []
        for share in shares:
            with contextlib.suppress(OSError, ValueError):  # it is being replaced
                saved.append(Snapshots(data / share.folder).load())
        return [fleet.position for fleet in saved if fleet is not None] == [head] * len(shares)

    await until(are_there, "the snapshots hold all that is committed", timeout_s=READY_S)
    await database.close()


@contextlib.asynccontextmanager
async def running(resolver: Resolver) -> AsyncIterator[Resolver]:
    """Start the program, and end it also after a test that failed."""
    await resolver.start()
    try:
        yield resolver
    finally:
        await resolver.process.stop()


@pytest.mark.parametrize("index_processes", [1, 2])
async def test_index_and_database_are_alike_after_every_kill(
    fresh_database_url: str, tmp_path: Path, index_processes: int
) -> None:
    seed = int(os.environ.get("SOTA_FAULT_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"SOTA_FAULT_SEED={seed}")
    generator = random.Random(seed)
    await lead_into_the_next_shard(fresh_database_url)
    async with running(Resolver(fresh_database_url, tmp_path, index_processes)) as resolver:
        await offer_probes(resolver)
        await kill_and_compare(resolver, generator, fresh_database_url, KILLS[index_processes])
        await snapshots_at_the_head(fresh_database_url, tmp_path / "data", index_processes)
        resolver.process.kill()
        last_start = resolver.process.mark()
        await resolver.start()
        await compare(resolver, fresh_database_url)
        sources = {event["source"] for event in resolver.process.events("index_loaded", since=last_start)}
        assert sources == {"snapshot"}
