"""Durations in the vehicle, independent of its clock.

A vehicle without a battery-backed clock starts in 1970 at each boot and is set an hour later; a workshop may set
another one back. A duration that began earlier must be neither over at once nor endless. So durations are counted by
the kernel's clock since the boot, which cannot be set, and the sum is stored in the journal for the next boot.

There are two counts, both in seconds:

* ``ran``: the time that the vehicle was on. Time-outs that fail an update (a missing boot, preconditions that do not
  hold) use it, because a vehicle that is off cannot make progress;
* ``passed``: also the time between two boots, if the vehicle's clock was plausible at both ends. A question that was
  deferred until tomorrow is asked tomorrow, although the vehicle was off all night. At worst, a wrong clock asks the
  driver too early.

A clock that shows a time before ``BUILT`` is not plausible.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sota.kit.sql.local_database import LocalDatabase

BUILT = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""A clock that shows an earlier time is wrong: this program did not exist then."""
SAVED_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Saved:
    """Both counts as stored in the journal, with the clocks at that moment."""

    boot_id: str
    since_boot: float
    ran: float
    passed: float
    clock: float


def since_boot() -> float:
    """Return the seconds since the kernel booted, including suspended time."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def go_on(saved: Saved, boot_id: str, since_boot: float, clock: float) -> tuple[float, float]:
    """Return both counts at a start of the program.

    >>> go_on(Saved("a", 100.0, 50.0, 60.0, BUILT), "a", 110.0, 0.0)  # the same boot: the clock does not matter
    (60.0, 70.0)
    >>> go_on(Saved("a", 100.0, 50.0, 60.0, BUILT), "b", 5.0, BUILT + 3600)
    (50.0, 3660.0)
    """
    if boot_id and boot_id == saved.boot_id and since_boot >= saved.since_boot:
        went_by = since_boot - saved.since_boot
        return saved.ran + went_by, saved.passed + went_by
    off = clock - saved.clock if saved.clock >= BUILT else 0.0
    return saved.ran, saved.passed + max(0.0, off)


class RunningTime:
    """Both counts, stored in the journal. ``elapsed`` and ``clock`` are the kernel's, or a test's."""

    def __init__(
        self,
        database: LocalDatabase,
        boot_id_file: Path,
        *,
        elapsed: Callable[[], float] = since_boot,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database, self._boot_id_file = database, boot_id_file
        self._elapsed, self._clock = elapsed, clock
        self._ran = self._passed = 0.0
        self._begun = self._saved_at = elapsed()

    @property
    def ran(self) -> float:
        """The seconds that the vehicle was on."""
        return self._ran + self._elapsed() - self._begun

    @property
    def passed(self) -> float:
        """The seconds that have passed, as far as known."""
        return self._passed + self._elapsed() - self._begun

    @property
    def clock(self) -> float:
        """The vehicle's clock, in seconds since 1970: for display, not for durations."""
        return self._clock()

    async def open(self) -> None:
        """Continue from the counts in the journal."""
        query = "SELECT boot_id, since_boot, ran, passed, clock FROM running_time"
        saved = await self._database.rows(lambda row: Saved(*row), query)
        self._begun = self._elapsed()
        if saved:
            self._ran, self._passed = go_on(saved[0], self._boot_id(), self._begun, self._clock())
        await self.save()

    async def keep(self) -> None:
        """Store the counts if the last time was long ago; call it regularly while waiting."""
        if self._elapsed() - self._saved_at >= SAVED_EVERY_S:
            await self.save()

    async def save(self) -> None:
        """Store the counts. Not durable: a loss of power only makes a wait longer."""
        now = self._elapsed()
        values = (self._boot_id(), now, self.ran, self.passed, self._clock())
        query = (
            "INSERT OR REPLACE INTO running_time(one, boot_id, since_boot, ran, passed, clock)"
            " VALUES (1, ?, ?, ?, ?, ?)"
        )
        await self._database.transact(lambda tx: tx.execute(query, values), durable=False)
        self._saved_at = now

    def _boot_id(self) -> str:
        try:
            return self._boot_id_file.read_text().strip()
        except OSError:
            return ""
