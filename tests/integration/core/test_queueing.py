"""Requests that are written chunk by chunk: all of a request or nothing, after any failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from sota.core import tables
from sota.core.packages import store as package_store
from sota.core.program import CoreProgram
from sota.core.requests import preparation_store, queue_store, set_store
from sota.core.requests.chunk_size import ChunkSize
from sota.core.requests.model import InstallRequest, Order
from sota.core.requests.preparation_store import Preparation
from sota.core.requests.queue_store import Slice
from sota.core.transfers import service as transfer_service
from sota.kit.runtime.clock import new_id
from sota.kit.sql.database import Tx
from tests.support.core import RunningCore, core_settings, queue_request, running_core
from tests.support.edge import VehiclePlayer
from tests.support.names import new_name, new_vin
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
CHUNK, FLEET = 50, 230


@dataclass(frozen=True)
class Then:
    """A clock that stands."""

    at: datetime

    def now(self) -> datetime:
        return self.at


@pytest.fixture(scope="module")
async def core(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningCore]:
    async with running_core(database_url, tmp_path_factory.mktemp("core")) as started:
        started.program.queueing.chunk_size = ChunkSize.fixed(CHUNK)
        yield started


async def fleet(core: RunningCore, *packages: tuple[str, str], count: int = FLEET) -> list[str]:
    """Register vehicles with both programs, with what they have."""
    vins = [new_vin() for _ in range(count)]
    now = datetime.now(UTC)
    installed = [{"name": name, "version": version} for name, version in packages]

    async def register(tx: Tx) -> None:
        await tx.execute(tables.vehicle.insert(), [{"vin": vin, "created_at": now} for vin in vins])
        rows = [{"vin": vin, **package, "installed_at": now} for vin in vins for package in installed]
        if rows:
            await tx.execute(tables.installed_package.insert(), rows)

    await core.db.transact(register)
    facts: list[dict[str, Any]] = [{"fact": "vehicle_registered", "vin": vin} for vin in vins]
    facts += [{"fact": "packages_replaced", "vin": vin, "packages": installed} for vin in vins]
    assert (await core.resolver.core.tell(*facts)).status == 200
    return vins


async def offered(core: RunningCore, vins: Sequence[str], *needs: tuple[str, str]) -> str:
    """Register a package for these vehicles; return its name, the version is 2.1.0."""
    name = new_name("ivi")
    await core.add_package(name, "2.1.0", *needs)
    await core.resolver.attach(name, "2.1.0", await core.resolver.add_filter(span(vins)))
    return name


def span(vins: Sequence[str]) -> str:
    """Write a filter for vehicles whose numbers follow each other."""
    return " OR ".join(sorted({f'vin_matches "^{vin[:-1]}"' for vin in vins}))


async def rows_of(core: RunningCore, table: sa.Table, **equal: Any) -> int:
    query = sa.select(sa.func.count()).select_from(table)
    for name, value in equal.items():
        query = query.where(table.c[name] == value)
    async with core.db.read() as tx:
        return int((await tx.execute(query)).scalar_one())


async def nothing_of(core: RunningCore, name: str) -> None:
    """Wait until nothing is left of a package's requests."""

    async def is_gone() -> bool:
        of_package = {"package_name": name}
        left = [await rows_of(core, table, **of_package) for table in (tables.install_request, tables.update)]
        return not any(left) and not await rows_of(core, tables.preparation)

    await until(is_gone, "nothing is left of the request")


async def test_long_request_is_queued_for_each_vehicle_once(core: RunningCore) -> None:
    name = new_name("old")
    await core.add_package(name, "1.0.0")
    vins = await fleet(core, (name, "1.0.0"))
    await core.add_package(name, "2.1.0")
    await core.resolver.attach(name, "2.1.0", await core.resolver.add_filter(span(vins)))
    for _ in range(2):
        request_id = await core.queue(name, "2.1.0")
        shown = (await core.web.send("GET", f"/install-requests/{request_id}")).body
        assert (shown["status"], shown["counts"]["pending"], shown.get("left_out_reasons")) == ("running", FLEET, None)
        shown = (await core.web.send("GET", f"/install-requests/{request_id}/vehicles", query={"limit": "1"})).body
        assert shown[0]["packages"] == [{"name": name, "version": "2.1.0"}]
    assert await rows_of(core, tables.update, package_name=name) == 2 * FLEET
    # What they get is written once, and downloads only when a vehicle is told.
    assert await rows_of(core, tables.package_set, package_name=name) == 2
    assert await rows_of(core, tables.download, package_name=name) == 0
    assert await rows_of(core, tables.preparation) == 0


