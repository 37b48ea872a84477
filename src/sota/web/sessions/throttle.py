"""The throttle of enrolments by code: an address that shows wrong codes waits, before Core is called."""

from __future__ import annotations

from sota.kit.errors import TooMany
from sota.kit.runtime.clock import Clock
from sota.kit.sql.database import Database
from sota.web.sessions import store
from sota.web.sessions.model import enrolment_bucket


class EnrolmentThrottle:
    """Counts refused enrolments of each address; successful ones are free, as for a whole production line."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    async def check(self, address: str) -> None:
        """Let an address pass unless it has to wait.

        Raises:
            TooMany: it showed too many wrong codes.
        """
        now = self._clock.now()
        async with self._db.read() as tx:
            until = await store.full_until(tx, enrolment_bucket(address), now)
        if until is not None:
            raise too_many("refused enrolments", (until - now).total_seconds())

    async def count(self, address: str) -> None:
        """Count a refused enrolment."""
        now, bucket = self._clock.now(), enrolment_bucket(address)
        await self._db.transact(lambda tx: store.count_failure(tx, bucket, now), may_collide=True)


def too_many(what: str, wait_s: float) -> TooMany:
    """Return the refusal that says how long to wait."""
    seconds = int(wait_s) + 1
    return TooMany(f"Too many {what}: try again in {seconds} s.", headers={"retry-after": str(seconds)})
