"""The life of a download in the vehicle, whether Core or the Software Loading Manager drives it.

Every change of state is on disk before it is answered, and every message may be repeated. Work that must be retried is
in ``download_tasks.py``; it starts again from what is on disk when the program starts. ``download_receiver.py``
receives the file.
"""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from sota.boundaries.b7_core_rvi.messages import (
    AbortDownload,
    InstallationStage,
    InstallReport,
    StartDownload,
    UpdateAvailable,
)
from sota.boundaries.b9_rvi_client.client import SotaClientEdge
from sota.boundaries.b10_client_slm.client import SlmClient
from sota.boundaries.b10_client_slm.messages import DownloadWanted
from sota.boundaries.values import DownloadIdentity, Reason, UpdateStatus
from sota.client.download_receiver import GENERAL_ERROR, DownloadReceiver
from sota.client.download_tasks import FINAL_TASKS, DownloadTasks
from sota.client.settings import ClientSettings
from sota.client.software import Software
from sota.client.state import ClientState, DownloadEntry, DownloadState, Offered
from sota.kit.errors import Conflict, Invalid, Refused, SotaError
from sota.kit.runtime.locks import all_locked
from sota.kit.runtime.logging import get_logger

IDLE_CHECK_S = OFFERS_CHECK_S = 30.0
ON_DISK = {DownloadState.RECEIVING, DownloadState.VERIFIED}
ARRIVING = {DownloadState.OFFERED, DownloadState.WANTED, DownloadState.RECEIVING}