async def test_those_who_are_left_out_are_counted_by_reason(core: RunningCore) -> None:
    name = new_name("ivi")
    has, newer, old = (
        await fleet(core, (name, "2.1.0"), count=60),
        await fleet(core, (name, "2.10.0"), count=70),
        await fleet(core, (name, "2.0.9"), count=100),
    )
    await core.add_package(name, "2.1.0")
    await core.resolver.attach(name, "2.1.0", await core.resolver.add_filter(span([*has, *newer, *old])))
    retired = old[0]
    await core.db.transact(
        lambda tx: tx.execute(
            tables.vehicle.update().where(tables.vehicle.c.vin == retired).values(retired_at=datetime.now(UTC))
        )
    )
    shown = (await core.web.send("GET", f"/install-requests/{await core.queue(name, '2.1.0')}")).body
    assert shown["left_out_reasons"] == {"installed_already": 60, "downgrade": 70, "unknown_vin": 1}
    assert (shown["left_out"], shown["counts"]["pending"]) == (131, 99)
    consenting = (
        await core.web.send("GET", f"/install-requests/{await core.queue(name, '2.1.0', allow_downgrade=True)}")
    ).body
    assert consenting["left_out_reasons"] == {"installed_already": 60, "unknown_vin": 1}
    removal = await core.queue(name, "2.1.0", command="remove")
    removed = (await core.web.send("GET", f"/install-requests/{removal}")).body
    assert (removed["left_out_reasons"], removed["counts"]["pending"]) == ({"not_installed": 169, "unknown_vin": 1}, 60)


async def test_part_of_a_request_is_never_visible(core: RunningCore) -> None:
    vins = await fleet(core)
    name = await offered(core, vins)
    queueing = asyncio.create_task(core.queue(name, "2.1.0"))
    seen: set[int] = set()
    while not queueing.done():
        listed = (await core.web.send("GET", "/install-requests", query={"limit": "1000"})).body
        seen |= {one["counts"]["pending"] for one in listed if one["package"]["name"] == name}
        own = (await core.web.send("GET", f"/vehicles/{vins[0]}/queue")).body
        seen |= {FLEET} if own and not queueing.done() and not await rows_of(core, tables.preparation) else set()
    await queueing
    assert seen <= {FLEET}


async def test_blacklisted_prerequisite_of_some_refuses_the_request_of_all(core: RunningCore) -> None:
    needed = new_name("libmap")
    await core.add_package(needed, "1.0.0")
    have = await fleet(core, (needed, "1.0.0"), count=200)
    lack = await fleet(core, count=30)
    name = new_name("ivi")
    await core.add_package(name, "2.1.0", (needed, "1.0.0"))
    await core.resolver.attach(name, "2.1.0", await core.resolver.add_filter(span([*have, *lack])))
    await core.web.send("PUT", f"/packages/{needed}/1.0.0/blacklist", {"comment": "It breaks things."})
    answer = await core.web.send("POST", "/install-requests", queue_request(name, "2.1.0"))
    assert (answer.status, answer.body["code"]) == (409, "package_blacklisted")
    await nothing_of(core, name)


async def test_batch_with_a_package_that_is_refused_queues_nothing(core: RunningCore) -> None:
    vins = await fleet(core)
    good = await offered(core, vins)
    lonely = new_name("lonely")
    await core.add_package(lonely, "1.0.0")  # without filters: the Resolver refuses it, after the first one's vehicles
    body = [queue_request(good, "2.1.0"), queue_request(lonely, "1.0.0")]
    answer = await core.web.send("POST", "/install-requests/batch", body)
    assert (answer.status, answer.body["code"]) == (404, "filters_missing")
    await nothing_of(core, good)


async def test_same_key_queues_once_even_at_the_same_moment(core: RunningCore) -> None:
    vins = await fleet(core)
    name, key = await offered(core, vins), {"idempotency-key": new_name("key")}
    body = queue_request(name, "2.1.0")
    answers = await asyncio.gather(*(core.web.send("POST", "/install-requests", body, headers=key) for _ in range(3)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body["install_request_id"] for answer in answers}) == 1

    async def is_one() -> bool:
        updates = await rows_of(core, tables.update, package_name=name)
        return (updates, await rows_of(core, tables.install_request, package_name=name)) == (FLEET, 1)

    await until(is_one, "one request is left")


async def test_connected_vehicle_of_a_long_request_is_told_at_once(core: RunningCore) -> None:
    vins = await fleet(core)
    vehicle = VehiclePlayer(core.edge, vins[-1])
    await vehicle.connect()
    await core.queue(await offered(core, vins), "2.1.0")
    assert (await core.edge.expect(vins[-1], "notify")).body["downloads"]


async def half_written(core: RunningCore, name: str, vins: Sequence[str], owner: str, lease: timedelta) -> str:
    """Leave what a Core leaves that is killed between two chunks."""
    now = datetime.now(UTC)
    order = Order((name, "2.1.0"), 10, now, now + timedelta(hours=1))
    request = InstallRequest(new_id(), 0, "request", None, order, 0, now, new_id())

    async def write(tx: Tx) -> None:
        await queue_store.insert_request(tx, request)
        await preparation_store.begin(tx, Preparation(request.id, owner), now, now + lease)
        packages = await package_store.find_packages(tx, [order.package])
        await set_store.insert_sets(tx, [request], {(0, (order.package,)): 0}, packages)
        await queue_store.stage(tx, request, Slice(0, (order.package,), vins), packages, 0)

    await core.db.transact(write)
    return str(request.id)


