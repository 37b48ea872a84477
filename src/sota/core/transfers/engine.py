"""The engine of transfers: drives each download from the vehicle's ``start`` to its ``finish``, and survives anything.

Rules kept here:

* messages of one vehicle are handled one after the other (:class:`VinLocks`), those of different ones side by side;
* an acknowledgement is committed before anything is sent because of it;
* after an interruption (link, node, Core, vehicle) the vehicle is asked what it has by a new ``start``; blocks that it
  has, or whose acknowledgement is committed, are not sent again;
* a vehicle that does not answer ``attempts`` times in a row ends the download with reason ``unreachable``; while it is
  known to be away, nothing is sent and nothing counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol
from weakref import WeakValueDictionary

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from sota.boundaries.b7_core_rvi import outcomes
from sota.boundaries.b7_core_rvi.client import NodeClient
from sota.boundaries.b7_core_rvi.messages import AbortDownload, Block, FinishDownload, StartDownload
from sota.boundaries.services import VehicleServices
from sota.boundaries.values import Command, OutcomeReport, Reason, SignatureEnvelope
from sota.core.requests.wire import to_package_id
from sota.core.transfers import service, store
from sota.core.transfers.ack_writer import AckWriter
from sota.core.transfers.blocks import Blocks
from sota.core.transfers.model import Download, DownloadState, Phase, Transfer
from sota.core.transfers.service import Alive
from sota.core.transfers.store import Ending
from sota.kit.clock import Clock
from sota.kit.db import Database
from sota.kit.errors import Conflict, NotFound, SotaError
from sota.kit.logging import get_logger, short_vin
from sota.kit.ranges import Ranges

TROUBLE = (SotaError, SQLAlchemyError, OSError)
"""What a background step survives: it is tried again."""


class EngineSettings(Protocol):
    """What the engine reads of Core's settings."""

    window: int
    ack_timeout_s: float
    attempts: int


class VinLocks:
    """A lock for each vehicle, kept only while somebody holds or awaits it. Fair: first come, first served."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, vin: str) -> asyncio.Lock:
        """Give the vehicle's lock."""
        lock = self._locks.get(vin)
        if lock is None:
            lock = self._locks[vin] = asyncio.Lock()
        return lock


