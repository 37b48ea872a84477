"""Several Cores on one database: each sends heartbeats, and one takes over the updates of a Core that died.

Rules kept here:

* a Core renews its row three times as often as needed. A Core that sees another's row unchanged for too long, by its
  monotonic clock, considers that Core dead: wall clocks may differ, and be set;
* the Core that deletes the row drives the dead Core's updates from now on: the node calls it instead, and it asks the
  vehicles what they have;
* a Core that was only slow finds its row gone: it starts again, and drops transfers that another Core drives.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from sota.core.tables import core_instance, update
from sota.core.transfers.errors import TRANSIENT
from sota.kit.runtime.clock import Clock
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Database, Tx

GONE = datetime(1970, 1, 2, tzinfo=UTC)
"""What a Core writes when it stops."""


class Instances:
    """This Core among others. ``taken_over`` is called after this Core took over another's updates."""

    def __init__(
        self,
        db: Database,
        name: str,
        clock: Clock,
        *,
        gone_after_s: float,
        taken_over: Callable[[], Awaitable[None]],
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db, self._name, self._clock = db, name, clock
        self._gone_after_s, self._taken_over = gone_after_s, taken_over
        self._log = get_logger(program="core")
        self._is_known = False
        self._elapsed = elapsed
        self._seen: dict[str, tuple[datetime, float]] = {}

    async def run(self) -> None:
        """Send heartbeats and watch the other Cores, until cancelled."""
        while True:
            try:
                await self.look()
            except TRANSIENT as error:
                self._log.warning("presence_not_renewed", reason=str(error))
            await asyncio.sleep(self._gone_after_s / 3)

    async def look(self) -> None:
        """Renew our row, and take over from Cores that died."""
        until = self._clock.now() + timedelta(seconds=self._gone_after_s)
        self._is_known = True
        async with self._db.read() as tx:
            rows = {row.instance: row.alive_until for row in await tx.execute(sa.select(core_instance))}
        silent = self._silent({name: at for name, at in rows.items() if name != self._name})
        gone = await self._db.transact(lambda tx: _renew(tx, self._name, until, silent))
        for name, count in gone.items():
            self._log.warning("transfers_taken_over", instance=name, updates=count)
        if gone:
            await self._taken_over()

    async def leave(self) -> None:
        """Announce our end, so that the other Cores need not wait for our row to expire."""
        if not self._is_known:  # a start that failed has written nothing, and its database may be away
            return
        gone = core_instance.update().where(core_instance.c.instance == self._name).values(alive_until=GONE)
        await self._db.transact(lambda tx: tx.execute(gone))

    def _silent(self, others: Mapping[str, datetime]) -> dict[str, datetime]:
        """Note the rows of other Cores; return those that are unchanged for too long or announce their end."""
        now = self._elapsed()
        for name in self._seen.keys() - others.keys():
            del self._seen[name]
        for name, at in others.items():
            if name not in self._seen or self._seen[name][0] != at:
                self._seen[name] = (at, now)
        return {name: at for name, (at, since) in self._seen.items() if at == GONE or now - since >= self._gone_after_s}


async def _renew(tx: Tx, name: str, until: datetime, silent: Mapping[str, datetime]) -> dict[str, int]:
    table = core_instance
    renewed = await tx.execute(table.update().where(table.c.instance == name).values(alive_until=until))
    if renewed.rowcount == 0:
        await tx.execute(table.insert().values(instance=name, alive_until=until))
    gone: dict[str, int] = {}
    for other, said in silent.items():
        gone_now = table.delete().where(table.c.instance == other, table.c.alive_until == said)
        if (await tx.execute(gone_now)).rowcount == 0:
            continue  # it is alive, or another Core was first
        moved = await tx.execute(
            update.update()
            .where(update.c.status == "in_flight", update.c.lease_owner == other)
            .values(lease_owner=name)
        )
        gone[other] = moved.rowcount
    return gone
