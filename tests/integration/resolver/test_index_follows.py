"""Indexes of several programs on one database: each sees what was committed, and in the end all hold the truth."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from sota.boundaries.b5_core_resolver import messages
from sota.boundaries.values import InstalledPackage
from sota.kit.errors import Unavailable
from sota.kit.runtime.clock import SystemClock
from sota.kit.runtime.program import Background
from sota.kit.sql.database import Database, Tx
from sota.kit.sql.migrations import upgrade
from sota.resolver.changes import store as change_store
from sota.resolver.changes.model import Kind
from sota.resolver.facts import service
from sota.resolver.index.keeper import Keeper
from sota.resolver.index.loading import load
from sota.resolver.index.share import WHOLE
from sota.resolver.index.snapshot import Snapshots
from sota.resolver.index.workers import Parameters, Result, Workers
from sota.resolver.program import MIGRATIONS
from sota.resolver.settings import ResolverSettings
from sota.resolver.tables import change, change_head, vehicle
from tests.support.fleets import contents
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
CLOCK = SystemClock()
WRITERS, ROUNDS = 6, 15


@dataclass
class Node:
    """One program's index, with connections of its own."""

    db: Database
    keeper: Keeper
    workers: Workers

    async def tell(self, *facts: messages.Fact) -> list[messages.FactResult]:
        return await self.db.transact(lambda tx: service.record(tx, facts, CLOCK))

    async def tell_again_and_again(self, *facts: messages.Fact) -> None:
        """Send a fact until it is accepted, as Core's outbox does: writers may conflict."""
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(Unavailable):
                    await self.tell(*facts)
                    return

    async def contents(self) -> dict[str, frozenset[tuple[Kind, tuple[str, ...]]]]:
        return contents(await self.keeper.newest())

    async def truth(self) -> dict[str, frozenset[tuple[Kind, tuple[str, ...]]]]:
        return contents(await load(self.db, self.workers))


@asynccontextmanager
async def running_node(url: str, folder: Path, *, kept: int = 20_000, every_s: float = 0.2) -> AsyncIterator[Node]:
    db, workers, background = Database(url), Workers(1), Background()
    await upgrade(db, MIGRATIONS)
    keeper = Keeper(db, workers, ResolverSettings(data=folder, snapshot_interval_s=every_s, kept_changes=kept))
    keeper.start(background)
    try:
        async with asyncio.timeout(20):
            await keeper.loaded.wait()
        yield Node(db, keeper, workers)
    finally:
        await background.stop()
        workers.close()
        await db.close()


class Writer:
    """Sends facts about vehicles that several writers share."""

    def __init__(self, name: str, seed: int) -> None:
        self.name, self.random, self.count = name, random.Random(seed), 0

    def facts(self) -> list[messages.Fact]:
        return [self.fact() for _ in range(self.random.randint(1, 8))]

    def fact(self) -> messages.Fact:
        self.count += 1
        fact_id, vin = f"{self.name}-{self.count}", f"SHARED{self.random.randint(1, 9):011d}"
        package = InstalledPackage(name=self.random.choice("abc"), version=self.random.choice(["1", "2"]))
        part = f"ECU-{self.random.randint(1, 3)}"
        kinds: list[messages.Fact] = [
            messages.VehicleRegistered(id=fact_id, vin=vin),
            messages.VehicleRegistered(id=fact_id, vin=vin),
            messages.VehicleRetired(id=fact_id, vin=vin),
            messages.PackageAdded(id=fact_id, vin=vin, package=package),
            messages.PackageRemoved(id=fact_id, vin=vin, package=package),
            messages.PackagesReplaced(id=fact_id, vin=vin, packages=[package]),
            messages.ComponentAdded(id=fact_id, vin=vin, part_number=part),
            messages.ComponentsReplaced(id=fact_id, vin=vin, components=[part]),
            messages.ComponentRetired(id=fact_id, part_number=part),
        ]
        return self.random.choice(kinds)