class Engine:
    """All transfers that this Core drives."""

    def __init__(
        self,
        db: Database,
        node: NodeClient,
        blocks: Blocks,
        writer: AckWriter,
        clock: Clock,
        *,
        settings: EngineSettings,
        alive: Alive,
    ) -> None:
        self.db, self.node, self.blocks, self.writer, self.clock = db, node, blocks, writer, clock
        self.settings, self.alive = settings, alive
        self.locks = VinLocks()
        self.on_free: Callable[[Sequence[str]], None] = lambda _vins: None
        self._transfers: dict[str, dict[int, Transfer]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._log = get_logger(program="core")

    def is_active(self, vin: str) -> bool:
        """Say whether a download of this vehicle is under way here."""
        return vin in self._transfers

    async def initiate(self, vin: str, download_index: int, services: VehicleServices | None) -> Download:
        """Begin the download that a vehicle asks for; its ``start`` goes out.

        Raises:
            NotFound: there is no such download; the vehicle is told to drop it.
            Conflict: its update is over; likewise.
        """
        async with self.locks.of(vin):
            try:
                download = await self.db.transact(
                    lambda tx: service.begin(tx, vin, download_index, self.clock, self.alive)
                )
            except (NotFound, Conflict):
                self._forget(vin, download_index)
                self._spawn(self._send_aborts([(vin, download_index)], None))
                raise
            if download.state is not DownloadState.INSTALLED:
                self._adopt(download, services)
            return download

    async def acknowledge(
        self, vin: str, download_index: int, ranges: Ranges, outcome: OutcomeReport | None
    ) -> Download:
        """Commit what a vehicle has, then send what it lacks.

        Raises:
            NotFound: there is no such download.
        """
        async with self.locks.of(vin):
            transfer = self._find(vin, download_index) or await self._load(vin, download_index)
            if transfer.download.state is not DownloadState.TRANSFERRING:
                return transfer.download  # a late word about what is done
            known = ranges.within(transfer.download.block_count)
            if outcome is not None and outcome.status == 400 and transfer.phase is Phase.FINISHING:
                await self._correct(transfer, known)
            else:
                await self._commit(transfer, known)
            if transfer.phase is Phase.STARTING:
                await self.db.transact(
                    lambda tx: service.advance(tx, transfer.download.update_id, "transferring", self.clock, self.alive)
                )
                transfer.enter(Phase.SENDING)
            elif transfer.phase is Phase.FINISHING and _says_downloaded(transfer.download, outcome):
                await self.db.transact(lambda tx: service.finish(tx, transfer.download, self.clock, self.alive))
                self._forget(vin, download_index)
                self._log.info("download_transferred", vin=short_vin(vin), package=transfer.download.package_text)
                return transfer.download
            self._kick(transfer)
            return transfer.download

    async def resume(self, vins: Sequence[str]) -> None:
        """Take up the downloads of vehicles that are there again: ask each what it has."""
        for start in range(0, len(vins), 500):
            async with self.db.read() as tx:
                found = await store.find_transferring(tx, vins[start : start + 500])
            for download in found:
                async with self.locks.of(download.vin):
                    transfer = self._find(download.vin, download.download_index)
                    if transfer is None:
                        self._adopt(download, None)
                    else:
                        transfer.resume()
                        self._kick(transfer)

    def pause(self, vins: Iterable[str]) -> None:
        """Send nothing to vehicles that are away."""
        for vin in vins:
            for transfer in self._transfers.get(vin, {}).values():
                transfer.paused = True

    async def drop(self, downloads: Sequence[tuple[str, int]], reason: Reason | None) -> None:
        """Forget downloads whose update is over, and tell their vehicles."""
        for vin, download_index in downloads:
            self._forget(vin, download_index)
        await self._send_aborts(downloads, reason)

    def drop_soon(self, downloads: Sequence[tuple[str, int]], reason: Reason | None) -> None:
        """Forget downloads at once; their vehicles are told without anybody waiting for it."""
        for vin, download_index in downloads:
            self._forget(vin, download_index)
        self._spawn(self._send_aborts(downloads, reason))

    def forget(self, vin: str, download_index: int) -> None:
        """Forget a download that the vehicle has reported."""
        self._forget(vin, download_index)

    async def run(self) -> None:
        """Look after time-outs until cancelled."""
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

    async def stop(self) -> None:
        """End what is being sent; the database knows how to go on."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._transfers.clear()

    def _find(self, vin: str, download_index: int) -> Transfer | None:
        return self._transfers.get(vin, {}).get(download_index)

    async def _load(self, vin: str, download_index: int) -> Transfer:
        """Take a transfer up that another process, or we before a restart, has begun."""
        async with self.db.read() as tx:
            download = await service.require_download(tx, vin, download_index)
        transfer = Transfer(download, download.received)
        if download.state is DownloadState.TRANSFERRING and download.update_status == "in_flight":
            self._transfers.setdefault(vin, {})[download_index] = transfer
        return transfer

    def _adopt(self, download: Download, services: VehicleServices | None) -> None:
        current = self._find(download.vin, download.download_index)
        transfer = Transfer(
            download,
            current.received if current else download.received,
            services or (current.services if current else None),
        )
        self._transfers.setdefault(download.vin, {})[download.download_index] = transfer
        self._kick(transfer)

    def _forget(self, vin: str, download_index: int) -> None:
        group = self._transfers.get(vin)
        if group is not None:
            group.pop(download_index, None)
            if not group:
                del self._transfers[vin]

    async def _commit(self, transfer: Transfer, ranges: Ranges) -> None:
        merged = transfer.received.union(ranges)
        if merged == transfer.received:
            transfer.acknowledged(ranges)
            return
        transfer.committing = ranges
        try:
            await self.writer.save(transfer.download.vin, transfer.download.download_index, merged.text())
            transfer.acknowledged(ranges)
        finally:
            transfer.committing = Ranges()

    async def _correct(self, transfer: Transfer, ranges: Ranges) -> None:
        download = transfer.download
        await self.writer.save(download.vin, download.download_index, ranges.text())
        transfer.correct(ranges)
        self._log.warning("download_incomplete", vin=short_vin(download.vin), has=ranges.text(200))

    def _kick(self, transfer: Transfer) -> None:
        if not transfer.pumping and not transfer.paused:
            transfer.pumping = True
            self._spawn(self._pump(transfer))

    async def _pump(self, transfer: Transfer) -> None:
        """Send whatever may be sent now. One pump a transfer, so blocks leave in their order."""
        try:
            while self._find(transfer.download.vin, transfer.download.download_index) is transfer:
                if not (await self._send_step(transfer) or await self._send_block(transfer)):
                    break
        except TROUBLE as error:
            detail = error.detail if isinstance(error, SotaError) else str(error)
            self._log.warning("transfer_waits", vin=short_vin(transfer.download.vin), reason=detail)
        finally:
            transfer.pumping = False

    async def _send_step(self, transfer: Transfer) -> bool:
        if transfer.phase is Phase.SENDING and transfer.is_complete:
            transfer.enter(Phase.FINISHING)
        if transfer.phase is Phase.SENDING or transfer.paused or transfer.step.at:
            return False
        step, download = transfer.step, transfer.download
        step.at, step.number = time.monotonic(), step.number + 1
        try:
            if transfer.phase is Phase.STARTING:
                await self.node.start_download(download.vin, to_start(download), transfer.services)
            else:
                finish = FinishDownload(download_index=download.download_index)
                await self.node.finish(download.vin, finish, transfer.services)
        except TROUBLE:
            step.at, step.number = 0.0, step.number - 1
            raise
        return True

    async def _send_block(self, transfer: Transfer) -> bool:
        index = transfer.next_block(self.settings.window)
        if index is None:
            return False
        download = transfer.download
        transfer.mark_sent(index, time.monotonic())
        try:
            content = await self.blocks.read(download, index)
            if not transfer.may_send(index):  # acknowledged while we read it
                return True
            self._log.debug("block_sent", vin=download.vin, download_index=download.download_index, index=index)
            block = Block(download_index=download.download_index, index=index, content=content)
            await self.node.send_block(download.vin, block, transfer.services)
        except TROUBLE:
            transfer.take_back(index)
            raise
        return True

    async def _give_up(self, transfer: Transfer) -> None:
        download = transfer.download
        async with self.locks.of(download.vin):
            if self._find(download.vin, download.download_index) is not transfer:
                return
            if not transfer.is_exhausted(self.settings.attempts):
                return  # the vehicle spoke while we waited for the lock
            ending = Ending("failed", Reason.UNREACHABLE.value)
            try:
                dropped = await self.db.transact(lambda tx: service.end(tx, download.update_id, ending, self.clock))
            except TROUBLE as error:
                self._log.warning("abort_postponed", vin=short_vin(download.vin), reason=str(error))
                return
            self._log.warning("download_aborted", vin=short_vin(download.vin), package=download.package_text)
            self._forget(download.vin, download.download_index)
        await self.drop(dropped, Reason.UNREACHABLE)
        self.on_free([download.vin])

    async def _send_aborts(self, downloads: Sequence[tuple[str, int]], reason: Reason | None) -> None:
        for vin, download_index in downloads:
            try:
                await self.node.abort(vin, AbortDownload(download_index=download_index, reason=reason))
            except TROUBLE as error:
                self._log.warning("abort_not_sent", vin=short_vin(vin), reason=str(error))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._log.error("transfer_step_crashed", exc_info=task.exception())


def to_start(download: Download) -> StartDownload:
    """Write the ``start`` that opens a download (B7-4)."""
    signature = msgspec.json.decode(download.signature, type=SignatureEnvelope) if download.signature else None
    return StartDownload(
        download_index=download.download_index,
        package=to_package_id(download.package),
        size=download.size,
        block_size=download.block_size,
        block_count=download.block_count,
        sha256=download.sha256,
        sha1=download.sha1,
        installer=download.installer,
        command=Command(download.command),
        target=download.target,
        signature=signature,
        allow_downgrade=download.allow_downgrade,
    )


def _says_downloaded(download: Download, outcome: OutcomeReport | None) -> bool:
    """Tell the answer to ``finish`` from a late one to a block: it carries the row's own words."""
    if outcome is None or outcome.status != 200:
        return False
    return outcome.message == outcomes.DOWNLOADED.say(package=download.package_text)
