"""The ten commonest calls, at Core and through the Web Server: requests a second, and how long an answer takes.

A million vehicles on a MariaDB server of its own; Core, the Web Server and the baseline are one process each; each
call carries a token. The baseline is a bare Starlette handler that does one indexed read through the same pool on the
same database (``api_baseline.py``). Rounds alternate: baseline, Core, Web Server, call by call, so that what else the
machine does falls on all of them; ratios are taken inside a round, and medians over the rounds.

A *single read* asks for one object by its key and reads that object, as the baseline does; a vehicle's page joins six
tables, and an install request's counts its updates. ``core_read_ratio`` and ``web_read_ratio`` are those of the slowest
single read; each call has its ratio beside them. ``p99_ms`` is the longest 99th percentile of all calls, each at half
the load that saturates it.

``SCALE=20000 make bench ONLY=api`` takes fewer vehicles, for a quick look; its result is not written over the kept one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from bench.api_load import Load, Request, Saturated
from bench.api_seed import (
    PACKAGES,
    REQUESTS,
    installed_of,
    package_name,
    request_id,
    seed,
    update_id,
    vin,
    with_packages,
    with_updates,
)
from bench.processes import SOTA, BenchmarkError, free_ports, get, running, wait_until
from bench.report import Measurement
from sota.boundaries.binding.service_credentials import issue
from sota.boundaries.interaction import Program, Role
from sota.kit.sql.database import Database
from sota.web.accounts.service import issue_token
from tests.support.databases import MariaDbServer, running_mariadb

VEHICLES = 1_000_000
ROUNDS = 3
SATURATING_S, STEADY_S = 1, 2.0
# How many different requests of a call there are: enough that no cache of one answer helps.
VARIETY = 4000
CORE_LIMIT, WEB_LIMIT, P99_LIMIT_MS = 0.35, 0.15, 100.0
SINGLE_READS = ("package", "packages_of_vehicle", "update")
SERVER_OPTIONS = ("--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M")


@dataclass(frozen=True, slots=True)
class Servers:
    """What is loaded: the baseline, Core and the Web Server."""

    baseline: Load
    core: Load
    web: Load


def measure() -> Measurement:
    """Seed, start the programs, measure in rounds.

    Raises:
        BenchmarkError: something did not start, or an answer was no success.
    """
    vehicles = int(os.environ.get("SCALE", VEHICLES))
    if vehicles < 1000:
        raise BenchmarkError("SCALE is a number of vehicles, 1000 or more")
    with (
        tempfile.TemporaryDirectory() as name,
        running_mariadb(*SERVER_OPTIONS) as server,
        _servers(Path(name), server, vehicles) as servers,
    ):
        return replace(_measured(servers, requests_of(vehicles)), kept=vehicles >= VEHICLES)


def requests_of(vehicles: int) -> dict[str, list[Request]]:
    """Return the ten calls, each as requests that differ. Core and the Web Server have the same paths for them."""
    spread = [number * 7919 for number in range(VARIETY)]
    some = [n % with_packages(vehicles) + 1 for n in spread]
    updated = [n % with_updates(vehicles) + 1 for n in spread]
    packages = [f"packages/{package_name(n % PACKAGES + 1)}/1.0.0" for n in spread]
    requests = [f"install-requests/{request_id(n % REQUESTS + 1)}" for n in spread]
    gets = {
        "package": packages,
        "packages_of_vehicle": [f"vehicles/{vin(n)}/packages" for n in some],
        "update": [f"updates/{update_id(n)}" for n in updated],
        "vehicle": [f"vehicles/{vin(n % vehicles + 1)}" for n in spread],
        "install_request": requests,
        "updates_of_request": [f"{path}/vehicles?limit=20" for path in requests],
        "requests_of_vehicle": [f"install-requests?vin={vin(n)}" for n in updated],
        "vehicles": ["vehicles?limit=20" for _ in spread],
        "vehicles_with_package": [f"{path}/vehicles?limit=20" for path in packages],
    }
    calls = {name: [Request("GET", f"/api/v1/{path}") for path in paths] for name, paths in gets.items()}
    # A vehicle reports what it has, and nothing is new: by far the commonest report.
    calls["report_packages"] = [Request("PUT", f"/api/v1/vehicles/{vin(n)}/packages", _installed(n)) for n in some]
    return calls


def _installed(number: int) -> str:
    listed = [{"name": name, "version": "1.0.0"} for name in installed_of(number)]
    return msgspec.json.encode(listed).decode()


@contextlib.contextmanager
def _servers(folder: Path, server: MariaDbServer, vehicles: int) -> Iterator[Servers]:
    core_db, web_db = server.new_schema(), server.new_schema()
    tokens = {
        "web-core": issue(folder / "core.toml", str(Program.WEB_SERVER)),
        "absent": issue(folder / "absent.toml", str(Program.WEB_SERVER)),
    }
    for name, token in tokens.items():
        (folder / f"{name}.token").write_text(token)
    core_port, core_op, web_port, web_op, https_port, absent, plain_port = free_ports(7)
    core = {
        "port": core_port,
        "operation_port": core_op,
        "data": folder / "core",
        "database": core_db,
        "credentials_file": folder / "core.toml",
        "repository": folder / "packages",
        "resolver_url": f"http://127.0.0.1:{absent}",
        "resolver_token_file": folder / "absent.token",
        "node_url": f"http://127.0.0.1:{absent}",
    }
    web = {
        "port": web_port,
        "https_port": https_port,
        "operation_port": web_op,
        "data": folder / "web",
        "database": web_db,
        "core_url": f"http://127.0.0.1:{core_port}",
        "core_token_file": folder / "web-core.token",
        "resolver_url": f"http://127.0.0.1:{absent}",
        "resolver_token_file": folder / "absent.token",
        "repository": folder / "packages",
    }
    baseline = (sys.executable, "-m", "bench.api_baseline", str(plain_port), core_db)
    with contextlib.ExitStack() as stack:
        # Core's node is not there, so it is never ready in its own eyes; its API is.
        core_pid = _start(stack, folder, "core", _command("core", core), core_port)
        print(f"seeding {vehicles:,} vehicles", flush=True)
        seed(server, core_db.rpartition("/")[2], vehicles)
        web_pid = _start(stack, folder, "web", _command("web", web), web_port)
        token = asyncio.run(_api_token(web_db))
        plain_pid = _start(stack, folder, "baseline", baseline, plain_port)
        yield Servers(
            Load(folder, plain_port, "", [plain_pid]),
            Load(folder, core_port, tokens["web-core"], [core_pid]),
            Load(folder, web_port, token, [web_pid, core_pid]),
        )


def _command(program: str, settings: dict[str, object]) -> tuple[str, ...]:
    pairs = {"log_level": "error", **settings}
    return (*SOTA, program, *(part for name, value in pairs.items() for part in ("--set", f"{name}={value}")))


def _start(stack: contextlib.ExitStack, folder: Path, name: str, command: tuple[str, ...], port: int) -> int:
    log = folder / f"{name}.log"
    process = stack.enter_context(running(command, log))
    wait_until(f"{name} answers", lambda: get(port, "/")[0] != 0, process, log)
    return process.pid


async def _api_token(url: str) -> str:
    database = Database(url)
    try:
        return await issue_token(database, Role.OPERATOR, "bench")
    finally:
        await database.close()


def _measured(servers: Servers, calls: dict[str, list[Request]]) -> Measurement:
    plain = [Request("GET", f"/vehicles/{vin(number)}") for number in range(1, 101)]
    rounds: list[dict[str, Saturated]] = []
    steady: list[dict[str, float]] = []
    servers.baseline.saturating(plain, SATURATING_S)
    for requests in calls.values():
        servers.web.saturating(requests, SATURATING_S)  # warms Core too
    for number in range(1, ROUNDS + 1):
        print(f"saturating, round {number} of {ROUNDS}", flush=True)
        found = {}
        for name, requests in calls.items():
            found[f"baseline_{name}"] = servers.baseline.saturating(plain, SATURATING_S)
            found[f"core_{name}"] = servers.core.saturating(requests, SATURATING_S)
            found[f"web_{name}"] = servers.web.saturating(requests, SATURATING_S)
        rounds.append(found)
    for number in range(1, ROUNDS + 1):
        print(f"at half of it, round {number} of {ROUNDS}", flush=True)
        half = statistics.median(found[f"baseline_{name}"].rate for found in rounds for name in calls) / 2
        at_half = {"baseline": servers.baseline.p99_ms(plain, half, STEADY_S)}
        for name, requests in calls.items():
            for side, load in (("core", servers.core), ("web", servers.web)):
                half = statistics.median(found[f"{side}_{name}"].rate for found in rounds) / 2
                at_half[f"{side}_{name}"] = load.p99_ms(requests, half, STEADY_S)
        steady.append(at_half)
    return _result(list(calls), rounds, steady)


def _result(calls: list[str], rounds: list[dict[str, Saturated]], steady: list[dict[str, float]]) -> Measurement:
    base = [found[f"baseline_{name}"] for found in rounds for name in calls]
    figures = {"p99_ms": 0.0, "baseline_rps": statistics.median(one.rate for one in base)}
    figures["baseline_cpu_us"] = statistics.median(one.processor_us for one in base)
    # What the machine itself adds: where this is long, so are all the others.
    figures["baseline_p99_ms"] = statistics.median(found["baseline"] for found in steady)
    ratios: dict[str, float] = {"core_read_ratio": 0.0, "web_read_ratio": 0.0}
    for side in ("core", "web"):
        for name in calls:
            call = f"{side}_{name}"
            ratios[call] = statistics.median(found[call].rate / found[f"baseline_{name}"].rate for found in rounds)
            figures[f"{call}_rps"] = statistics.median(found[call].rate for found in rounds)
            figures[f"{call}_cpu_us"] = statistics.median(found[call].processor_us for found in rounds)
            figures[f"{call}_p99_ms"] = statistics.median(found[call] for found in steady)
            figures["p99_ms"] = max(figures["p99_ms"], figures[f"{call}_p99_ms"])
        ratios[f"{side}_read_ratio"] = min(ratios[f"{side}_{name}"] for name in SINGLE_READS)
    notes = (
        f"core_read_ratio at least {CORE_LIMIT:g}: {_kept(ratios['core_read_ratio'] >= CORE_LIMIT)}; "
        f"web_read_ratio at least {WEB_LIMIT:g}: {_kept(ratios['web_read_ratio'] >= WEB_LIMIT)}; "
        f"p99_ms under {P99_LIMIT_MS:g}: {_kept(figures['p99_ms'] < P99_LIMIT_MS)}.",
        f"Single reads: {', '.join(SINGLE_READS)}; the ratio of the slowest counts.",
        "cpu_us: processor time of the program for one answer; through the Web Server that of both programs.",
    )
    return Measurement(figures, ratios, notes)


def _kept(kept: bool) -> str:
    return "kept" if kept else "NOT kept"
