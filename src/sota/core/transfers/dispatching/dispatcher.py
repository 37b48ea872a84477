"""Dispatches updates to connected vehicles: each is notified of its next update, and again while it is silent.

Rules kept here:

* only connected vehicles are notified, of one update at a time, by priority and then request time;
* an update is claimed in the database before its vehicle is notified, under a lease that expires with this Core;
* nothing is sent before the interval starts; what is not installed at its end fails with reason ``expired``;
* a wake-up only saves time: the periodic look at the database finds everything.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from sota.boundaries.values import Reason, short_vin
from sota.core.transfers import service
from sota.core.transfers.dispatching import retry_store
from sota.core.transfers.dispatching import store as dispatch_store
from sota.core.transfers.dispatching.store import Announcement, DueUpdate
from sota.core.transfers.errors import TRANSIENT
from sota.core.transfers.model import Lease
from sota.core.transfers.sending.engine import Engine
from sota.kit.errors import SotaError
from sota.kit.runtime.clock import Clock
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Tx

AT_ONCE = 200
MAX_RETRY_S = 3600.0
SWEEP_EVERY_S = 60.0
GATHER_S = 0.2
MOST_TOLD_AGAIN = 10_000


class Dispatcher:
    """Decides which vehicle is notified of which update, and when."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.db, self.node = engine, engine.db, engine.node
        self.clock, self.settings = engine.clock, engine.settings
        self.available: set[str] = set()
        self._candidates: set[str] = set()
        self._wake = asyncio.Event()
        self._looked_at: datetime | None = None
        self._sweeps_at = self._silence_at = 0.0
        self._clock_ahead_s = clock_ahead_s(self.clock)
        self._regular_at = 0.0
        self._told_again_at: dict[str, float] = {}
        self._to_tell_again: set[str] = set()
        self._pause_s = self.settings.notify_retry_s / 4
        self._silence_every_s = min(SWEEP_EVERY_S, self.settings.silence_s / 4)
        self._log = get_logger(program="core")

    def wake(self, vins: Iterable[str]) -> None:
        """Look at these vehicles now: something was queued for them, or they are free again.

        Absent vehicles are looked at when they connect.
        """
        self._candidates.update(self.available.intersection(vins))
        self._wake.set()

    async def run(self) -> None:
        """Dispatch until cancelled."""
        while True:
            self._wake.clear()
            looked_at = time.monotonic()
            try:
                await self.look()
            except TRANSIENT as error:
                detail = error.detail if isinstance(error, SotaError) else str(error)
                self._log.warning("dispatching_waits", reason=detail)
            try:
                async with asyncio.timeout(self.settings.dispatch_interval_s):
                    await self._wake.wait()
            except TimeoutError:
                continue
            # A wake-up after a quiet time is handled at once; those that follow soon, together.
            await asyncio.sleep(max(0.0, looked_at + GATHER_S - time.monotonic()))

    async def look(self) -> None:
        """Do what is due now: at once for vehicles of a wake-up, for all others as often as the settings say."""
        now = self.clock.now()
        is_regular = time.monotonic() >= self._regular_at
        if is_regular:
            self._regular_at = time.monotonic() + self.settings.dispatch_interval_s * 0.9
            await self._expire()
            await self._find_starting(now)
            await self._find_silent(now)
        await self._tell_candidates()
        if is_regular:
            await self._tell_again(now)
            await self._tell_postponed()

    async def on_connected(self, vins: Sequence[str], *, new: Collection[str]) -> None:
        """Continue what was under way for connected vehicles, then look at what is queued for them.

        A vehicle that is not ``new`` was connected before, and is not notified again of what it learned a moment ago:
        our node announces a connected vehicle again whenever an update is scheduled for it.
        """
        by = self._lease(0)
        lately = by.now - timedelta(seconds=self._pause_s)
        async with self.db.read() as tx:
            open_updates = await dispatch_store.active_updates(tx, self.settings.instance, vins, by.now)
        await self.engine.resume([due.vin for due in open_updates])
        quiet = [due for due in open_updates if due.vin not in self.engine.active]
        await self._repeat([due for due in quiet if due.vin in new or due.changed_at <= lately], counted=False)
        self.wake(vins)

    async def tell_again(self, vin: str) -> None:
        """Notify a vehicle again of its update under way, which it knows under another epoch or not at all.

        At most once in a pause: a vehicle that needs it again before is notified at the pause's end.
        """
        now = time.monotonic()
        if vin not in self.available:
            return
        if now - self._told_again_at.get(vin, now - self._pause_s) < self._pause_s:
            self._to_tell_again.add(vin)
            return
        if len(self._told_again_at) >= MOST_TOLD_AGAIN:
            self._told_again_at.clear()
        self._told_again_at[vin] = now
        async with self.db.read() as tx:
            due = await dispatch_store.active_updates(tx, self.settings.instance, [vin], self.clock.now())
        await self._repeat(due, counted=False)

    async def _tell_postponed(self) -> None:
        """Notify the vehicles that :meth:`tell_again` has put off."""
        waiting, self._to_tell_again = self._to_tell_again, set()
        for vin in waiting:
            await self.tell_again(vin)

    async def _expire(self) -> None:
        async with self.db.read() as tx:  # a writing transaction that changes nothing would hold up others
            if not await dispatch_store.is_any_over(tx, self.clock.now()):
                return
        while (dropped := await self.db.transact(lambda tx: service.expire(tx, self.clock, AT_ONCE))) is not None:
            self._log.info("updates_expired", downloads=len(dropped))
            self.engine.drop([one for one in dropped if one.vin in self.available], Reason.EXPIRED)
            self._candidates.update(one.vin for one in dropped)

    async def _find_starting(self, now: datetime) -> None:
        """Find vehicles whose interval has begun since the last look, and now and then all that wait."""
        is_late, late = False, now
        async with self.db.read() as tx:
            if self._looked_at is not None:
                self._candidates.update(await dispatch_store.starting_vins(tx, self._looked_at, now, 10_000))
            if time.monotonic() >= self._sweeps_at:
                self._candidates.update(await dispatch_store.waiting_vins(tx, now, 10_000))
                self._sweeps_at = time.monotonic() + SWEEP_EVERY_S
                late = now + timedelta(seconds=2 * MAX_RETRY_S)
                is_late = await dispatch_store.is_any_put_off(tx, late)
        if is_late:  # written by a clock that was ahead of ours
            self._log.warning("tries_follow_clock", hint="the clock was set back; what waited for it is tried now")
            await self.db.transact(lambda tx: dispatch_store.try_now(tx, late, now))
        self._looked_at = now

    async def _find_silent(self, now: datetime) -> None:
        """Abandon, at intervals, updates whose vehicle has been silent for too long, whatever their stage."""
        if time.monotonic() < self._silence_at:
            return
        self._silence_at = time.monotonic() + self._silence_every_s
        # The time by which the clock was set forward since our start is not silence of a vehicle.
        set_forward_s = max(0.0, clock_ahead_s(self.clock) - self._clock_ahead_s)
        before = now - timedelta(seconds=self.settings.silence_s + set_forward_s)
        async with self.db.read() as tx:
            silent = await retry_store.silent_updates(tx, self.settings.instance, before, AT_ONCE)
        for update_id, vin in silent:
            await self.engine.give_up(update_id, vin)

    async def _tell_candidates(self) -> None:
        candidates = sorted(self._candidates & self.available)
        self._candidates.clear()
        for start in range(0, len(candidates), AT_ONCE):
            chunk = candidates[start : start + AT_ONCE]
            try:
                async with self.db.read() as tx:
                    due = await dispatch_store.next_updates(tx, chunk, self.clock.now())
                claimed = await self._claim_all(due)
            except BaseException:
                self._candidates.update(candidates[start:])
                raise
            await self._announce(claimed)

    async def _claim_all(self, due: list[DueUpdate]) -> list[DueUpdate]:
        async def work(tx: Tx) -> list[DueUpdate]:
            claims = [(entry, self._lease(entry.attempts)) for entry in due]
            return await dispatch_store.claim(tx, claims, self.settings.block_size)

        return await self.db.transact(work) if due else []

    async def _tell_again(self, now: datetime) -> None:
        """Notify silent vehicles again, with back-off; renew the leases of the others."""
        async with self.db.read() as tx:
            due = await dispatch_store.due_again(tx, self.settings.instance, now, AT_ONCE)
        await self._repeat(due, counted=True)

    async def _repeat(self, due: list[DueUpdate], *, counted: bool) -> None:
        quiet = {entry.update_id for entry in due if self._is_quiet(entry.vin)}

        async def work(tx: Tx) -> list[DueUpdate]:
            kept = []
            for entry in due:
                is_quiet = entry.update_id in quiet
                by = self._lease(entry.attempts if is_quiet else 0)
                if await dispatch_store.renew(tx, entry, by, counted=counted and is_quiet) and is_quiet:
                    kept.append(entry)
            return kept

        if due:
            await self._announce(await self.db.transact(work))

    def _is_quiet(self, vin: str) -> bool:
        return vin in self.available and vin not in self.engine.active

    async def _announce(self, due: list[DueUpdate]) -> None:
        if not due:
            return
        async with self.db.read() as tx:
            announcements = await dispatch_store.read_announcements(tx, [entry.update_id for entry in due])
        for start in range(0, len(announcements), 16):
            await asyncio.gather(*(self._notify(announcement) for announcement in announcements[start : start + 16]))

    async def _notify(self, announcement: Announcement) -> None:
        try:
            expires_at = int(announcement.end_at.timestamp())
            await self.node.notify(announcement.vin, announcement.update, expires_at=expires_at)
        except TRANSIENT as error:
            self._log.warning("notification_waits", vin=short_vin(announcement.vin), reason=str(error))
            return
        self._log.info("update_notified", vin=short_vin(announcement.vin), update=announcement.update.update_id)

    def _lease(self, attempts: int) -> Lease:
        now = self.clock.now()
        wait_s = min(MAX_RETRY_S, self.settings.notify_retry_s * 2 ** min(attempts, 12))
        wait_s = min(wait_s * random.uniform(0.9, 1.1), MAX_RETRY_S)  # noqa: S311 - jitter, no secret
        lease = timedelta(seconds=max(self.settings.lease_s, wait_s * 2))
        return Lease(self.settings.instance, now, now + lease, now + timedelta(seconds=wait_s))


def clock_ahead_s(clock: Clock) -> float:
    """Return how far a clock is ahead of the monotonic one; two results show by how much it was set."""
    return clock.now().timestamp() - time.monotonic()
