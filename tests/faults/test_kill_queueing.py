"""Core killed while it writes a long request: nothing half stays, and the repeat under its key is queued once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from sota.boundaries.binding.service_credentials import issue
from sota.core import tables
from sota.kit.errors import Unavailable
from sota.kit.sql.database import Database
from tests.support.core import new_package, queue_request
from tests.support.processes import ProgramProcess, free_ports
from tests.support.resolver import ProgramCaller, RunningResolver, running_resolver
from tests.support.thorough import sample
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
FLEET = 30_000
KEY = {"idempotency-key": "a key of one's own"}


class KilledCore:
    """A real Core, its database as seen from outside, and a caller."""

    def __init__(self, process: ProgramProcess, db: Database, web: ProgramCaller, resolver: RunningResolver) -> None:
        self.process, self.db, self.web, self.resolver = process, db, web, resolver

    async def start(self) -> None:
        self.process.start()

        async def answers() -> bool:
            with contextlib.suppress(Unavailable):
                return (await self.web.send("GET", "/vehicles", query={"limit": "1"})).status == 200
            return False

        await until(answers, "Core answers", latest=self.process.tail)

    async def count(self, table: sa.Table) -> int:
        async with self.db.read() as tx:
            return int((await tx.execute(sa.select(sa.func.count()).select_from(table))).scalar_one())


@pytest.fixture
async def core(fresh_database_url: str, tmp_path: Path) -> AsyncIterator[KilledCore]:
    (port,) = free_ports(1)
    web = ProgramCaller(f"http://127.0.0.1:{port}", issue(tmp_path / "callers.toml", "Web Server"))
    (tmp_path / "resolver").mkdir()
    async with running_resolver(f"sqlite:///{tmp_path / 'resolver.db'}", tmp_path / "resolver") as resolver:
        (tmp_path / "resolver.token").write_text(resolver.core_token)
        settings = {
            "port": port,
            "operation_port": 0,
            "database": fresh_database_url,
            "data": tmp_path,
            "credentials_file": tmp_path / "callers.toml",
            "repository": tmp_path / "packages",
            "resolver_url": resolver.address,
            "resolver_token_file": tmp_path / "resolver.token",
            "node_url": f"http://127.0.0.1:{free_ports(1)[0]}",
        }
        pairs = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
        started = KilledCore(
            ProgramProcess("core", ["core", *pairs], tmp_path / "core.log"), Database(fresh_database_url), web, resolver
        )
        try:
            await started.start()
            yield started
            await started.process.stop()
        finally:
            if started.process.running:
                started.process.kill()
            await web.client.close()
            await started.db.close()


async def prepared(core: KilledCore) -> dict[str, Any]:
    """Register a fleet and a package for all of it; return the request."""
    vins = [f"KILLED{number:011}" for number in range(FLEET)]
    rows = [{"vin": vin, "created_at": datetime.now(UTC)} for vin in vins]
    await core.db.transact(lambda tx: tx.execute(tables.vehicle.insert(), rows))
    for at in range(0, FLEET, 5000):
        facts = [{"fact": "vehicle_registered", "vin": vin} for vin in vins[at : at + 5000]]
        assert (await core.resolver.core.tell(*facts)).status == 200
    body = new_package("ivi", "2.1.0", b"content", uri="ivi")
    assert (await core.web.send("POST", "/packages", body)).status == 200
    await core.resolver.offer("ivi", "2.1.0", "TRUE")
    return queue_request("ivi", "2.1.0")


@pytest.mark.slow
@pytest.mark.parametrize("fresh_database_url", sample(("sqlite", "mariadb"), 1), indirect=True)
async def test_request_that_its_core_did_not_survive_is_queued_once_when_it_is_repeated(core: KilledCore) -> None:
    request = await prepared(core)
    first = asyncio.create_task(core.web.send("POST", "/install-requests", request, headers=KEY))

    async def is_half_written() -> bool:
        assert not first.done(), "it was queued before it could be killed"
        return await core.count(tables.update) > 0

    await until(is_half_written, "some of it is written")
    core.process.kill()
    with pytest.raises(Unavailable):
        await first
    assert 0 < await core.count(tables.update) < FLEET

    await core.start()
    assert (await core.web.send("GET", "/install-requests")).body == []

    async def is_gone() -> bool:
        return not await core.count(tables.preparation)

    await until(is_gone, "the next start takes it back")
    assert (await core.count(tables.update), await core.count(tables.install_request)) == (0, 0)
    answers = [await core.web.send("POST", "/install-requests", request, headers=KEY) for _ in range(2)]
    assert answers[0].status == 200
    assert answers[0].body == answers[1].body
    assert (await core.count(tables.update), await core.count(tables.package_set)) == (FLEET, 1)
