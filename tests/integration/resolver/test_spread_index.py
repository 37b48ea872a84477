"""A fleet that is dealt out to several processes is answered as by one, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from sota.kit.runtime.clock import SystemClock
from sota.kit.sql.database import Database, Tx
from sota.kit.sql.migrations import upgrade
from sota.resolver.index.loading import load
from sota.resolver.index.part_process import PartProcess
from sota.resolver.index.share import Share
from sota.resolver.index.spread_index import SpreadIndex
from sota.resolver.index.workers import Workers
from sota.resolver.program import MIGRATIONS
from sota.resolver.settings import ResolverSettings
from sota.resolver.tables import vehicle
from tests.support.fleets import contents
from tests.support.names import new_name
from tests.support.resolver import RunningResolver, running_resolver
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
SHARD = 1 << 20
VINS = {row: f"SPREAD{row:011d}" for row in (1, 2, 3, SHARD + 1, SHARD + 2, 2 * SHARD + 1)}
PROCESSES = 2


async def spread_out(url: str) -> None:
    """Register vehicles whose row ids are those of three shards."""
    database = Database(url)
    await upgrade(database, MIGRATIONS)
    rows = [{"id": row, "vin": vin, "created_at": SystemClock().now()} for row, vin in VINS.items()]

    async def register(tx: Tx) -> None:
        await tx.execute(vehicle.insert(), rows)

    await database.transact(register)
    await database.close()


@pytest.fixture
async def resolver(fresh_database_url: str, tmp_path: Path) -> AsyncIterator[RunningResolver]:
    await spread_out(fresh_database_url)
    async with running_resolver(fresh_database_url, tmp_path, index_processes=PROCESSES) as running:
        await until(is_ready(running), "all parts are loaded")
        yield running


def is_ready(resolver: RunningResolver) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return await resolver.program.trouble() is None

    return look


def spread_index(resolver: RunningResolver) -> SpreadIndex:
    assert isinstance(resolver.program.index, SpreadIndex)
    return resolver.program.index


async def install(resolver: RunningResolver, row: int, *packages: tuple[str, str]) -> None:
    installed = [{"name": name, "version": version} for name, version in packages]
    answer = await resolver.core.tell({"fact": "packages_replaced", "vin": VINS[row], "packages": installed})
    assert answer.body[0]["status"] == "recorded"


async def resolved(resolver: RunningResolver, name: str) -> dict[str, list[str]]:
    answer = await resolver.resolve(name, "2.0.0")
    assert answer.status == 200, answer.body
    assert len({found["vin"] for found in answer.body}) == len(answer.body), "each vehicle once"
    return {found["vin"]: [one["name"] for one in found["packages"]] for found in answer.body}


async def test_parts_answer_together_with_every_change_and_dependency(resolver: RunningResolver) -> None:
    ivi, tls = new_name("ivi"), new_name("libtls")
    await resolver.add_package(tls, "1.4.0")
    await resolver.offer(ivi, "2.0.0", f'NOT package_version "{ivi}" >= "2.0.0"', (tls, "1.2.0"))
    assert await resolved(resolver, ivi) == {vin: [tls, ivi] for vin in VINS.values()}
    await install(resolver, 2, (tls, "1.3.0"))
    await install(resolver, SHARD + 1, (tls, "1.2.0"), (ivi, "1.0.0"))
    await install(resolver, 2 * SHARD + 1, (ivi, "2.0.0"))
    lacking, having = (1, 3, SHARD + 2), (2, SHARD + 1)
    assert await resolved(resolver, ivi) == {
        **{VINS[row]: [tls, ivi] for row in lacking},
        **{VINS[row]: [ivi] for row in having},
    }
    rehearsed = (await resolver.web.send("GET", f"/packages/{ivi}/2.0.0/preview")).body
    assert {tuple(one["name"] for one in plan["packages"]): plan["count"] for plan in rehearsed["plans"]} == {
        (tls, ivi): 3,
        (ivi,): 2,
    }


async def test_preview_counts_and_samples_all_parts(resolver: RunningResolver) -> None:
    body = {"expression": 'vin_matches "[12]$"'}
    answer = (await resolver.web.send("POST", "/filters/preview", body)).body
    wanted = sorted(vin for vin in VINS.values() if vin[-1] in "12")
    assert (answer["count"], sorted(answer["sample"])) == (len(wanted), wanted)


async def test_part_that_was_killed_leaves_no_half_answer_and_comes_back(resolver: RunningResolver) -> None:
    ivi = new_name("ivi")
    await resolver.offer(ivi, "2.0.0", "TRUE")
    part = spread_index(resolver).parts[1]
    assert part.process is not None
    part.process.kill()
    async with asyncio.timeout(60):
        await part.process.wait()
    answer = await resolver.resolve(ivi, "2.0.0")
    assert answer.status == 503, "not the vehicles of the other part alone"
    assert "Part 2 of 2" in answer.body["detail"]
    assert await resolver.program.trouble() is not None
    await resolver.core.tell({"fact": "vehicle_retired", "vin": VINS[SHARD + 1]})
    await until(is_ready(resolver), "the part is there again")
    assert (await resolved(resolver, ivi)).keys() == set(VINS.values()) - {VINS[SHARD + 1]}


async def test_part_that_cannot_keep_its_index_goes_on_as_soon_as_it_can(resolver: RunningResolver) -> None:
    before = [part.process for part in spread_index(resolver).parts]
    await resolver.db.transact(lambda tx: tx.execute(sa.text("ALTER TABLE change_head RENAME TO change_gone")))
    assert await resolver.program.trouble() == "the index of the fleet is not loaded"
    await resolver.db.transact(lambda tx: tx.execute(sa.text("ALTER TABLE change_gone RENAME TO change_head")))
    await until(is_ready(resolver), "the parts answer again")
    assert [part.process for part in spread_index(resolver).parts] == before


async def test_processes_end_with_their_resolver_and_start_from_their_snapshots(
    fresh_database_url: str, tmp_path: Path
) -> None:
    await spread_out(fresh_database_url)
    (tmp_path / "resolver-index").mkdir()  # of the time when one process held all
    options = {"index_processes": PROCESSES, "snapshot_interval_s": 0.1}
    async with running_resolver(fresh_database_url, tmp_path, **options) as running:
        await until(is_ready(running), "all parts are loaded")
        lists = [tmp_path / Share(number, PROCESSES).folder / "fleet.json" for number in range(PROCESSES)]

        async def are_saved() -> bool:
            return all(one.exists() for one in lists)

        await until(are_saved, "both snapshots are written")
        assert not (tmp_path / "resolver-index").exists()
        processes = [part.process for part in spread_index(running).parts]
    assert [process.returncode for process in processes if process is not None] == [0, 0]
    async with running_resolver(fresh_database_url, tmp_path, **options) as running:
        await until(is_ready(running), "all parts are loaded")
        ivi = new_name("ivi")
        await running.offer(ivi, "2.0.0", "TRUE")
        assert (await resolved(running, ivi)).keys() == set(VINS.values())


async def test_process_whose_resolver_was_killed_ends_and_leaves_nothing(
    fresh_database_url: str, tmp_path: Path
) -> None:
    await spread_out(fresh_database_url)
    (folder := tmp_path / "sockets").mkdir()
    settings = ResolverSettings(database=fresh_database_url, data=tmp_path / "data", index_processes=PROCESSES)
    part = PartProcess(settings, Share(0, PROCESSES), folder)
    keeping = asyncio.create_task(part.keep())

    async def is_answering() -> bool:
        return part.socket.exists()

    await until(is_answering, "the socket is there")
    assert part.process is not None
    assert part.process.stdin is not None
    part.process.stdin.close()  # as the end of its Resolver does, however that ended
    try:
        async with asyncio.timeout(60):
            assert await part.process.wait() == 0
        assert not folder.exists()
    finally:
        keeping.cancel()


async def test_shares_of_a_database_are_the_whole(fresh_database_url: str) -> None:
    await spread_out(fresh_database_url)
    database, workers = Database(fresh_database_url), Workers(1)
    with contextlib.closing(workers):
        shares = [contents(await load(database, workers, Share(number, 3))) for number in range(3)]
        assert [sorted(share) for share in shares] == [
            sorted(vin for row, vin in VINS.items() if row // SHARD == number) for number in range(3)
        ]
        await database.close()