async def test_writers_at_the_same_time_leave_indexes_and_database_alike(
    fresh_database_url: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(running_node(fresh_database_url, tmp_path / name))
            for name in ("one", "two")
        ]

        async def write(number: int) -> None:
            writer = Writer(f"writer{number}", number)
            own = f"OWN{number:014d}"
            for round_ in range(ROUNDS):
                here, there = nodes[round_ % 2], nodes[(round_ + 1) % 2]
                await here.tell_again_and_again(*writer.facts())
                await here.tell_again_and_again(
                    messages.VehicleRegistered(id=f"{own}-{round_}", vin=own),
                    messages.PackagesReplaced(
                        id=f"{own}-{round_}-p", vin=own, packages=[InstalledPackage(name="own", version=str(round_))]
                    ),
                )
                for node in (there, here):
                    assert (await node.contents())[own] == {(Kind.PACKAGE, ("own", str(round_)))}

        await asyncio.gather(*(write(number) for number in range(WRITERS)))
        truth = await nodes[0].truth()
        assert [await node.contents() for node in nodes] == [truth, truth]


async def test_start_from_a_snapshot_takes_in_what_was_committed_since(fresh_database_url: str, tmp_path: Path) -> None:
    writer = Writer("before", 1)
    async with running_node(fresh_database_url, tmp_path / "one") as node:
        for _ in range(10):
            await node.tell(*writer.facts())
        await node.contents()
        await asyncio.sleep(0.6)  # it is saved
    async with running_node(fresh_database_url, tmp_path / "other", every_s=60) as other:
        for _ in range(10):
            await other.tell(*writer.facts())
        truth = await other.truth()
    async with running_node(fresh_database_url, tmp_path / "one") as node:
        assert await node.contents() == truth