class Downloads:
    """All downloads of the vehicle."""

    def __init__(
        self, settings: ClientSettings, state: ClientState, edge: SotaClientEdge, slm: SlmClient, software: Software
    ) -> None:
        self._settings, self._state, self._slm, self._software = settings, state, slm, software
        self._tasks = DownloadTasks(settings, state, edge, slm)
        self._locks = self._tasks.locks
        self._log = get_logger(program="client")
        self.receiver = DownloadReceiver(settings, state, edge, self._tasks)
        self.changed = self.receiver.changed

    async def open(self) -> None:
        """Resume all open downloads."""
        await self._state.forget_old()
        for update in await self._state.not_accepted():
            self._tasks.offer(update)
        for report in await self._state.stray_reports():
            self._tasks.report_stray(report)
        under_way = await self._state.under_way()
        self._tasks.blocks.clear_all_but({each.download_index for each in under_way if each.state in ON_DISK})
        for entry in under_way:
            await self._resume(entry)

    async def close(self) -> None:
        """Stop; the state is on disk."""
        await self._tasks.retries.close()
        await self.receiver.close()

    async def start_over(self) -> None:
        """Drop all open downloads: the state was damaged, and is empty now. Stored blocks are found again."""
        self._tasks.retries.stop_all_but("report")
        await self.receiver.close()

    async def on_connected(self) -> None:
        """Retry at once, since Core can be reached again."""
        self._tasks.retries.retry_now()
        for transfer in self.receiver.transfers.values():
            transfer.retry_now()
        for entry in await self._state.installing():
            if entry.stage is not None:
                self._tasks.stage(entry, entry.stage)

    async def watch_idle(self) -> None:
        """Fail downloads for which no more blocks arrive, until cancelled."""
        pause = min(IDLE_CHECK_S, self._settings.idle_timeout_s / 4)
        while True:
            await asyncio.sleep(pause)
            for index, transfer in list(self.receiver.transfers.items()):
                if transfer.idle_s > self._settings.idle_timeout_s:
                    text = f"No block came for {self._settings.idle_timeout_s:g} s."
                    async with self._locks[index]:
                        with contextlib.suppress(SotaError):  # the disk is full, or the state lost: tried again later
                            entry = await self.receiver.entry(index)
                            await self.receiver.conclude(entry, Reason.ABORTED, GENERAL_ERROR, text)

    async def watch_offers(self) -> None:
        """Check regularly that the Software Loading Manager knows the updates that it accepted, until cancelled."""
        while True:
            try:
                await self.offer_lost()
            except SotaError as error:
                self._log.info("offering_not_checked", detail=error.detail)
            await asyncio.sleep(OFFERS_CHECK_S)

    async def offer_lost(self) -> None:
        """Offer updates again that the Software Loading Manager no longer knows.

        Its journal may have been damaged and started again, or its folder erased. Everything that it was handed is then
        sent again. The package database shows what is installed already; such an update is reported without another
        installation.

        Raises:
            SotaError: it does not answer, or the disk fails.
        """
        for update in await self._state.with_loading_manager():
            try:
                await self._slm.update_status(update.update_id)
            except Refused as error:
                if error.code != "not_found":
                    raise
                self._log.warning("update_offered_again", update_id=update.update_id)
                await self._state.offer_again(update.update_id)
                await self.notify(update)
                await self._software.take_changes([])

    async def notify(self, update: UpdateAvailable) -> bool:
        """Take an update that Core offers; returns whether it is installed.

        A Core that has lost its record may offer a download again that had ended. The Software Loading Manager then
        checks whether it is still installed, and reports it again or installs it again.
        """
        async with all_locked(self._locks, (download.download_index for download in update.downloads)):
            offered = await self._state.offer(update)
            for old in offered.replaced:
                self._log.warning("download_replaced", download_index=old.download_index, package=old.package.text)
                await self.receiver.clear(old)
                self._tasks.stop(old.download_index, *FINAL_TASKS)
            for download in update.downloads:
                entry = await self.receiver.entry(download.download_index)
                await self._resume(entry)
                if entry.state is DownloadState.DONE:  # it failed; Core offers it again, so its record was lost
                    self._tasks.report(entry)
                transfer = self.receiver.transfers.get(download.download_index)
                if transfer is not None:
                    transfer.epoch = entry.epoch
                    transfer.retry_now()
        if offered.replaced:  # Core has lost its record of these
            await self._software.tell()
        is_installed = await self._offer(update, offered)
        self._tasks.retries.retry_now()
        return is_installed

    async def initiate(self, wanted: DownloadWanted) -> DownloadEntry:
        """Start a download, for the Software Loading Manager. An installed one stays as it is.

        Raises:
            NotFound, Conflict: Core never offered it.
            Refused: ``cancelled``.
        """
        index = wanted.download_index
        async with self._locks[index]:
            entry = await self.receiver.find(index, wanted.identity)
            if entry.is_installed:
                return entry
            if entry.state.is_over or entry.cancel_wanted:
                raise Refused("cancelled", f"Download {index} was cancelled.")
            if entry.state is DownloadState.OFFERED:
                await self._state.move(index, DownloadState.WANTED)
                entry = await self.receiver.entry(index)
            await self._resume(entry)
            return entry

    async def start(self, start: StartDownload) -> None:
        """Prepare for blocks; see :meth:`DownloadReceiver.start`.

        A ``start`` of another epoch of the vehicle also counts as its ``notify``.
        """
        entry = await self._state.find(start.download_index, start.identity)
        if entry is not None and entry.epoch != start.epoch:
            update = await self._state.update(start.update_id)
            if update is not None:
                await self.notify(msgspec.structs.replace(update, epoch=start.epoch))
        await self.receiver.start(start)

    async def abort(self, abort: AbortDownload) -> None:
        """End a download that Core aborted. An unknown one is ignored (DEV-62)."""
        async with self._locks[abort.download_index]:
            entry = await self._state.find(abort.download_index, abort.identity)
            if entry is None or entry.state in {DownloadState.REPORTED, DownloadState.DONE}:
                return
            await self._state.move(abort.download_index, DownloadState.ABORTED)
            await self.receiver.clear(entry)
            self._tasks.abandon(entry)
        self.changed.notify()

    async def cancel(self, download_index: int) -> None:
        """Cancel a download at Core, which answers by aborting it.

        Raises:
            NotFound: Core never offered it.
            Conflict: it is being installed.
        """
        async with self._locks[download_index]:
            entry = await self.receiver.entry(download_index)
            if entry.state.is_over:
                return
            if entry.state is DownloadState.HANDED:
                await self._end_at_loading_manager(entry)
            await self._state.want_cancel(download_index)
            await self.receiver.stop_receiving(download_index)
            self._tasks.cancel(entry)

    async def show_stage(self, report: InstallationStage) -> None:
        """Report to Core what the installer does with a download now."""
        async with self._locks[report.download_index]:
            entry = await self._state.find(report.download_index, report.identity)
            if entry is None or entry.state.is_over:
                return
            await self._state.note_stage(report.download_index, report.stage)
            self._tasks.stage(entry, report.stage)

    async def keep_report(self, report: InstallReport) -> None:
        """Store the result of a download, and report it to Core until Core confirms it.

        The report of an unknown download goes to Core under its own identity, together with all installed software.

        Raises:
            Invalid: the report is of another vehicle.
            Refused: ``already_complete`` or ``already_failed``: there is a report already.
        """
        if report.vin != self._settings.vin:
            raise Invalid(f"This vehicle is {self._settings.vin}.")
        async with self._locks[report.download_index]:
            entry = await self._state.find(report.download_index, report.identity)
            if entry is None:
                await self._keep_stray(report)
                return
            is_new = await self._state.keep_report(report)
            if is_new:
                await self.receiver.clear(entry)
                self._tasks.report(await self.receiver.entry(report.download_index))
        self.changed.notify()
        if not is_new:
            code = "already_complete" if entry.is_installed else "already_failed"
            raise Refused(code, "There is a report of it already.", values={"package": entry.package.text})

    async def reported(self, download_index: int, identity: DownloadIdentity | None) -> None:
        """Stop sending a report: Core has it, and may have refused it."""
        entry = await self._state.download(download_index)
        if identity is not None and (entry is None or entry.identity != identity):
            self._tasks.stop_stray(identity)
            if entry is None:  # the state was lost meanwhile
                self._tasks.stop(download_index, "report")
            await self._state.forget_stray(identity)
            return
        if entry is None or entry.report is None:
            return
        self._tasks.stop(download_index, "report")
        await self._state.move(download_index, DownloadState.DONE)
        self._locks.pop(download_index, None)

    async def installed(self, download_index: int, timeout_s: float) -> bool:
        """Report whether a download is installed, after waiting up to ``timeout_s`` for it."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            heard = self.changed.count
            entry = await self.receiver.entry(download_index)
            left = deadline - asyncio.get_running_loop().time()
            if entry.report is not None or left <= 0:
                return entry.is_installed
            await self.changed.wait(heard, left)

    async def _offer(self, update: UpdateAvailable, offered: Offered) -> bool:
        """Offer an update to the Software Loading Manager; returns whether it is installed."""
        if offered.again:
            try:
                found = await self._slm.update_available(update)
            except SotaError:  # it is offered again until it is accepted
                pass
            else:
                await self._state.mark_accepted(update.update_id)
                return found.status is UpdateStatus.INSTALLED
        if offered.is_news:
            self._tasks.offer(update)
            return False
        entries = [await self.receiver.entry(download.download_index) for download in update.downloads]
        return all(entry.is_installed for entry in entries)

    async def _end_at_loading_manager(self, entry: DownloadEntry) -> None:
        try:
            await self._slm.cancel(entry.download_index)
        except Refused as error:
            if error.code == "conflict":
                raise Conflict(f"Download {entry.download_index} is being installed, or was.") from None

    async def _keep_stray(self, report: InstallReport) -> None:
        self._log.warning(
            "report_of_unknown_download", download_index=report.download_index, package=report.package.text
        )
        await self._state.keep_stray(report)
        self._tasks.report_stray(report)
        await self._software.tell()

    async def _resume(self, entry: DownloadEntry) -> None:
        """Resume a download from its current state."""
        if entry.cancel_wanted and entry.state in ARRIVING:
            self._tasks.cancel(entry)
        elif entry.state is DownloadState.WANTED:
            self._tasks.ask(entry)
        elif entry.state is DownloadState.RECEIVING:
            await self.receiver.resume(entry)
        elif entry.state is DownloadState.VERIFIED:
            self._tasks.hand_over(entry)
        elif entry.state is DownloadState.ABORTED:
            self._tasks.abandon(entry)
        elif entry.state is DownloadState.REPORTED:
            self._tasks.report(entry)
