"""Whether a database answers and takes writes: known from requests, and by trying.

Rules kept here:

* a database that hangs is detected over a connection of its own: a statement may take long as long as the server
  answers that; otherwise the statement ends with 503 after :data:`SLOW_S` and :data:`PROBE_S`;
* while it hangs, requests fail immediately, and one of them checks again each second;
* what such a check does not show (a nearly full disk) is known from requests that failed recently;
* the log says once that the database fails and why, and once that it works again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import DBAPIError

from sota.kit.errors import Unavailable
from sota.kit.runtime.logging import get_logger
from sota.kit.sql import errors as db_errors

SLOW_S = 5.0
PROBE_S = 5.0
LOOK_S = 1.0
LATELY_S = 10.0
AWAY = "The database is busy or away: try again."
HANGS = "The database does not answer: try again."
NO_WRITES = "The database takes no changes now: try again."


class Health:
    """The state of one database."""

    def __init__(self, shown: str) -> None:
        self._log = get_logger(database=shown)
        self._failing: str | None = None
        self._write_failed_at: float | None = None
        self._write_reason = ""

    @property
    def writes_fail(self) -> str | None:
        """Why a write failed within the last :data:`LATELY_S` seconds; None if none did."""
        at = self._write_failed_at
        return self._write_reason if at is not None and time.monotonic() - at < LATELY_S else None

    def failed(self, error: DBAPIError) -> Unavailable:
        """Note that the store failed a request; return the error for its caller, without internal details."""
        reason = db_errors.rejection(error) or db_errors.reason(error)
        self.note(reason)
        if not db_errors.takes_no_writes(error):
            return Unavailable(AWAY)
        self._write_failed_at, self._write_reason = time.monotonic(), reason
        return Unavailable(NO_WRITES)

    def works(self) -> None:
        """Note that a transaction was committed."""
        if self._failing is not None:
            self._failing = None
            self._log.info("database_works_again")

    def note(self, reason: str) -> None:
        """Note why the database fails, and log it once."""
        if self._failing != reason:
            self._failing = reason
            self._log.error("database_fails", reason=reason)


class HangWatch:
    """Ends requests that wait for a database that hangs. ``ask`` opens a connection of its own."""

    def __init__(self, ask: Callable[[], Awaitable[None]], health: Health) -> None:
        self._ask, self._health = ask, health
        self._since: dict[asyncio.Timeout, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[bool] | None = None
        self._hangs = False
        self._asked_at = 0.0

    async def admit(self) -> None:
        """Let a request pass unless the database is known to hang.

        Raises:
            Unavailable: it still does.
        """
        if not self._hangs:
            return
        is_due = time.monotonic() - self._asked_at >= LOOK_S
        if not is_due or not await asyncio.shield(self._start_asking()):
            raise Unavailable(HANGS)

    def add(self, limit: asyncio.Timeout) -> None:
        """Watch a request; its ``limit`` expires immediately when the database turns out to hang."""
        self._since[limit] = time.monotonic()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def remove(self, limit: asyncio.Timeout) -> None:
        """Stop watching a request."""
        self._since.pop(limit, None)

    async def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)

    def _look(self) -> None:
        self._timer = None
        oldest = next(iter(self._since.values()), None)
        if oldest is None:
            return
        if time.monotonic() - oldest >= SLOW_S:
            self._start_asking()
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _start_asking(self) -> asyncio.Task[bool]:
        if self._asking is None:
            self._asking = asyncio.create_task(self._answers(), name="database:watch")
        return self._asking

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_S):
                await self._ask()
            self._hangs = False
        except TimeoutError:
            self._hangs = True
            self._health.note("it does not answer")
            self._end_waiting()
        except Exception:  # noqa: BLE001 - it answers, if only with an error: those who asked get theirs
            self._hangs = False
        finally:
            self._asked_at, self._asking = time.monotonic(), None
        return not self._hangs

    def _end_waiting(self) -> None:
        now = asyncio.get_running_loop().time()
        long_ago = time.monotonic() - SLOW_S
        for limit in [limit for limit, since in self._since.items() if since <= long_ago]:
            self.remove(limit)
            limit.reschedule(now)
