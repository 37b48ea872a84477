"""The engine of transfers: drives each download from the vehicle's ``start`` to its ``finish``, through interruptions.

Rules kept here:

* messages of one vehicle are handled one after the other (:class:`VehicleLocks`), those of different vehicles side by
  side; acknowledgements of blocks need no lock: they only add to what the vehicle has;
* after an interruption (link, node, Core, vehicle) a new ``start`` asks the vehicle what it has; a block that it has,
  or whose acknowledgement is committed, is not sent again;
* a vehicle that does not answer ``attempts`` times in a row ends the download with reason ``unreachable``, one that
  lacks blocks at as many ``finish`` ends with ``aborted``; while it is known to be away, nothing is sent or counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from sota.boundaries.b7_core_rvi import outcomes
from sota.boundaries.b7_core_rvi.client import NodeClient
from sota.boundaries.values import BEGUN, OutcomeReport, Reason, short_vin
from sota.boundaries.values import Stage as StageName
from sota.core.settings import CoreSettings
from sota.core.transfers import service, store
from sota.core.transfers.errors import TRANSIENT
from sota.core.transfers.model import (
    Download,
    DownloadKey,
    DownloadMessage,
    DownloadRef,
    DownloadState,
    Lease,
)
from sota.core.transfers.sending.active import ActiveTransfers
from sota.core.transfers.sending.blocks import Blocks
from sota.core.transfers.sending.fair_queue import WORKERS, FairQueue
from sota.core.transfers.sending.limits import RateLimiter, TransferSlots
from sota.core.transfers.sending.locks import VehicleLocks
from sota.core.transfers.sending.model import Phase, Transfer
from sota.core.transfers.sending.progress_writer import ProgressWriter
from sota.core.transfers.sending.sender import Sender
from sota.core.transfers.sending.store import Stage
from sota.kit.errors import Conflict, Invalid, Refused
from sota.kit.ranges import Ranges
from sota.kit.runtime.batcher import Batcher
from sota.kit.runtime.clock import Clock
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.database import Database

MAX_WAITING_ANSWERS = 16
MAX_LOOKUPS, LOOKUP_PAUSE_S = 200, 0.1


class Engine:
    """All transfers that this Core drives."""

    def __init__(self, db: Database, node: NodeClient, clock: Clock, settings: CoreSettings) -> None:
        self.db, self.node, self.clock, self.settings = db, node, clock, settings
        self.writer = ProgressWriter(db, pause_s=settings.ack_commit_s)
        self.locks = VehicleLocks()
        self.on_free: Callable[[Sequence[str]], None] = lambda _vins: None
        blocks = Blocks(settings.repository, cache_bytes=settings.block_cache_bytes)
        rates, slots = RateLimiter(settings.limits), TransferSlots(settings.limits)
        self._sender = Sender(node, blocks, limits=settings.limits, slots=slots, rates=rates)
        self._queue = FairQueue(rates, self._sender.send_next)
        self.active = ActiveTransfers(slots, self._queue)
        self._lookups: Batcher[DownloadKey, Download | None] = Batcher(
            self._look_up, key=lambda key: key, most=MAX_LOOKUPS, pause_s=LOOKUP_PAUSE_S
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = get_logger(program="core")

    async def initiate(self, message: DownloadMessage) -> Download:
        """Begin the download that a vehicle asks for; its ``start`` goes out.

        Raises:
            Refused, Conflict: ``other_download``, or its update is closed; the vehicle is told to drop the download.
        """
        async with self.locks.of(message.vin):
            try:
                download = service.may_begin(await self._find_download(message))
            except (Refused, Conflict) as error:
                if isinstance(error, Conflict):
                    self.active.forget(message.vin, message.download_index)
                self.disown(message)
                raise
            if download.state is not DownloadState.INSTALLED:
                await self._begin(download)
            return download

    def acknowledge(
        self, message: DownloadMessage, ranges: Ranges, outcome: OutcomeReport | None
    ) -> Coroutine[None, None, None] | None:
        """Note what a vehicle has, then send what it lacks; await the result, unless it is None.

        The acknowledged blocks are committed soon and not sent again. If this process dies first, the vehicle repeats
        what it has before anything more is sent to it.

        Raises:
            Refused: ``other_download``; only where the result is awaited, because the download must be looked up.
        """
        transfer = self.active.find_meant(message)
        if transfer is None or transfer.waiting_answers >= MAX_WAITING_ANSWERS:
            return self._acknowledge(message, ranges, outcome)
        if transfer.phase is Phase.SENDING and outcome is None:
            self._note(transfer, ranges.within(transfer.download.block_count))
            self.active.schedule(transfer)
        else:
            transfer.waiting_answers += 1
            self._spawn(self._acknowledge_later(transfer, message, ranges, outcome))
        return None

    async def show_stage(self, message: DownloadMessage, stage: StageName) -> None:
        """Note what the installer of a vehicle does now with a download.

        Raises:
            Refused: ``other_download``.
        """
        if stage not in BEGUN:
            raise Invalid(f"{stage} is not a stage of an installation.")
        async with self.locks.of(message.vin):
            download = await self._find_download(message)
            await self.writer.stage(Stage(download.update_id, stage, self._lease()))

    async def resume(self, vins: Sequence[str]) -> None:
        """Continue the downloads of vehicles that are connected again: ask each what it has."""
        for start in range(0, len(vins), 500):
            async with self.db.read() as tx:
                found = await store.find_transferring(tx, vins[start : start + 500])
            for download in found:
                async with self.locks.of(download.vin):
                    transfer = self.active.find(download.vin, download.download_index)
                    if transfer is None or not transfer.is_of(download):
                        self.active.begin(download)
                    else:
                        transfer.resume()
                        self.active.schedule(transfer)

    def drop(self, downloads: Sequence[DownloadRef], reason: Reason | None) -> None:
        """Forget downloads whose update is closed, and tell their vehicles soon."""
        for one in downloads:
            self.active.forget(one.vin, one.download_index)
        self._spawn(self._sender.abort(downloads, reason))

    def disown(self, message: DownloadMessage) -> None:
        """Ask a vehicle to drop a download that Core does not know, so that its other downloads need not wait."""
        self._spawn(self._sender.abort([DownloadRef(message.vin, message.download_index, message.identity)], None))

    async def give_up(self, update_id: UUID, vin: str) -> None:
        """End an update whose vehicle has been silent for very long, unless it is being sent to."""
        async with self.locks.of(vin):
            if vin not in self.active:
                await self._fail(update_id, vin, Reason.UNREACHABLE)

    async def run(self) -> None:
        """Send, and look after time-outs, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._queue.work())
            group.create_task(self._watch())

    async def settled(self) -> None:
        """Wait until every acknowledgement that was taken is committed."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))
        await self.writer.settled()

    async def stop(self) -> None:
        """Stop sending; the next start continues from the database."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._lookups.settle()
        await self.writer.flush()
        self.active.clear()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self.settings.ack_timeout_s / 4))
            now = time.monotonic()
            for transfer in self.active:
                if transfer.paused:
                    continue
                transfer.overdue(now, self.settings.ack_timeout_s)
                if transfer.is_exhausted(self.settings.attempts):
                    self._spawn(self._give_up_sending(transfer))
                else:
                    self.active.schedule(transfer)

    async def _look_up(self, keys: list[DownloadKey]) -> list[Download | None]:
        async with self.db.read() as tx:
            found = await store.find_downloads(tx, keys)
        return [found.get(key) for key in keys]

    async def _find_download(self, message: DownloadMessage) -> Download:
        return service.meant(await self._lookups.submit((message.vin, message.download_index)), message)

    async def _load(self, message: DownloadMessage) -> Transfer:
        """Continue a transfer that another process has begun, or this one before a restart."""
        download = await self._find_download(message)
        transfer = Transfer(download, download.received)
        if download.state is DownloadState.TRANSFERRING and download.update_status == "in_flight":
            self.active.add(transfer)
        return transfer

    async def _begin(self, download: Download) -> None:
        await self.writer.begin(download, self._lease())
        self.active.begin(replace(download, state=DownloadState.TRANSFERRING))

    def _lease(self) -> Lease:
        now, settings = self.clock.now(), self.settings
        until, try_at = (now + timedelta(seconds=seconds) for seconds in (settings.lease_s, settings.notify_retry_s))
        return Lease(settings.instance, now, until, try_at)

    def _note(self, transfer: Transfer, ranges: Ranges) -> None:
        if transfer.acknowledged(ranges, time.monotonic()):
            self.writer.note(transfer.download.vin, transfer.download.download_index, transfer.received)

    async def _acknowledge(self, message: DownloadMessage, ranges: Ranges, outcome: OutcomeReport | None) -> None:
        async with self.locks.of(message.vin):
            transfer = self.active.find_meant(message) or await self._load(message)
            download = transfer.download
            if download.state is DownloadState.PENDING and download.update_status == "in_flight":
                # The vehicle asked for it, and Core's database is a copy from before that.
                await self._begin(download)
                return
            if download.state is not DownloadState.TRANSFERRING:
                return  # it came late
            known = ranges.within(download.block_count)
            if outcome is not None and outcome.status == 400 and transfer.phase is Phase.FINISHING:
                transfer.correct(known)
                self.writer.note(download.vin, download.download_index, known)
                self._log.warning("download_incomplete", vin=short_vin(download.vin), has=known.text(200))
            else:
                self._note(transfer, known)
            if transfer.phase is Phase.STARTING:
                await self.writer.stage(Stage(download.update_id, "transferring", self._lease()))
                transfer.enter(Phase.SENDING)
            elif transfer.phase is Phase.FINISHING and _is_downloaded(outcome):
                await self.writer.finish(download, transfer.received, self._lease())
                self.active.forget(download.vin, download.download_index)
                self._log.info("download_transferred", vin=short_vin(download.vin), package=download.package_text)
                return
            self.active.schedule(transfer)

    async def _acknowledge_later(
        self, transfer: Transfer, message: DownloadMessage, ranges: Ranges, outcome: OutcomeReport | None
    ) -> None:
        try:
            await self._acknowledge(message, ranges, outcome)
        except TRANSIENT as error:  # the vehicle is asked again when its answer is late
            self._log.warning("acknowledgement_lost", vin=short_vin(message.vin), reason=str(error))
        finally:
            transfer.waiting_answers -= 1

    async def _give_up_sending(self, transfer: Transfer) -> None:
        download = transfer.download
        async with self.locks.of(download.vin):
            is_it = self.active.find(download.vin, download.download_index) is transfer
            if not (is_it and transfer.is_exhausted(self.settings.attempts)):
                return  # the vehicle answered while we waited for the lock
            self._log.warning("download_aborted", vin=short_vin(download.vin), package=download.package_text)
            has_answered = transfer.corrections >= self.settings.attempts
            await self._fail(download.update_id, download.vin, Reason.ABORTED if has_answered else Reason.UNREACHABLE)

    async def _fail(self, update_id: UUID, vin: str, reason: Reason) -> None:
        try:
            dropped = await self.db.transact(
                lambda tx: service.give_up(tx, update_id, reason, self.settings, self.clock)
            )
        except TRANSIENT as error:
            self._log.warning("abort_postponed", vin=short_vin(vin), reason=str(error))
            return
        if dropped is None:  # another Core drives it by now
            self.active.forget_vehicle(vin)
            return
        self.drop(dropped, reason)
        self.on_free([vin])

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._log.error("transfer_step_crashed", exc_info=task.exception())


def _is_downloaded(outcome: OutcomeReport | None) -> bool:
    """Recognise the answer to ``finish``. A vehicle that names no outcome sends one only in this answer."""
    return outcome is not None and outcome.status == 200 and outcome.code in (None, outcomes.DOWNLOADED.name)
