"""The engine of transfers: drives each download from the vehicle's ``start`` to its ``finish``, and survives anything.

Rules kept here:

* messages of one vehicle are handled one after the other (:class:`VehicleLocks`), those of different ones side by side;
  acknowledgements of blocks need no turn: they only add to what the vehicle has;
* after an interruption (link, node, Core, vehicle) the vehicle is asked what it has by a new ``start``; blocks that it
  has, or whose acknowledgement is committed, are not sent again;
* one download of a vehicle at a time, the lowest index first; vehicles take turns (``turns.py``), within the limits of
  the operator (``limits.py``);
* a vehicle that does not answer ``attempts`` times in a row ends the download with reason ``unreachable``, one that
  lacks blocks at as many ends with ``aborted``; while it is known to be away, nothing is sent and nothing counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sota.boundaries.b7_core_rvi import outcomes
from sota.boundaries.b7_core_rvi.client import NodeClient
from sota.boundaries.values import BEGUN, OutcomeReport, Reason, Stage
from sota.core.transfers import service, store
from sota.core.transfers.dispatching.retry_store import Retry
from sota.core.transfers.errors import TRANSIENT
from sota.core.transfers.model import Download, DownloadMessage, DownloadRef, DownloadState, mismatch
from sota.core.transfers.sending.blocks import Blocks
from sota.core.transfers.sending.fair_queue import WORKERS, FairQueue, QuickSender
from sota.core.transfers.sending.limits import Limits, RateLimiter, TransferSlots
from sota.core.transfers.sending.locks import VehicleLocks
from sota.core.transfers.sending.lookups import Lookups
from sota.core.transfers.sending.model import Phase, Transfer
from sota.core.transfers.sending.progress_writer import ProgressWriter
from sota.core.transfers.sending.sender import Sender
from sota.core.transfers.service import FailedUpdate, LeasePolicy
from sota.kit.errors import Conflict, Invalid, Refused, SotaError
from sota.kit.ranges import Ranges
from sota.kit.runtime.clock import Clock
from sota.kit.runtime.logging import get_logger, short_vin
from sota.kit.sql.database import Database

MOST_WAITING_ANSWERS = 16


class EngineSettings(Protocol):
    """What the engine reads of Core's settings."""

    ack_timeout_s: float
    attempts: int

    @property
    def retry(self) -> Retry:
        """How often an update is tried, and after which pauses."""
        ...

    @property
    def limits(self) -> Limits:
        """How much may go out."""
        ...