async def test_half_of_a_request_is_shown_as_such_and_not_acted_upon(core: RunningCore) -> None:
    vins = await fleet(core, count=20)
    name = await offered(core, vins)
    request_id = await half_written(core, name, vins, "another/1", timedelta(hours=1))
    shown = (await core.web.send("GET", f"/install-requests/{request_id}")).body
    assert (shown["status"], shown["counts"]["pending"]) == ("preparing", 20)
    assert (await core.web.send("GET", f"/install-requests/{request_id}/vehicles")).body == []
    assert (await core.web.send("GET", f"/vehicles/{vins[0]}/queue")).body == []
    assert (await core.web.send("GET", "/install-requests", query={"vin": vins[0]})).body == []
    assert (await core.web.send("POST", f"/install-requests/{request_id}/cancel")).status == 404
    vehicle = VehiclePlayer(core.edge, vins[0])
    await vehicle.connect()
    real = await core.queue(name, "2.1.0")
    told = (await core.edge.expect(vins[0], "notify")).body
    assert told["update_id"] in {
        one["update_id"] for one in (await core.web.send("GET", f"/install-requests/{real}/vehicles")).body
    }
    gone = tables.preparation.update().where(tables.preparation.c.owner == "another/1")
    await core.db.transact(lambda tx: tx.execute(gone.values(lease_until=datetime.now(UTC) - timedelta(seconds=1))))
    core.program.queueing.preparations.look()

    async def is_gone() -> bool:
        return (await core.web.send("GET", f"/install-requests/{request_id}")).status == 404

    await until(is_gone, "the Core that finds the lease over takes the request back")
    assert await rows_of(core, tables.update, package_name=name) == 20


async def test_restarted_core_takes_back_what_it_left_half_written(core: RunningCore, tmp_path: Path) -> None:
    vins = await fleet(core, count=20)
    name = await offered(core, vins)
    await half_written(core, name, vins, "reborn/1", timedelta(hours=1))
    (tmp_path / "resolver.token").write_text("it is never shown")
    again = CoreProgram(
        core_settings(
            str(core.program.settings.database),
            core.folder,
            resolver_url=core.resolver.address,
            node_url=core.edge.url,
            instance="reborn",
        )
    )
    try:
        await again.start()
        await nothing_of(core, name)
    finally:
        await again.stop()


async def test_request_that_is_taken_from_its_core_is_refused_and_leaves_nothing(
    core: RunningCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    vins = await fleet(core)
    name = await offered(core, vins)
    monkeypatch.setattr(
        core.program.queueing, "chunk_size", ChunkSize.fixed(1)
    )  # it is written for so long that we see it
    task = asyncio.create_task(core.web.send("POST", "/install-requests", queue_request(name, "2.1.0")))

    async def is_taken() -> bool:
        past = datetime.now(UTC) - timedelta(seconds=1)
        taken = tables.preparation.update().values(owner="another/2", lease_until=past)
        return (await core.db.transact(lambda tx: tx.execute(taken))).rowcount > 0

    await until(is_taken, "the request is being written", interval_s=0.001)
    answer = await task
    assert (answer.status, answer.body["title"]) == (503, "Service Unavailable")
    core.program.queueing.preparations.look()
    await nothing_of(core, name)


async def test_request_is_closed_when_its_end_is_past_and_nothing_of_it_is_open(core: RunningCore) -> None:
    name, absent = new_name("ivi"), await core.add_vehicle()
    await core.add_package(name, "2.1.0", expression=f'vin_matches "{absent}"')
    over, half = UUID(await core.queue(name, "2.1.0")), UUID(await core.queue(name, "2.1.0"))
    now = datetime.now(UTC)
    lease = now + timedelta(hours=1)

    async def look(at: datetime) -> set[UUID]:
        """Expire what is due at a moment; return which of the two requests are closed."""
        while await core.db.transact(lambda tx: transfer_service.expire(tx, Then(at), 200)) is not None:
            pass
        query = sa.select(tables.install_request.c.id).where(tables.install_request.c.closed_at.is_not(None))
        async with core.db.read() as tx:
            return {over, half} & set((await tx.execute(query)).scalars())

    await core.db.transact(lambda tx: preparation_store.begin(tx, Preparation(half, "another/2"), now, lease))
    assert await look(now) == set()
    end = now + timedelta(hours=1)
    assert await look(end + timedelta(minutes=1)) == set()
    assert await rows_of(core, tables.update, package_name=name, status="failed", reason="expired") == 2
    # What was queued or retried at the last moment is committed by then; what is still prepared is not.
    assert await look(end + timedelta(hours=1)) == {over}
    gone = tables.preparation.delete().where(tables.preparation.c.owner == "another/2")
    await core.db.transact(lambda tx: tx.execute(gone))
    assert await look(end + timedelta(hours=1)) == {over, half}
