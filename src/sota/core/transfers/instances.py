"""Several Cores on one database: each says that it lives, and goes on with what one that does not was driving.

Rules kept here:

* a Core renews its own row three times as often as it must; a row that is over is a Core that is gone;
* one of the others takes its row away, and whoever did drives its updates from now on, is called by the node in its
  place, and asks its vehicles what they have;
* a Core that was only slow finds its row gone: it begins anew, and drops transfers that are another's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import sqlalchemy as sa

from sota.core.tables import core_instance, update
from sota.core.transfers.sending import TROUBLE
from sota.kit.clock import Clock
from sota.kit.db import Database, Tx
from sota.kit.logging import get_logger


class Instances:
    """This Core among others. ``taken_over`` is called after another's updates have become ours."""

    def __init__(
        self, db: Database, name: str, clock: Clock, *, gone_after_s: float, taken_over: Callable[[], Awaitable[None]]
    ) -> None:
        self._db, self._name, self._clock = db, name, clock
        self._gone_after_s, self._taken_over = gone_after_s, taken_over
        self._log = get_logger(program="core")
        self._is_known = False

    async def run(self) -> None:
        """Say that we live and look after the others, until cancelled."""
        while True:
            try:
                await self.look()
            except TROUBLE as error:
                self._log.warning("presence_not_renewed", reason=str(error))
            await asyncio.sleep(self._gone_after_s / 3)

    async def look(self) -> None:
        """Renew our row, and take over from Cores that are gone."""
        now = self._clock.now()
        until = now + timedelta(seconds=self._gone_after_s)
        self._is_known = True
        gone = await self._db.transact(lambda tx: _renew(tx, self._name, now, until))
        for name, count in gone.items():
            self._log.warning("transfers_taken_over", instance=name, updates=count)
        if gone:
            await self._taken_over()

    async def leave(self) -> None:
        """Say that we end, so that the others need not wait for our row to be over."""
        if not self._is_known:  # a start that failed has written nothing, and its database may be away
            return
        now = self._clock.now() - timedelta(seconds=1)
        gone = core_instance.update().where(core_instance.c.instance == self._name).values(alive_until=now)
        await self._db.transact(lambda tx: tx.execute(gone))


async def _renew(tx: Tx, name: str, now: datetime, until: datetime) -> dict[str, int]:
    table = core_instance
    renewed = await tx.execute(table.update().where(table.c.instance == name).values(alive_until=until))
    if renewed.rowcount == 0:
        await tx.execute(table.insert().values(instance=name, alive_until=until))
    found = await tx.execute(sa.select(table.c.instance).where(table.c.alive_until < now).with_for_update())
    gone: dict[str, int] = {}
    for other in found.scalars().all():
        await tx.execute(table.delete().where(table.c.instance == other))
        moved = await tx.execute(
            update.update()
            .where(update.c.status == "in_flight", update.c.lease_owner == other)
            .values(lease_owner=name)
        )
        gone[other] = moved.rowcount
    return gone