class Engine:
    """All transfers that this Core drives."""

    def __init__(
        self,
        db: Database,
        node: NodeClient,
        blocks: Blocks,
        writer: ProgressWriter,
        clock: Clock,
        *,
        settings: EngineSettings,
        alive: LeasePolicy,
    ) -> None:
        self.db, self.node, self.writer, self.clock = db, node, writer, clock
        self.settings, self.alive = settings, alive
        self.locks = VehicleLocks()
        self.on_free: Callable[[Sequence[str]], None] = lambda _vins: None
        self._lookups = Lookups(db)
        self._limits = settings.limits
        self._rates = RateLimiter(self._limits, time.monotonic())
        self._sender = Sender(node, blocks, self._rates)
        self._queue = FairQueue(self._rates, self._send_next, QuickSender(node, self.send_at_once))
        node.on_room(self._queue.wake)
        self._slots = TransferSlots(self._limits)
        self._transfers: dict[str, dict[int, Transfer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = get_logger(program="core")

    def is_active(self, vin: str) -> bool:
        """Say whether a download of this vehicle is under way here."""
        return vin in self._transfers

    async def initiate(self, claim: DownloadMessage) -> Download:
        """Begin the download that a vehicle asks for; its ``start`` goes out.

        Raises:
            Refused, Conflict: ``other_download``, or its update is over; the vehicle is told to drop what it names.
        """
        async with self.locks.of(claim.vin):
            try:
                found = await self._lookups.find(claim.vin, claim.download_index)
                download = service.may_begin(service.meant(found, claim))
            except (Refused, Conflict) as error:
                if isinstance(error, Conflict):
                    self.forget(claim.vin, claim.download_index)
                self.disown(claim)
                raise
            if download.state is not DownloadState.INSTALLED:
                await self.writer.begin(download, **self._lease(), owner=self.alive.owner)
                self._adopt(replace(download, state=DownloadState.TRANSFERRING))
            return download

    def take(self, claim: DownloadMessage, ranges: Ranges, outcome: OutcomeReport | None) -> bool:
        """Take an acknowledgement without anybody waiting for it; says whether that could be done.

        What it names is committed soon, and is not sent again from now on. One that gets lost with this process is
        told again by the vehicle, before anything more is sent to it.
        """
        transfer = self._find(claim.vin, claim.download_index)
        if transfer is None or transfer.waiting_answers >= MOST_WAITING_ANSWERS or not transfer.is_meant_by(claim):
            return False
        if transfer.phase is Phase.SENDING and outcome is None:
            self._commit(transfer, ranges.within(transfer.download.block_count))
            self._kick(transfer)
        else:
            transfer.waiting_answers += 1
            self._spawn(self._acknowledge_later(transfer, claim, ranges, outcome))
        return True

    async def acknowledge(self, claim: DownloadMessage, ranges: Ranges, outcome: OutcomeReport | None) -> Download:
        """Note what a vehicle has, then send what it lacks.

        Raises:
            Refused: ``other_download``.
        """
        vin, download_index = claim.vin, claim.download_index
        async with self.locks.of(vin):
            transfer = self._find(vin, download_index) or await self._load(claim)
            service.meant(transfer.download, claim)
            if transfer.download.state is not DownloadState.TRANSFERRING:
                return transfer.download  # a late word about what is done
            known = ranges.within(transfer.download.block_count)
            if outcome is not None and outcome.status == 400 and transfer.phase is Phase.FINISHING:
                self._correct(transfer, known)
            else:
                self._commit(transfer, known)
            if transfer.phase is Phase.STARTING:
                update_id, owner = transfer.download.update_id, self.alive.owner
                await self.writer.stage(update_id, "transferring", **self._lease(), owner=owner)
                transfer.enter(Phase.SENDING)
            elif transfer.phase is Phase.FINISHING and _says_downloaded(transfer.download, outcome):
                await self.writer.finish(transfer.download, transfer.received, **self._lease())
                self.forget(vin, download_index)
                self._log.info("download_transferred", vin=short_vin(vin), package=transfer.download.package_text)
                return transfer.download
            self._kick(transfer)
            return transfer.download

    async def show_stage(self, claim: DownloadMessage, stage: Stage) -> None:
        """Note what the installer of a vehicle does now with a download.

        Raises:
            Refused: ``other_download``.
        """
        if stage not in BEGUN:
            raise Invalid(f"{stage} is not a stage of an installation.")
        async with self.locks.of(claim.vin):
            download = service.meant(await self._lookups.find(claim.vin, claim.download_index), claim)
            await self.writer.stage(download.update_id, stage, **self._lease(), owner=self.alive.owner)

    async def resume(self, vins: Sequence[str]) -> None:
        """Take up the downloads of vehicles that are there again: ask each what it has."""
        for start in range(0, len(vins), 500):
            async with self.db.read() as tx:
                found = await store.find_transferring(tx, vins[start : start + 500])
            for download in found:
                async with self.locks.of(download.vin):
                    transfer = self._find(download.vin, download.download_index)
                    if transfer is None or mismatch(transfer.download, download) is not None:
                        self._adopt(download)
                    else:
                        transfer.resume()
                        self._kick(transfer)

    def pause(self, vins: Iterable[str]) -> None:
        """Send nothing to vehicles that are away; others have their places."""
        for vin in vins:
            for transfer in self._transfers.get(vin, {}).values():
                transfer.paused = True
            self._leave(vin)

    async def drop(self, downloads: Sequence[DownloadRef], reason: Reason | None) -> None:
        """Forget downloads whose update is over, and tell their vehicles."""
        for one in downloads:
            self.forget(one.vin, one.download_index)
        await self._sender.abort(downloads, reason)

    def disown(self, claim: DownloadMessage) -> None:
        """Tell a vehicle to drop a download that Core does not know: others must not wait for it in vain."""
        self._spawn(self._sender.abort([DownloadRef(claim.vin, claim.download_index, claim.identity)], None))

    def drop_soon(self, downloads: Sequence[DownloadRef], reason: Reason | None) -> None:
        """Forget downloads at once; their vehicles are told without anybody waiting for it."""
        for one in downloads:
            self.forget(one.vin, one.download_index)
        self._spawn(self._sender.abort(downloads, reason))

    def forget_vehicle(self, vin: str) -> None:
        """Forget all downloads of a vehicle: what they hold is of another life of it."""
        self._transfers.pop(vin, None)
        self._leave(vin)

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
        """End what is being sent; the database knows how to go on."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._lookups.stop()
        await self.writer.flush()
        self._transfers.clear()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self.settings.ack_timeout_s / 4))
            now = time.monotonic()
            for transfer in [entry for group in self._transfers.values() for entry in group.values()]:
                if transfer.paused:
                    continue
                transfer.overdue(now, self.settings.ack_timeout_s)
                if transfer.is_exhausted(self.settings.attempts):
                    self._spawn(self._give_up(transfer))
                else:
                    self._kick(transfer)

    def _find(self, vin: str, download_index: int) -> Transfer | None:
        return self._transfers.get(vin, {}).get(download_index)

    async def _load(self, claim: DownloadMessage) -> Transfer:
        """Take a transfer up that another process, or we before a restart, has begun."""
        download = service.meant(await self._lookups.find(claim.vin, claim.download_index), claim)
        transfer = Transfer(download, download.received)
        if download.state is DownloadState.TRANSFERRING and download.update_status == "in_flight":
            self._transfers.setdefault(claim.vin, {})[claim.download_index] = transfer
        return transfer

    def _adopt(self, download: Download) -> None:
        current = self._find(download.vin, download.download_index)
        is_same = current is not None and current.identity == download.identity
        transfer = Transfer(download, current.received if current and is_same else download.received)
        self._transfers.setdefault(download.vin, {})[download.download_index] = transfer
        self._kick(transfer)

    def forget(self, vin: str, download_index: int) -> None:
        """Forget a download; the vehicle's next one is sent."""
        group = self._transfers.get(vin)
        if group is None:
            return
        group.pop(download_index, None)
        if group:
            self._kick(group[min(group)])
        else:
            del self._transfers[vin]
            self._leave(vin)

    def _leave(self, vin: str) -> None:
        for lucky in self._slots.leave(vin):
            waiting = self._transfers.get(lucky)
            if waiting:
                self._kick(waiting[min(waiting)])

    def _lease(self) -> dict[str, datetime]:
        now = self.clock.now()
        return {"next_try_at": now + self.alive.retry, "lease_until": now + self.alive.lease}

    def _commit(self, transfer: Transfer, ranges: Ranges) -> None:
        if transfer.acknowledged(ranges, time.monotonic()):
            self.writer.note(transfer.download.vin, transfer.download.download_index, transfer.received)

    def _correct(self, transfer: Transfer, ranges: Ranges) -> None:
        download = transfer.download
        transfer.correct(ranges)
        self.writer.note(download.vin, download.download_index, ranges)
        self._log.warning("download_incomplete", vin=short_vin(download.vin), has=ranges.text(200))

    async def _acknowledge_later(
        self, transfer: Transfer, claim: DownloadMessage, ranges: Ranges, outcome: OutcomeReport | None
    ) -> None:
        try:
            await self.acknowledge(claim, ranges, outcome)
        except TRANSIENT as error:  # the vehicle is asked again when its answer is late
            self._log.warning("acknowledgement_lost", vin=short_vin(claim.vin), reason=str(error))
        finally:
            transfer.waiting_answers -= 1

    def _kick(self, transfer: Transfer) -> None:
        """Let a transfer have a turn, if it is the vehicle's next and there is a place for it."""
        download = transfer.download
        group = self._transfers.get(download.vin)
        if transfer.in_row or transfer.paused or not group or group[min(group)] is not transfer:
            return
        if self._slots.take(download.vin, download.request_id):
            self._queue.add(transfer)

    async def _send_next(self, transfer: Transfer) -> bool:
        if not self._may_send(transfer):
            return False
        try:
            return await self._sender.send_next(transfer, self._window(transfer))
        except TRANSIENT as error:
            self._waits(transfer, error)
            return False

    def send_at_once(self, transfer: Transfer) -> bool | None:
        """Send a transfer's next block if that takes no waiting."""
        if not self._may_send(transfer):
            return False

        def sent(error: SotaError | None) -> None:
            if error is not None:
                self._waits(transfer, error)
            self._queue.done(transfer, again=error is None)

        return self._sender.send_at_once(transfer, self._window(transfer), sent)

    def _may_send(self, transfer: Transfer) -> bool:
        download = transfer.download
        return self._find(download.vin, download.download_index) is transfer and not transfer.paused

    def _window(self, transfer: Transfer) -> int:
        return self._limits.window_of(len(self._slots), transfer.download.block_size)

    def _waits(self, transfer: Transfer, error: Exception) -> None:
        detail = error.detail if isinstance(error, SotaError) else str(error)
        self._log.warning("transfer_waits", vin=short_vin(transfer.download.vin), reason=detail)

    async def _give_up(self, transfer: Transfer) -> None:
        download = transfer.download
        async with self.locks.of(download.vin):
            is_it = self._find(download.vin, download.download_index) is transfer
            if not (is_it and transfer.is_exhausted(self.settings.attempts)):
                return  # the vehicle spoke while we waited for the lock
            self._log.warning("download_aborted", vin=short_vin(download.vin), package=download.package_text)
            spoke = transfer.corrections >= self.settings.attempts
            await self._end(download.update_id, download.vin, Reason.ABORTED if spoke else Reason.UNREACHABLE)

    async def give_up(self, update_id: UUID, vin: str) -> None:
        """End an update of whose vehicle nothing was heard for very long, unless it is being sent to."""
        async with self.locks.of(vin):
            if not self.is_active(vin):
                await self._end(update_id, vin, Reason.UNREACHABLE)

    async def _end(self, update_id: UUID, vin: str, reason: Reason) -> None:
        given_up = FailedUpdate(update_id, reason, self.alive.owner, self.settings.retry)
        try:
            dropped = await self.db.transact(lambda tx: service.give_up(tx, given_up, self.clock))
        except TRANSIENT as error:
            self._log.warning("abort_postponed", vin=short_vin(vin), reason=str(error))
            return
        if dropped is None:  # another Core drives it by now
            self.forget_vehicle(vin)
            return
        self.drop_soon(dropped, reason)
        self.on_free([vin])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._log.error("transfer_step_crashed", exc_info=task.exception())


def _says_downloaded(download: Download, outcome: OutcomeReport | None) -> bool:
    """Tell the answer to ``finish`` from a late one to a block: it carries the row's own words."""
    words = outcomes.DOWNLOADED.say(package=download.package_text)
    return outcome is not None and outcome.status == 200 and outcome.message == words
