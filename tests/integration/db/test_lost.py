"""Deadlocks, lost connections and cancelled queries on a real MariaDB: a transaction is done once, wholly, or not at
all, and no caller gets the rows of another.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from sota.kit.errors import Unavailable
from sota.kit.sql.database import Database, Tx
from sota.kit.sql.reading import ATTEMPTS
from tests.support.databases import MariaDbServer, running_mariadb
from tests.support.processes import free_ports
from tests.support.proxy import Direction, Proxy
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
METADATA = sa.MetaData()
COUNTER = sa.Table(
    "counter",
    METADATA,
    sa.Column("name", sa.String(20), primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
)
NAMES = ("first", "second")


@pytest.fixture
def own_server() -> Iterator[MariaDbServer]:
    """A server of its own, to be stopped."""
    with running_mariadb("--innodb-flush-log-at-trx-commit=2") as server:  # what is committed survives its stop
        yield server


@asynccontextmanager
async def counters(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    try:
        await database.transact(lambda tx: tx.run_sync(METADATA.create_all))
        await database.transact(lambda tx: tx.execute(COUNTER.insert(), [{"name": n, "count": 0} for n in NAMES]))
        yield database
    finally:
        await database.close()


async def add(tx: Tx, name: str) -> None:
    await tx.execute(COUNTER.update().where(COUNTER.c.name == name).values(count=COUNTER.c.count + 1))


async def counted(database: Database) -> dict[str, int]:
    async with database.read() as tx:
        return {row.name: row.n for row in await tx.execute(sa.select(COUNTER.c.name, COUNTER.c.count.label("n")))}


async def connection_of(tx: Tx) -> int:
    return int((await tx.execute(sa.text("SELECT CONNECTION_ID()"))).scalar_one())


async def test_both_transactions_of_a_deadlock_succeed(mariadb_server: MariaDbServer) -> None:
    attempts: list[str] = []

    async def cross(tx: Tx, first: str, second: str, mine: asyncio.Event, theirs: asyncio.Event) -> None:
        attempts.append(first)
        await add(tx, first)
        mine.set()
        await theirs.wait()  # from the second attempt on, both are set
        await add(tx, second)

    one, two = asyncio.Event(), asyncio.Event()
    async with counters(mariadb_server.new_schema()) as database, asyncio.timeout(30):
        await asyncio.gather(
            database.transact(lambda tx: cross(tx, "first", "second", one, two)),
            database.transact(lambda tx: cross(tx, "second", "first", two, one)),
        )
        assert await counted(database) == {"first": 2, "second": 2}
    assert len(attempts) > 2, "there was no deadlock"


async def test_transaction_whose_connection_is_killed_is_done_again(mariadb_server: MariaDbServer) -> None:
    connections: list[int] = []

    async def work(tx: Tx) -> str:
        connections.append(await connection_of(tx))
        await add(tx, "first")
        if len(connections) == 1:
            await asyncio.to_thread(mariadb_server.execute, f"KILL {connections[0]}")
        await add(tx, "second")
        return "done"

    async with counters(mariadb_server.new_schema()) as database:
        assert await database.transact(work) == "done"
        assert await counted(database) == {"first": 1, "second": 1}
    assert len(set(connections)) == 2


async def test_connection_killed_again_and_again_ends_as_unavailable(mariadb_server: MariaDbServer) -> None:
    attempts = 0

    async def work(tx: Tx) -> None:
        nonlocal attempts
        attempts += 1
        await add(tx, "first")
        await asyncio.to_thread(mariadb_server.execute, f"KILL {await connection_of(tx)}")
        await add(tx, "second")

    async with counters(mariadb_server.new_schema()) as database:
        with pytest.raises(Unavailable):
            await database.transact(work)
        assert attempts == ATTEMPTS
        assert await counted(database) == {"first": 0, "second": 0}


async def test_statement_whose_connection_is_killed_while_reading_is_repeated(mariadb_server: MariaDbServer) -> None:
    async with counters(mariadb_server.new_schema()) as database, database.read() as tx:
        for _ in range(3):
            await asyncio.to_thread(mariadb_server.execute, f"KILL {await connection_of(tx)}")
            assert len((await tx.execute(sa.select(COUNTER))).all()) == 2
        with pytest.raises(DBAPIError, match="READ ONLY transaction"):
            await tx.execute(COUNTER.delete())  # over the new connection, too


async def test_read_of_one_moment_is_not_patched_together(mariadb_server: MariaDbServer) -> None:
    async def read(database: Database) -> None:
        async with database.read_one_moment() as tx:
            await asyncio.to_thread(mariadb_server.execute, f"KILL {await connection_of(tx)}")
            await tx.execute(sa.select(COUNTER))

    async with counters(mariadb_server.new_schema()) as database:
        with pytest.raises(Unavailable):
            await read(database)
        assert await counted(database) == {"first": 0, "second": 0}


async def test_read_of_one_moment_begins_on_a_connection_that_lives(mariadb_server: MariaDbServer) -> None:
    async with counters(mariadb_server.new_schema()) as database:
        for _ in range(3):
            async with database.read() as tx:
                number = await connection_of(tx)
            await asyncio.to_thread(mariadb_server.execute, f"KILL {number}")
            async with database.read_one_moment() as tx:  # the killed one, used a moment ago and so not tried before
                assert len((await tx.execute(sa.select(COUNTER))).all()) == 2


async def test_commit_whose_answer_is_lost_is_not_done_twice(mariadb_server: MariaDbServer) -> None:
    proxy = Proxy(free_ports(1)[0], mariadb_server.port)
    await proxy.start()
    url = sa.make_url(mariadb_server.new_schema())
    through = url.set(port=proxy.port).render_as_string(hide_password=False)
    async with counters(url.render_as_string(hide_password=False)) as direct:
        database, ends = Database(through), []

        async def work(tx: Tx) -> None:
            await add(tx, "first")
            proxy.hold(Direction.DOWN)
            ends.append(asyncio.create_task(cut_when_committed(direct, proxy)))

        try:
            with pytest.raises(Unavailable, match="whether the change was made is not known"):
                await database.transact(work)
            await asyncio.gather(*ends)
            assert await counted(direct) == {"first": 1, "second": 0}
            await database.transact(lambda tx: add(tx, "first"))  # by a new connection
            assert await counted(direct) == {"first": 2, "second": 0}
        finally:
            await database.close()
            await proxy.stop()


async def cut_when_committed(direct: Database, proxy: Proxy) -> None:
    async def is_committed() -> bool:
        return (await counted(direct))["first"] == 1

    await until(is_committed, "the server has committed")
    await proxy.cut()


async def test_server_restarted_between_two_requests_is_not_noticed(own_server: MariaDbServer) -> None:
    async with counters(own_server.new_schema()) as database:
        await asyncio.gather(*(counted(database) for _ in range(5)))  # several connections lie in the pool
        await asyncio.to_thread(own_server.restart)
        await asyncio.gather(*(database.transact(lambda tx: add(tx, "first")) for _ in range(5)))
        assert (await counted(database))["first"] == 5
        await asyncio.to_thread(own_server.stop)
        for request in (counted(database), database.transact(lambda tx: add(tx, "first"))):
            with pytest.raises(Unavailable):
                await request
        await asyncio.to_thread(own_server.start)
        assert (await counted(database))["first"] == 5


async def test_cancelled_queries_never_give_their_rows_to_others(fresh_database_url: str) -> None:
    """Forty callers on a few connections, a third of them cancelled at a random moment of their query."""
    chance = random.Random(7)
    numbers = sa.text(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT :mine, i FROM n"
    )

    async def ask(database: Database, mine: int) -> None:
        async with database.read() as tx:
            rows = (await tx.execute(numbers, {"mine": mine})).all()
        assert rows == [(mine, i) for i in range(1, 301)]

    async def write_nothing(database: Database) -> None:
        async def work(tx: Tx) -> None:
            await add(tx, "first")
            await tx.execute(numbers, {"mine": 0})
            await asyncio.sleep(60)

        await database.transact(work)

    async with counters(fresh_database_url) as database, asyncio.timeout(60):
        for wave in range(10):
            tasks = [asyncio.create_task(ask(database, wave * 100 + number)) for number in range(40)]
            victims = [*chance.sample(tasks, 13), asyncio.create_task(write_nothing(database))]
            for victim in victims:
                await asyncio.sleep(chance.uniform(0, 0.003))
                victim.cancel()
            ends = await asyncio.gather(*tasks, victims[-1], return_exceptions=True)
            assert [end for end in ends if end is not None and not isinstance(end, asyncio.CancelledError)] == []
            assert sum(end is None for end in ends) >= len(tasks) - 13
        assert await counted(database) == {"first": 0, "second": 0}
