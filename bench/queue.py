"""A request for 100,000 of 1,000,000 vehicles: how fast it is queued, and how long others wait meanwhile.

The real Core and the real Resolver, one process each, on SQLite and on a MariaDB server of its own; both engines sync
every commit to the disk, as in production. There is no node: what it must hear waits in the outbox. A round is one
``POST /install-requests``, timed from its first byte to its answer, which comes when all of it is queued; meanwhile,
at a steady rate, others read vehicles, packages and lists at the same Core, and every fifth call writes: a vehicle
reports what it has. Each of their times counts from the moment at which the call was due.

After each round the same rows are inserted in bulk by the plain driver (``queue_insertion.py``). The ratio of the two
rates, ``queue_to_insertion_sqlite`` and ``queue_to_insertion_mariadb``, is taken inside a round, and decides: rates and
times depend on what else the machine does.

``SCALE=50000 make bench ONLY=queue`` takes fewer vehicles, for a quick look; its result is not written over the kept
one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench import queue_insertion
from bench.api_load import Load, Request
from bench.api_seed import vin
from bench.processes import SOTA, BenchmarkError, free_ports, get, running, wait_until
from bench.queue_seed import NEW, OLD, ONE_IN, PACKAGE, mariadb, seed_core, seed_resolver, sqlite
from bench.report import Measurement
from sota.boundaries.binding.service_credentials import issue
from sota.boundaries.interaction import Program
from sota.kit.http.client import HttpClient
from sota.kit.sql import migrations
from sota.kit.sql.database import Database
from tests.support.databases import running_mariadb

VEHICLES = 1_000_000
ROUNDS = 5
CALLS_PER_S = 50.0
QUIET_S = 3.0
ANSWER_S = 300.0
# Half of what one measured run gave.
LEAST_RATIOS = {"sqlite": 0.2, "mariadb": 0.35}
# A private server of the tests syncs nothing; this one does, as MariaDB does by default.
DURABLE = (
    "--innodb-buffer-pool-size=1G",
    "--innodb-log-file-size=512M",
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-flush-method=O_DIRECT",
    "--innodb-doublewrite=1",
)


@dataclass(frozen=True, slots=True)
class Round:
    """One request: vehicles a second, the others' 99th percentile meanwhile, Core's processor time for a vehicle.

    ``insertion_per_s`` is the rate at which the same rows are inserted by the plain driver.
    """

    vins_per_s: float
    p99_ms: float
    processor_us: float
    insertion_per_s: float


def measure() -> Measurement:
    """Seed both databases of both engines, queue in rounds.

    Raises:
        BenchmarkError: something did not start, an answer was no success, or vehicles are missing.
    """
    vehicles = int(os.environ.get("SCALE", VEHICLES))
    if vehicles < 1000:
        raise BenchmarkError("SCALE is a number of vehicles, 1000 or more")
    figures: dict[str, float] = {}
    ratios: dict[str, float] = {}
    for engine in os.environ.get("ENGINES", "sqlite mariadb").split():
        with tempfile.TemporaryDirectory() as folder, _seeded(engine, Path(folder), vehicles) as databases:
            rounds, quiet_ms = _queue(Path(folder), databases, vehicles)
        figures[f"vins_per_s_{engine}"] = statistics.median(one.vins_per_s for one in rounds)
        figures[f"other_calls_p99_ms_{engine}"] = statistics.median(one.p99_ms for one in rounds)
        figures[f"quiet_p99_ms_{engine}"] = quiet_ms
        figures[f"core_cpu_us_per_vin_{engine}"] = statistics.median(one.processor_us for one in rounds)
        figures[f"insertion_rows_per_s_{engine}"] = statistics.median(one.insertion_per_s for one in rounds)
        ratios[f"queue_to_insertion_{engine}"] = statistics.median(
            one.vins_per_s / one.insertion_per_s for one in rounds
        )
    figures["other_calls_p99_ms"] = max(value for name, value in figures.items() if name.startswith("other_calls"))
    return replace(_result(figures, ratios), kept=vehicles >= VEHICLES)


def _result(figures: dict[str, float], ratios: dict[str, float]) -> Measurement:
    least = {f"queue_to_insertion_{engine}": limit for engine, limit in LEAST_RATIOS.items()}
    judged = [
        f"{name} at least {least[name]:g}: {'kept' if ratio >= least[name] else 'NOT kept'}."
        for name, ratio in ratios.items()
    ]
    others = f"Others make {CALLS_PER_S:g} calls a second; quiet_p99_ms is theirs while nothing is queued."
    return Measurement(figures, ratios, (*judged, others))


@contextlib.contextmanager
def _seeded(engine: str, folder: Path, vehicles: int) -> Iterator[tuple[str, str]]:
    print(f"{engine}: seeding {vehicles:,} vehicles", flush=True)
    if engine == "sqlite":
        urls = (f"sqlite:///{folder}/core.db", f"sqlite:///{folder}/resolver.db")
        asyncio.run(_migrate(*urls))
        seed_core(sqlite(folder / "core.db"), vehicles, is_sqlite=True)
        seed_resolver(sqlite(folder / "resolver.db"), vehicles, is_sqlite=True)
        yield urls
        return
    with running_mariadb(*DURABLE) as server:
        urls = (server.new_schema(), server.new_schema())
        asyncio.run(_migrate(*urls))
        seed_core(mariadb(server, urls[0].rpartition("/")[2]), vehicles, is_sqlite=False)
        seed_resolver(mariadb(server, urls[1].rpartition("/")[2]), vehicles, is_sqlite=False)
        yield urls


async def _migrate(core: str, resolver: str) -> None:
    for url, place in ((core, "sota.core.migrations"), (resolver, "sota.resolver.migrations")):
        database = Database(url)
        try:
            await database.check()
            await migrations.upgrade(database, place)
        finally:
            await database.close()


def _queue(folder: Path, databases: tuple[str, str], vehicles: int) -> tuple[list[Round], float]:
    with _servers(folder, databases) as (load, client):
        calls = _others(vehicles)
        load.p99_ms(calls, CALLS_PER_S, QUIET_S)  # warms
        quiet_ms = load.p99_ms(calls, CALLS_PER_S, QUIET_S)
        rounds = []
        for number in range(ROUNDS):
            request_id, done = uvloop.run(_round(load, client, calls, vehicles // ONE_IN))
            rounds.append(replace(done, insertion_per_s=queue_insertion.rows_per_s(databases[0], request_id)))
            print(f"round {number + 1}: {rounds[-1]}", flush=True)
    return rounds, quiet_ms


async def _round(load: Load, address: tuple[str, str], calls: list[Request], expected: int) -> tuple[str, Round]:
    client = HttpClient(*address, timeout_s=ANSWER_S)
    try:
        before_s, began = load.processor_s(), time.perf_counter()
        queueing = asyncio.create_task(_post(client))
        times_s = await load.steady(calls, CALLS_PER_S, lambda _: not queueing.done())
        request_id, ended = await queueing
        spent_s = load.processor_s() - before_s
        shown = msgspec.json.decode((await client.request("GET", f"/api/v1/install-requests/{request_id}")).body)
        if shown["counts"]["pending"] != expected:
            raise BenchmarkError(f"{expected} vehicles were to be queued: {shown}")
    finally:
        await client.close()
    p99_ms = statistics.quantiles(times_s, n=100, method="inclusive")[98] * 1000
    return request_id, Round(expected / (ended - began), p99_ms, spent_s * 1e6 / expected, insertion_per_s=0.0)


async def _post(client: HttpClient) -> tuple[str, float]:
    now = datetime.now(UTC)
    interval = {"start": (now + timedelta(days=1)).isoformat(), "end": (now + timedelta(days=9)).isoformat()}
    body: dict[str, Any] = {"package": {"name": PACKAGE, "version": NEW}, "priority": 10, "interval": interval}
    answer = await client.request(
        "POST", "/api/v1/install-requests", body=msgspec.json.encode(body), headers={"content-type": "application/json"}
    )
    if answer.status != 200:
        raise BenchmarkError(f"queueing answered {answer.status}: {answer.body[:500]!r}")
    return msgspec.json.decode(answer.body)["install_request_id"], time.perf_counter()


def _others(vehicles: int) -> list[Request]:
    """Return what others ask meanwhile: of five calls one writes."""
    calls = []
    for number in range(1, 400):
        known = number * 7919 % (vehicles // ONE_IN) * ONE_IN + ONE_IN
        installed = msgspec.json.encode([{"name": PACKAGE, "version": OLD}]).decode()
        calls += [
            Request("GET", f"/api/v1/vehicles/{vin(known)}"),
            Request("GET", f"/api/v1/packages/{PACKAGE}/{NEW}"),
            Request("GET", "/api/v1/vehicles?limit=20"),
            Request("GET", f"/api/v1/vehicles/{vin(known - 1)}/packages"),
            Request("PUT", f"/api/v1/vehicles/{vin(known)}/packages", installed),
        ]
    return calls


@contextlib.contextmanager
def _servers(folder: Path, databases: tuple[str, str]) -> Iterator[tuple[Load, tuple[str, str]]]:
    tokens = {
        "core": issue(folder / "core.toml", str(Program.WEB_SERVER)),
        "resolver": issue(folder / "resolver.toml", str(Program.SOTA_CORE)),
    }
    (folder / "resolver.token").write_text(tokens["resolver"])
    core_port, core_op, resolver_port, resolver_op, absent = free_ports(5)
    resolver = {
        "port": resolver_port,
        "operation_port": resolver_op,
        "data": folder / "resolver",
        "database": databases[1],
        "credentials_file": folder / "resolver.toml",
    }
    core = {
        "port": core_port,
        "operation_port": core_op,
        "data": folder / "core",
        "database": databases[0],
        "credentials_file": folder / "core.toml",
        "repository": folder / "packages",
        "resolver_url": f"http://127.0.0.1:{resolver_port}",
        "resolver_token_file": folder / "resolver.token",
        "node_url": f"http://127.0.0.1:{absent}",
    }
    with contextlib.ExitStack() as stack:
        _start(stack, folder, "resolver", resolver, lambda: get(resolver_op, "/readyz")[0] == 200)
        # Core's node is not there, so it is never ready in its own eyes; its API is.
        pid = _start(stack, folder, "core", core, lambda: get(core_port, "/")[0] != 0)
        yield Load(folder, core_port, tokens["core"], [pid]), (f"http://127.0.0.1:{core_port}", tokens["core"])


def _start(stack: contextlib.ExitStack, folder: Path, name: str, settings: dict[str, object], is_up: Any) -> int:
    log = folder / f"{name}.log"
    pairs = [f"{key}={value}" for key, value in {"log_level": "error", **settings}.items()]
    command = (*SOTA, name, *(part for pair in pairs for part in ("--set", pair)))
    process = stack.enter_context(running(command, log))
    wait_until(f"{name} answers", is_up, process, log)
    return process.pid
