"""Cores on one database, whose clocks differ and are set: one that lives keeps what it drives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from sota.core.tables import core_instance
from sota.core.transfers.presence.instances import Instances
from sota.kit.sql.database import Database
from sota.kit.sql.migrations import upgrade

pytestmark = pytest.mark.anyio
GONE_AFTER_S = 30.0


class Host:
    """A Core's presence, its clock, and the clock that is never set."""

    def __init__(self, db: Database, name: str, ahead: timedelta) -> None:
        self.moment = datetime(2026, 6, 1, tzinfo=UTC) + ahead
        self.elapsed, self.took_over = 0.0, 0
        self.instances = Instances(
            db,
            name,
            self,
            gone_after_s=GONE_AFTER_S,
            taken_over=self._take_over,
            elapsed=lambda: self.elapsed,
        )

    def now(self) -> datetime:
        return self.moment

    async def _take_over(self) -> None:
        self.took_over += 1

    def pass_time(self, seconds: float) -> None:
        self.elapsed += seconds
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
async def db(fresh_database_url: str) -> AsyncIterator[Database]:
    database = Database(fresh_database_url)
    await upgrade(database, "sota.core.migrations")
    yield database
    await database.close()


async def names(db: Database) -> set[str]:
    async with db.read() as tx:
        return set((await tx.execute(sa.select(core_instance.c.instance))).scalars())


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=-20_000), timedelta(days=3), timedelta(seconds=-40)])
async def test_two_cores_whose_clocks_differ_leave_one_another_alone(db: Database, ahead: timedelta) -> None:
    one, other = Host(db, "one", timedelta(0)), Host(db, "other", ahead)
    for _ in range(10):
        for host in (one, other):
            await host.instances.look()
            host.pass_time(GONE_AFTER_S / 3)
    assert (one.took_over, other.took_over) == (0, 0)
    assert await names(db) == {"one", "other"}


@pytest.mark.parametrize(
    "jump", [timedelta(days=-20_000), timedelta(hours=-1), timedelta(hours=1), timedelta(days=900)]
)
async def test_a_core_that_is_gone_is_followed_in_time_although_a_clock_was_set(db: Database, jump: timedelta) -> None:
    one, other = Host(db, "one", timedelta(0)), Host(db, "other", timedelta(0))
    await one.instances.look()
    await other.instances.look()
    one.moment += jump
    await one.instances.look()
    assert one.took_over == 0
    one.pass_time(GONE_AFTER_S - 1)
    await one.instances.look()
    assert one.took_over == 0
    one.pass_time(2)
    await one.instances.look()
    assert one.took_over == 1
    assert await names(db) == {"one"}


async def test_a_core_that_ends_in_order_is_followed_at_once(db: Database) -> None:
    one, other = Host(db, "one", timedelta(0)), Host(db, "other", timedelta(0))
    await one.instances.look()
    await other.instances.look()
    await other.instances.leave()
    await one.instances.look()
    assert one.took_over == 1
