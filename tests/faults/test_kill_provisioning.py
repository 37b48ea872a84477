"""A campaign right after an import: it reaches each vehicle, or is refused and accepted later; the Resolver may die.

``make test`` lets the Resolver die with 600 vehicles, on the engine that ``SOTA_FAULT_SEED`` chooses; ``make faults``
plays everything with 10,000 on both, and prints how long things took.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sota.boundaries.binding.service_credentials import issue
from sota.kit.errors import Unavailable
from tests.conftest import new_database
from tests.support.answer import Answer
from tests.support.core import new_package, queue_request
from tests.support.processes import ProgramProcess, free_ports
from tests.support.provisioning import built, provision
from tests.support.resolver import ProgramCaller
from tests.support.thorough import IS_THOROUGH, sample, thorough
from tests.support.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
FLEET = 10_000 if IS_THOROUGH else 600
ENGINES = sample(("sqlite", "mariadb"), 1)
STREAMS = 4
PART_NUMBERS = 300


class Apart:
    """Core and Resolver as separate processes."""

    def __init__(self, core: ProgramProcess, resolver: ProgramProcess, callers: dict[str, ProgramCaller]) -> None:
        self.core, self.resolver = core, resolver
        self.web, self.logistics, self.filters = callers["web"], callers["logistics"], callers["filters"]

    async def start(self, process: ProgramProcess, caller: ProgramCaller) -> None:
        process.start()

        async def answers() -> bool:
            with contextlib.suppress(Unavailable):
                return (await caller.send("GET", "/audit", query={"limit": "1"})).status == 200
            return False

        await until(answers, f"{process.name} answers", timeout_s=120, latest=process.tail)

    async def import_fleet(self) -> None:
        """Provision vehicles in several streams, which bring the same new part numbers."""
        streams = [
            [
                built(
                    f"IMPORT{stream}{number:010}",
                    ("base", f"1.{number % 50}.0"),
                    components=(f"ECU-{number % PART_NUMBERS}", f"TCU-{(number * 7 + stream) % PART_NUMBERS}"),
                )
                for number in range(FLEET // STREAMS)
            ]
            for stream in range(STREAMS)
        ]
        answers = await asyncio.gather(*(provision(self.logistics, lines) for lines in streams))
        assert Counter(one["status"] for answer in answers for one in answer.body) == {"inserted": FLEET}

    async def queue(self) -> Answer:
        return await self.web.send("POST", "/install-requests", queue_request("ivi", "2.1.0"))

    async def queued_in_the_end(self) -> Answer:
        """Ask for a campaign until it is accepted; every answer before that is 503."""
        latest: Answer | None = None

        async def accepted() -> Answer | None:
            nonlocal latest
            latest = await self.queue()
            assert latest.status in (200, 503), latest.body
            return latest if latest.status == 200 else None

        return await until(accepted, "the campaign is accepted", timeout_s=180, latest=lambda: latest)

    async def reaches_all(self, answer: Answer) -> None:
        assert answer.status == 200, answer.body
        shown = (await self.web.send("GET", f"/install-requests/{answer.body['install_request_id']}")).body
        assert (shown["counts"]["pending"], shown["left_out"]) == (FLEET, 0)


@pytest.fixture(params=ENGINES)
async def apart(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> AsyncIterator[Apart]:
    core_port, resolver_port, node_port = free_ports(3)
    (tmp_path / "packages").mkdir()
    tokens = {
        "web": issue(tmp_path / "core.toml", "Web Server"),
        "logistics": issue(tmp_path / "core.toml", "Logistics & Provisioning API"),
        "filters": issue(tmp_path / "resolver.toml", "Web Server"),
    }
    (tmp_path / "resolver.token").write_text(issue(tmp_path / "resolver.toml", "SOTA Core"))
    core = {
        "port": core_port,
        "operation_port": 0,
        "database": new_database(request, tmp_path_factory, request.param),
        "data": tmp_path,
        "credentials_file": tmp_path / "core.toml",
        "repository": tmp_path / "packages",
        "resolver_url": f"http://127.0.0.1:{resolver_port}",
        "resolver_token_file": tmp_path / "resolver.token",
        "node_url": f"http://127.0.0.1:{node_port}",
    }
    resolver = {
        "port": resolver_port,
        "operation_port": 0,
        "database": new_database(request, tmp_path_factory, request.param),
        "data": tmp_path / "index",
        "credentials_file": tmp_path / "resolver.toml",
    }
    ports = {"web": core_port, "logistics": core_port, "filters": resolver_port}
    callers = {name: ProgramCaller(f"http://127.0.0.1:{ports[name]}", token) for name, token in tokens.items()}
    started = Apart(_process("core", core, tmp_path), _process("resolver", resolver, tmp_path), callers)
    try:
        await started.start(started.resolver, started.filters)
        await started.start(started.core, started.web)
        await _offer(started)
        yield started
        await started.core.stop()
        await started.resolver.stop()
    finally:
        for process in (started.core, started.resolver):
            if process.running:
                process.kill()
        for caller in callers.values():
            await caller.client.close()


def _process(name: str, settings: dict[str, Any], folder: Path) -> ProgramProcess:
    pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    return ProgramProcess(name, [name, *pairs], folder / f"{name}.log")


async def _offer(apart: Apart) -> None:
    """Register a package for every vehicle."""
    assert (await apart.web.send("POST", "/packages", new_package("ivi", "2.1.0", b"x", uri="ivi"))).status == 200
    package = {"name": "ivi", "version": "2.1.0", "dependencies": []}
    for path, body in (
        ("/packages", package),
        ("/filters", {"name": "all", "expression": "TRUE"}),
        ("/packages/ivi/2.1.0/filters", {"filter": "all"}),
    ):
        assert (await apart.filters.send("POST", path, body)).status == 200


@thorough
async def test_campaign_right_after_an_import_reaches_each_vehicle(apart: Apart) -> None:
    began = time.perf_counter()
    await apart.import_fleet()
    imported = time.perf_counter()

    answer = await apart.queued_in_the_end()

    accepted = time.perf_counter()
    waited_s = accepted - imported
    print(f"{FLEET} vehicles: acknowledged in {imported - began:.1f} s, campaign accepted {waited_s:.1f} s later")
    await apart.reaches_all(answer)


async def test_campaign_is_refused_while_the_resolver_is_away_and_reaches_each_vehicle_later(apart: Apart) -> None:
    importing = asyncio.create_task(apart.import_fleet())

    async def some_are_known() -> bool:
        answer = await apart.filters.send("POST", "/resolve", {"package": {"name": "ivi", "version": "2.1.0"}})
        return bool(answer.body) or importing.done()

    await until(some_are_known, "the Resolver knows some of them", timeout_s=120)
    apart.resolver.kill()
    await importing
    refused = await apart.queue()
    await apart.start(apart.resolver, apart.filters)
    restarted = time.perf_counter()
    answer = await apart.queued_in_the_end()

    print(f"{FLEET} vehicles: campaign accepted {time.perf_counter() - restarted:.1f} s after the Resolver's restart")
    assert (refused.status, int(refused.headers["retry-after"]) > 0) == (503, True)
    await apart.reaches_all(answer)


@thorough
async def test_campaign_waits_no_longer_than_it_should_for_a_resolver_that_is_frozen(apart: Apart) -> None:
    apart.resolver.signal(signal.SIGSTOP)
    await apart.import_fleet()

    async with asyncio.timeout(60):
        refused = await apart.queue()

    apart.resolver.signal(signal.SIGCONT)
    assert (refused.status, refused.body["title"]) == (503, "Service Unavailable")
    await apart.reaches_all(await apart.queued_in_the_end())
