"""Time that the vehicle's programs measure spans by: it never jumps, whatever is done to the vehicle's clock.

A vehicle without a clock of its own begins in 1970 at each boot and is set an hour later; another is set back by a
workshop. A span that was begun before must be neither over at once nor endless. So spans are counted by the kernel's
clock since the boot, which nobody sets, and the sum is written into the journal for the next boot.

There are two counts, both in seconds:

* ``ran``: while the vehicle was on. What fails an update when it is over (a boot that does not come, preconditions
  that do not hold) is counted so: time that a vehicle is switched off says nothing;
* ``passed``: the same, and the time between two boots, as far as the vehicle's clock is believed at both ends of it.
  What was put off until tomorrow is asked again tomorrow, although the vehicle was off all night. A clock that goes
  wrong in between can at worst have the driver asked too early.

A clock that shows a time before ``BUILT`` is not believed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sota.kit.sql.local_database import LocalDatabase
from sota.kit.sql.local_file import Connection

BUILT = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""This program did not exist earlier: a clock that shows an earlier time is wrong."""
SAVED_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Saved:
    """What the journal has: both counts, and the clocks of the moment at which they were written."""

    boot_id: str
    since_boot: float
    ran: float
    passed: float
    clock: float


def since_boot() -> float:
    """Return the seconds since the kernel booted, with those that the vehicle was suspended."""
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
    """Both counts, kept in the journal. ``elapsed`` and ``clock`` are the kernel's, or a test's."""

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
        """The seconds that went by, as far as is known."""
        return self._passed + self._elapsed() - self._begun

    @property
    def clock(self) -> float:
        """What the vehicle's clock shows, in seconds since 1970: for showing to people, not for measuring."""
        return self._clock()

    async def open(self) -> None:
        """Go on from what the journal has."""
        saved = await self._database.read(_read)
        self._begun = self._elapsed()
        if saved is not None:
            self._ran, self._passed = go_on(saved, self._boot_id(), self._begun, self._clock())
        await self.save()

    async def keep(self) -> None:
        """Write the counts down if that was done long ago; call it now and then while something is waited for."""
        if self._elapsed() - self._saved_at >= SAVED_EVERY_S:
            await self.save()

    async def save(self) -> None:
        """Write the counts down. The disk is not waited for: what the power takes only makes a wait longer."""
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


def _read(tx: Connection) -> Saved | None:
    row = tx.execute("SELECT * FROM running_time").fetchone()
    if row is None:
        return None
    return Saved(row["boot_id"], row["since_boot"], row["ran"], row["passed"], row["clock"])
