"""Eight operators act on one request at the same time: each call ends, and the numbers agree afterwards.

``make test`` plays it with a few hundred vehicles, ``make faults`` with 2,000, and prints how long each call took.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sota.core import tables
from tests.support.core import RunningCore, running_core
from tests.support.edge import VehiclePlayer
from tests.support.resolver import next_cursor
from tests.support.thorough import IS_THOROUGH, SEED

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
FLEET, CONNECTED, CLIENTS, CALLS = (2000, 40, 8, 8) if IS_THOROUGH else (240, 8, 8, 3)
ACTIONS = ("cancel", "retry-failed", "stop", "blacklist", "retire")
VINS = [f"OPERATOR{number:09}" for number in range(FLEET)]


@pytest.fixture
async def core(fresh_database_url: str, tmp_path: Path) -> AsyncIterator[RunningCore]:
    async with running_core(fresh_database_url, tmp_path) as started:
        now = datetime.now(UTC)
        rows = [{"vin": vin, "created_at": now} for vin in VINS]
        await started.db.transact(lambda tx: tx.execute(tables.vehicle.insert(), rows))
        assert (
            await started.resolver.core.tell(*[{"fact": "vehicle_registered", "vin": vin} for vin in VINS])
        ).status == 200
        for vin in VINS[:CONNECTED]:
            await VehiclePlayer(started.edge, vin).connect()
        await started.add_package("ivi", "2.1.0", expression="TRUE")
        yield started


class Operators:
    """Clients of one Core, the statuses of their answers, and the times."""

    def __init__(self, core: RunningCore, request_id: str) -> None:
        self.core, self.request_id = core, request_id
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.took_s: dict[str, list[float]] = defaultdict(list)

    async def work(self, dice: random.Random) -> None:
        """Make some calls, one after another."""
        for _ in range(CALLS):
            await self.call(dice.choice(ACTIONS), dice.choice(VINS))

    async def call(self, action: str, vin: str) -> None:
        """Make one call."""
        paths = {
            "blacklist": ("PUT", "/packages/ivi/2.1.0/blacklist", {"comment": "a fault"}),
            "retire": ("DELETE", f"/vehicles/{vin}", None),
        }
        method, path, body = paths.get(action, ("POST", f"/install-requests/{self.request_id}/{action}", None))
        began = time.perf_counter()
        answer = await self.core.web.send(method, path, body)
        self.took_s[action].append(time.perf_counter() - began)
        self.statuses[action, answer.status] += 1
        if action == "blacklist":  # so that there is something to try again
            assert (await self.core.web.send("DELETE", path)).status == 200

    def __str__(self) -> str:
        lines = [
            f"  {action:<14}{len(times):>4} calls, longest {max(times):7.2f} s" for action, times in self.took_s.items()
        ]
        return "\n".join([f"{FLEET} vehicles, {CLIENTS} operators:", *lines])


async def updates_by_vin(core: RunningCore) -> Counter[str]:
    query = sa.select(tables.update.c.vin, sa.func.count().label("number")).group_by(tables.update.c.vin)
    async with core.db.read() as tx:
        return Counter({row.vin: row.number for row in await tx.execute(query)})


async def listed(core: RunningCore, request_id: str, status: str) -> int:
    """Count what a list of a request's updates in one state holds, page by page."""
    path, count, cursor = f"/install-requests/{request_id}/vehicles", 0, None
    while True:
        query = {"status": status, "limit": "1000", **({"cursor": cursor} if cursor else {})}
        answer = await core.web.send("GET", path, query=query)
        assert answer.status == 200, answer.body
        count += len(answer.body)
        cursor = next_cursor(answer)
        if cursor is None:
            return count


async def test_calls_on_one_request_at_the_same_time_end_and_leave_numbers_that_agree(core: RunningCore) -> None:
    request_id = await core.queue("ivi", "2.1.0")
    operators = Operators(core, request_id)
    dice = [random.Random(SEED * 1000 + number) for number in range(CLIENTS)]

    async with asyncio.timeout(600), asyncio.TaskGroup() as group:
        for one in dice:
            group.create_task(operators.work(one))
    print(operators, flush=True)

    assert [key for key in operators.statuses if key[1] >= 500] == []
    retries = sum(number for (action, _), number in operators.statuses.items() if action == "retry-failed")
    made = await updates_by_vin(core)
    assert max(made.values()) <= 1 + retries
    assert min(made.values()) >= 1
    shown: dict[str, Any] = (await core.web.send("GET", f"/install-requests/{request_id}")).body
    lists = {status: await listed(core, request_id, status) for status in shown["counts"]}
    assert lists == shown["counts"]
    assert sum(lists.values()) == FLEET
    assert await updates_by_vin(core) == made, "the work goes on after the last call was answered"
