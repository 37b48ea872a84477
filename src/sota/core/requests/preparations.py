"""Which long requests this Core is writing, and the removal of those that were left half-written.

Rules kept here:

* a Core that writes a long request holds a lease on it. While its row of ``preparation`` exists, its updates are not
  acted on and not listed;
* a refusal, an interruption, or the death of the Core leaves a preparation. The same Core removes it, or any Core that
  finds its lease over; what was written is deleted chunk by chunk.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from sota.core.requests import preparation_store
from sota.core.requests.preparation_store import Preparation
from sota.core.settings import CoreSettings
from sota.kit.errors import SotaError
from sota.kit.runtime.clock import Clock, new_id
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.notifier import Notifier
from sota.kit.sql.database import Database

LOOK_EVERY_S = 10.0


class Preparations:
    """The preparations of this Core. :meth:`run` belongs to the program."""

    def __init__(self, db: Database, clock: Clock, settings: CoreSettings) -> None:
        self._db, self._clock, self._instance, self.lease_s = db, clock, settings.instance, settings.lease_s
        self._notifier = Notifier()
        self._given_up: set[Preparation] = set()
        self._under_way: set[Preparation] = set()
        self._log = get_logger(program="core")

    def start(self, request_id: UUID) -> Preparation:
        """Return a new preparation; :meth:`end` must follow."""
        one = self._own(request_id)
        self._under_way.add(one)
        return one

    def end(self, one: Preparation, *, is_real: bool) -> None:
        """Note that a request was written, or given up: then it is removed soon."""
        self._under_way.discard(one)
        if not is_real:
            self._given_up.add(one)
            self.look()

    def lease_until(self) -> datetime:
        """Return the end of a lease that begins now."""
        return self._clock.now() + timedelta(seconds=self.lease_s)

    def look(self) -> None:
        """Look for half-written requests now."""
        self._notifier.notify()

    async def run(self) -> None:
        """Remove half-written requests until cancelled: at first those that this Core left when it died."""
        begun_by: str | None = f"{self._instance}/"
        while True:
            heard = self._notifier.count
            try:
                await self._remove_abandoned(begun_by)
                begun_by = None
            except (SotaError, SQLAlchemyError) as error:
                self._log.warning("preparations_wait", reason=str(error))
            await self._notifier.wait(heard, LOOK_EVERY_S)

    def _own(self, request_id: UUID) -> Preparation:
        return Preparation(request_id, f"{self._instance}/{new_id()}")

    async def _remove_abandoned(self, begun_by: str | None) -> None:
        given_up, self._given_up = self._given_up, set()
        try:
            async with self._db.read() as tx:
                found = await preparation_store.list_abandoned(tx, self._clock.now(), begun_by=begun_by)
            # The lease of one that is under way may seem over because the clock was set forward.
            for one in {*given_up, *(one for one in found if one not in self._under_way)}:
                await self._remove(one)
                given_up.discard(one)
        finally:
            self._given_up |= given_up

    async def _remove(self, left: Preparation) -> None:
        one = self._own(left.request_id)
        until = self.lease_until()
        if not await self._db.transact(lambda tx: preparation_store.take_over(tx, left, one.owner, until)):
            return
        while await self._db.transact(lambda tx: preparation_store.remove_some(tx, one)):
            pass
        self._log.warning("half_written_request_removed", install_request=str(one.request_id))
