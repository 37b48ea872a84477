"""A resolve under an id is frozen: the same answer always, from any process, after any crash; without erased VINs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from sota.boundaries.b5_core_resolver.client import FactsClient
from sota.boundaries.values import PackageId, short_vin
from sota.kit.errors import Refused
from sota.kit.http.client import HttpClient
from sota.kit.runtime.clock import new_id
from sota.resolver.dependencies.model import Package, Planned
from sota.resolver.recorded import store
from sota.resolver.recorded.erasure import LINGERING
from sota.resolver.recorded.model import Chunk, Kind, Sheet
from sota.resolver.resolution.model import Decision
from sota.resolver.tables import erasure, resolution, resolution_chunk
from tests.support.answer import Answer
from tests.support.names import new_name, new_vin
from tests.support.resolver import RunningResolver, running_resolver
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


async def offered(resolver: RunningResolver, *vins: str) -> str:
    """Register a package for these vehicles that needs a library which is not there: who has none is left out."""
    name = new_name("ivi")
    for vin in vins:
        await resolver.add_vehicle(vin=vin, packages=[("libtls", "1.4.0")])
    await resolver.offer(name, "2.0.0", f'vin_matches "^({"|".join(vins)})$"', ("libtls", "1.2.0"))
    return name


async def resolve(resolver: RunningResolver, name: str, id: UUID, version: str = "2.0.0") -> Answer:
    body = {"package": {"name": name, "version": version}, "resolution_id": str(id)}
    return await resolver.core.send("POST", "/resolve", body)


async def test_answer_stays_what_it_was_when_the_fleet_changes(resolver: RunningResolver) -> None:
    vins = sorted(new_vin() for _ in range(3))
    name, id = await offered(resolver, *vins), new_id()
    first = await resolve(resolver, name, id)
    assert first.status == 200
    assert first.body == [{"vin": vin, "packages": [{"name": name, "version": "2.0.0"}]} for vin in vins]
    await resolver.core.tell({"fact": "vehicle_retired", "vin": vins[0]})
    await resolver.core.tell({"fact": "packages_replaced", "vin": vins[1], "packages": []})
    assert (await resolve(resolver, name, id)).body == first.body
    repeated = await resolve(resolver, name, new_id())
    assert [found["vin"] for found in repeated.body] == vins[2:]  # one is gone, one lacks the library now


async def test_other_process_gives_the_same_answer(
    resolver: RunningResolver, database_url: str, tmp_path: Path
) -> None:
    name, id = await offered(resolver, new_vin(), new_vin()), new_id()
    first = await resolve(resolver, name, id)
    async with running_resolver(database_url, tmp_path) as other:
        client = HttpClient(other.address, other.core_token)
        package = PackageId(name=name, version="2.0.0")
        again = [
            vin async for sets in FactsClient(client).resolve(package, str(id)) for one in sets for vin in one.vins
        ]
        await client.close()
    assert again == [found["vin"] for found in first.body]


@pytest.mark.whitelist("WL-B5-1", "resolution_exists")
async def test_id_stands_for_one_package(resolver: RunningResolver) -> None:
    name, other, id = await offered(resolver, new_vin()), await offered(resolver, new_vin()), new_id()
    await resolve(resolver, name, id)
    answer = await resolve(resolver, other, id)
    assert (answer.status, answer.body["title"]) == (409, "Resolution already exists")


@pytest.mark.whitelist("WL-B3-5", "resolution_exists")
async def test_id_stands_for_one_package_for_the_web_server_too(resolver: RunningResolver) -> None:
    name, id = await offered(resolver, new_vin()), new_id()
    body = {"package": {"name": name, "version": "2.0.0"}, "resolution_id": str(id)}
    assert (await resolver.web.send("POST", "/resolve", body)).status == 200
    await resolver.add_package(name, "9.0.0")
    answer = await resolver.web.send("POST", "/resolve", {**body, "package": {"name": name, "version": "9.0.0"}})
    assert (answer.status, answer.body["title"]) == (409, "Resolution already exists")


async def test_refused_resolve_leaves_no_record(resolver: RunningResolver) -> None:
    id = new_id()
    assert (await resolve(resolver, "nowhere", id)).status == 404
    async with resolver.db.read() as tx:
        assert await store.find(tx, id) is None


async def test_record_that_broke_off_is_made_repeated(resolver: RunningResolver) -> None:
    """Leave what a kill between two chunks leaves: an incomplete record with a part of its lists."""
    vin = new_vin()
    name, id, killed = await offered(resolver, vin), new_id(), new_id()
    now = resolver.program.clock.now()
    await resolver.db.transact(lambda tx: store.begin(tx, id, killed, Package(name, "2.0.0"), now))
    await resolver.db.transact(partial(store.write_chunks, id=id, attempt=killed, chunks=chunks("A" * 17)))

    answer = await resolve(resolver, name, id)

    assert [found["vin"] for found in answer.body] == [vin]
    async with resolver.db.read() as tx:
        attempts = (await tx.execute(sa.select(resolution_chunk.c.attempt).where(is_of(id)))).scalars().all()
        row = await store.find(tx, id)
    assert row is not None
    assert (attempts, row.chosen, row.left_out) == ([row.attempt], 1, 0)
    assert row.attempt != killed


async def test_earlier_of_two_writers_does_not_complete(resolver: RunningResolver) -> None:
    id, earlier, later, package = new_id(), new_id(), new_id(), Package("ivi", "2.0.0")
    now = resolver.program.clock.now()
    for attempt in (earlier, later):
        await resolver.db.transact(partial(store.begin, id=id, attempt=attempt, package=package, now=now))
    complete = partial(store.complete, now=now, chosen=1, left_out=0, content=b"")
    assert not await resolver.db.transact(lambda tx: complete(tx, id, earlier))
    assert await resolver.db.transact(lambda tx: complete(tx, id, later))
    other = await resolver.db.transact(partial(store.begin, id=id, attempt=earlier, package=package, now=now))
    assert (other.attempt, other.completed_at) == (later, now)


async def test_vehicle_that_the_update_would_break_is_left_out_logged_and_queryable(
    resolver: RunningResolver, capsys: pytest.CaptureFixture[str]
) -> None:
    ivi, tls, id = new_name("ivi"), new_name("libtls"), new_id()
    await resolver.add_package(ivi, "1.0.0", (tls, "1.2.0"))
    needing = await resolver.add_vehicle(packages=[(ivi, "1.0.0"), (tls, "1.3.0")])
    free = await resolver.add_vehicle(packages=[(tls, "1.3.0")])
    await resolver.offer(tls, "1.1.0", f'package_version "{tls}" = "1.3.0"')

    answer = await resolve(resolver, tls, id, "1.1.0")

    assert [found["vin"] for found in answer.body] == [free]
    reason = f"the installed {ivi}/1.0.0 needs {tls} 1.2.0 or later, and the update brings {tls}/1.1.0"
    left_out = (await resolver.web.send("GET", f"/resolutions/{id}/left-out")).body
    assert left_out == [{"vin": needing, "code": "would_break", "reason": reason}]
    logged = [line for line in capsys.readouterr().out.splitlines() if "vehicles_left_out" in line]
    assert len(logged) == 1
    for said in ("level='error'", "code='would_break'", "count=1", reason, short_vin(needing)):
        assert said in logged[0]
    assert needing not in logged[0], "no whole VIN in the log"


async def test_erased_vin_goes_from_what_is_frozen_and_is_counted(resolver: RunningResolver) -> None:
    vins = sorted(new_vin() for _ in range(3))
    name, id = await offered(resolver, *vins), new_id()
    await resolve(resolver, name, id)
    await resolver.core.tell({"fact": "vehicle_retired", "vin": vins[0]})
    await resolver.core.tell({"fact": "vehicle_retired", "vin": vins[1], "erased": True})

    async def is_erased() -> bool:
        return [found["vin"] for found in (await resolve(resolver, name, id)).body] == [vins[0], vins[2]]

    await until(is_erased, "the VIN is erased")
    async with resolver.db.read() as tx:
        row = await store.find(tx, id)
    assert row is not None
    assert (row.chosen, row.erased) == (3, 1)


async def test_erased_vin_is_noted_as_long_as_a_resolve_may_write_it_down(resolver: RunningResolver) -> None:
    vin, id, attempt = new_vin(), new_id(), new_id()
    begun = resolver.program.clock.now()
    await resolver.db.transact(lambda tx: store.begin(tx, id, attempt, Package("ivi", "2.0.0"), begun))
    await resolver.db.transact(partial(store.note_erasures, vins=[vin], now=begun - 2 * LINGERING))
    await resolver.program.erasures.erase_noted()
    assert await noted(resolver, vin)
    await resolver.db.transact(partial(store.write_chunks, id=id, attempt=attempt, chunks=chunks(vin)))
    complete = partial(store.complete, now=begun, chosen=1, left_out=0, content=b"")
    await resolver.db.transact(lambda tx: complete(tx, id, attempt))
    await resolver.program.erasures.erase_noted()
    async with resolver.db.read() as tx:
        row = await store.find(tx, id)
        assert row is not None
        assert (row.erased, await store.read_chunks(tx, row, Kind.CHOSEN, None, 9)) == (1, [])
    await until(lambda: is_forgotten(resolver, vin), "no record is being written any more")


async def test_record_that_is_never_completed_is_dropped(resolver: RunningResolver) -> None:
    id = new_id()
    long_ago = resolver.program.clock.now().replace(year=2020)
    await resolver.db.transact(lambda tx: store.begin(tx, id, new_id(), Package("ivi", "2.0.0"), long_ago))
    await resolver.program.erasures.drop_abandoned()
    async with resolver.db.read() as tx:
        assert (await tx.execute(sa.select(resolution.c.id).where(resolution.c.id == id))).all() == []


async def test_client_is_told_of_an_id_that_is_taken(resolver: RunningResolver) -> None:
    name, other, id = await offered(resolver, new_vin()), await offered(resolver, new_vin()), new_id()
    await resolve(resolver, name, id)
    client = HttpClient(resolver.address, resolver.core_token)
    with pytest.raises(Refused) as refused:
        async for _found in FactsClient(client).resolve(PackageId(name=other, version="2.0.0"), str(id)):
            pass
    await client.close()
    assert refused.value.code == "resolution_exists"


def chunks(*vins: str) -> list[Chunk]:
    sheet = Sheet()
    sheet.add([Decision(vins, Planned(()))])
    return list(sheet.chunks(Kind.CHOSEN))


def is_of(id: UUID) -> sa.ColumnElement[bool]:
    return resolution_chunk.c.resolution_id == id


async def is_forgotten(resolver: RunningResolver, vin: str) -> bool:
    await resolver.program.erasures.erase_noted()
    return not await noted(resolver, vin)


async def noted(resolver: RunningResolver, vin: str) -> bool:
    async with resolver.db.read() as tx:
        return (await tx.execute(sa.select(erasure).where(erasure.c.vin == vin))).one_or_none() is not None
