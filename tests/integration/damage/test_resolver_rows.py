"""The Resolver with damaged rows: each is logged with its id and set aside, and everything else continues."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa
import structlog

from sota.boundaries.b5_core_resolver.messages import VehicleRegistered
from sota.kit.runtime.clock import new_id
from sota.kit.sql.database import Tx
from sota.resolver.facts import service
from sota.resolver.recorded import store
from sota.resolver.recorded.erasure import LINGERING, Erasures
from sota.resolver.tables import change, erasure, resolution, resolution_chunk
from tests.support.names import new_name, new_vin
from tests.support.resolver import RunningResolver, running_resolver
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def resolver(fresh_database_url: str, tmp_path: Path) -> AsyncIterator[RunningResolver]:
    async with running_resolver(fresh_database_url, tmp_path) as running:
        yield running


async def recorded(resolver: RunningResolver, *vins: str) -> UUID:
    name, id = new_name("ivi"), new_id()
    for vin in vins:
        await resolver.add_vehicle(vin=vin)
    await resolver.offer(name, "2.0.0", f'vin_matches "^({"|".join(vins)})$"')
    body = {"package": {"name": name, "version": "2.0.0"}, "resolution_id": str(id)}
    assert (await resolver.core.send("POST", "/resolve", body)).status == 200
    return id


async def damage(resolver: RunningResolver, table: sa.Table, column: str, where: sa.ColumnElement[bool]) -> None:
    values = {column: b"\x00not compressed"}
    await resolver.db.transact(lambda tx: tx.execute(table.update().where(where).values(**values)))


@pytest.mark.parametrize("kind", ["chunk", "content"])
async def test_resolution_that_cannot_be_read_is_503_and_others_are_read(resolver: RunningResolver, kind: str) -> None:
    broken, whole = await recorded(resolver, new_vin()), await recorded(resolver, new_vin())
    if kind == "chunk":
        await damage(resolver, resolution_chunk, "vins", resolution_chunk.c.resolution_id == broken)
    else:
        await damage(resolver, resolution, "content", resolution.c.id == broken)
    with structlog.testing.capture_logs() as logs:
        answers = [await resolver.web.send("GET", f"/resolutions/{broken}/vehicles") for _ in range(2)]
    assert {(answer.status, answer.body["title"]) for answer in answers} == {(503, "Service Unavailable")}
    assert [entry["event"] for entry in logs].count("row_damaged") == 1
    assert (await resolver.web.send("GET", f"/resolutions/{whole}/vehicles")).status == 200


async def test_erasure_passes_a_damaged_chunk_by(resolver: RunningResolver) -> None:
    first, second = sorted((new_vin(), new_vin()))
    broken, whole = await recorded(resolver, first, second), await recorded(resolver, first, second)
    await damage(resolver, resolution_chunk, "verdicts", resolution_chunk.c.resolution_id == broken)
    long_ago = resolver.program.clock.now() - 2 * LINGERING
    await resolver.db.transact(lambda tx: store.note_erasures(tx, [first, second], long_ago))

    await Erasures(resolver.db, resolver.program.clock).erase_noted()

    async with resolver.db.read() as tx:
        assert (await tx.execute(sa.select(erasure))).all() == []
    assert (await resolver.web.send("GET", f"/resolutions/{whole}/vehicles")).body == []


async def test_index_is_made_of_the_tables_where_an_entry_of_the_log_cannot_be_read(resolver: RunningResolver) -> None:
    package, vin = new_name("ivi"), new_vin()
    await resolver.offer(package, "2.0.0", "TRUE")

    async def add_and_damage(tx: Tx) -> None:
        fact = VehicleRegistered(id=new_name("fact"), vin=vin)
        await service.record(tx, [fact], resolver.program.clock)
        last = (await tx.execute(sa.select(sa.func.max(change.c.number)))).scalar_one()
        await tx.execute(change.update().where(change.c.number == last).values(content=b"no entry"))

    await resolver.db.transact(add_and_damage)

    async def is_chosen() -> bool:
        answer = await resolver.resolve(package, "2.0.0")
        return answer.status == 200 and vin in [one["vin"] for one in answer.body]

    await until(is_chosen, "the index has the vehicle")
    assert await resolver.program.trouble() is None