async def test_snapshot_of_another_history_is_not_used(
    fresh_database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_node(fresh_database_url, tmp_path) as node:
        await node.tell(*Writer("first", 1).facts())
        await node.contents()
        await asyncio.sleep(0.6)
        # The database is put back to an old copy and lives on differently.
        await node.db.transact(lambda tx: tx.execute(change.update().values(mark=b"another!")))
        await node.db.transact(lambda tx: tx.execute(change_head.update().values(mark=b"another!")))
        await asyncio.sleep(0.6)
    async with running_node(fresh_database_url, tmp_path) as node:
        assert await node.contents() == await node.truth()
    assert "index_dropped" in capsys.readouterr().out


async def test_history_that_goes_on_differently_rebuilds_the_index(
    fresh_database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A replica without the last commits took over, and got new commits before the index was read."""
    async with running_node(fresh_database_url, tmp_path) as node:
        await node.tell(messages.VehicleRegistered(id="lost", vin="LOST0000000000001"))
        await node.contents()

        async def take_over(tx: Tx) -> None:
            await tx.execute(change.update().values(mark=b"another!"))
            await tx.execute(vehicle.delete())
            await service.record(tx, [messages.VehicleRegistered(id="new", vin="NEW00000000000001")], CLOCK)

        await node.db.transact(take_over)

        async def is_the_truth() -> bool:
            with contextlib.suppress(Unavailable):
                return list(await node.contents()) == ["NEW00000000000001"]
            return False

        await until(is_the_truth, "the index is rebuilt")
    assert "index_dropped" in capsys.readouterr().out


class Nagging(Workers):
    """Threads that another program does not let come to an end: a change comes with each computation."""

    def __init__(self, url: str) -> None:
        super().__init__(1)
        self.db, self.count = Database(url), 0

    async def run(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        self.count += 1
        fact = messages.VehicleRegistered(id=f"nagging-{self.count}", vin=f"{self.count:017d}")
        await self.db.transact(lambda tx: service.record(tx, [fact], CLOCK))
        return await super().run(function, *args, **kwargs)


async def test_question_waits_for_what_was_committed_before_it_and_for_no_more(
    fresh_database_url: str, tmp_path: Path
) -> None:
    async with running_node(fresh_database_url, tmp_path / "other") as other:
        workers, background = Nagging(fresh_database_url), Background()
        keeper = Keeper(other.db, workers, ResolverSettings(data=tmp_path, snapshot_interval_s=60, kept_changes=20_000))
        keeper.start(background)
        async with asyncio.timeout(20):
            await keeper.loaded.wait()
            await other.tell(messages.VehicleRegistered(id="asked", vin="ASKEDFOR000000001"))
            assert "ASKEDFOR000000001" in contents(await keeper.newest())
        await background.stop()
        workers.close()
        await workers.db.close()


async def test_snapshot_is_written_beside_what_the_index_computes(fresh_database_url: str, tmp_path: Path) -> None:
    """A large one takes seconds: a query meanwhile, with a change to be applied first, does not wait for it."""
    async with running_node(fresh_database_url, tmp_path, every_s=1) as node:
        await node.tell(messages.VehicleRegistered(id="saved", vin="SAVED000000000001"))
        number = (await node.keeper.newest()).position.number
        is_done = threading.Event()
        computing = asyncio.create_task(node.workers.run(is_done.wait, 60))

        async def is_saved() -> bool:
            with contextlib.suppress(FileNotFoundError):  # the next one is written at this moment
                saved = Snapshots(tmp_path / WHOLE.folder).load()
                return saved is not None and saved.position.number == number
            return False

        try:
            await until(is_saved, "the snapshot is written")
            assert not computing.done()
        finally:
            is_done.set()
            await computing


async def test_log_that_was_cut_short_rebuilds_the_index(fresh_database_url: str, tmp_path: Path) -> None:
    writer = Writer("cut", 3)
    async with running_node(fresh_database_url, tmp_path / "one", every_s=60) as node:
        await node.tell(*writer.facts())
        await node.contents()
    async with running_node(fresh_database_url, tmp_path / "other", kept=10, every_s=0.1) as other:
        for _ in range(40):
            await other.tell(
                *writer.facts(), messages.VehicleRegistered(id=f"v{writer.count}", vin=f"{writer.count:017d}")
            )
        await other.contents()

        async def is_cut_short() -> bool:
            async with other.db.read() as tx:
                return (await tx.execute(sa.select(sa.func.count()).select_from(change))).scalar_one() < 25

        await until(is_cut_short, "the log is cut short")
        truth = await other.truth()
    async with running_node(fresh_database_url, tmp_path / "one") as node:
        assert await node.contents() == truth


async def test_entries_are_numbered_in_the_order_of_their_commits(fresh_database_url: str, tmp_path: Path) -> None:
    """A reader of an entry also sees all entries before it, however many writers there are."""
    async with running_node(fresh_database_url, tmp_path) as node:
        seen: list[int] = []
        is_done = asyncio.Event()

        async def watch() -> None:
            while not is_done.is_set():
                async with node.db.read() as tx:
                    head = await change_store.read_head(tx)
                    count = (
                        await tx.execute(sa.select(sa.func.count()).where(change.c.number <= head.number))
                    ).scalar_one()
                assert count == head.number + 1, "no gap"
                seen.append(head.number)
                await asyncio.sleep(0)

        async def write(number: int) -> None:
            for turn in range(20):
                vin = f"{number:07d}{turn:010d}"
                await node.tell(messages.VehicleRegistered(id=vin, vin=vin))

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(write(number) for number in range(8)))
        is_done.set()
        await watching
        assert seen == sorted(seen)
        assert (await node.keeper.newest()).position.number == 160


async def test_nothing_is_answered_before_the_index_is_loaded(fresh_database_url: str, tmp_path: Path) -> None:
    db = Database(fresh_database_url)
    keeper = Keeper(db, Workers(1), ResolverSettings(data=tmp_path, snapshot_interval_s=60, kept_changes=100))
    with pytest.raises(Unavailable, match="being loaded"):
        await keeper.newest()
    await db.close()
