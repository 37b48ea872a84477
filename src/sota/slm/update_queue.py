"""The accepted updates: the files of one update are fetched one after the other, then installed in order.

An update starts when its driver has agreed, if consent is required. Installation starts only when every file of the
update has arrived, so that a lost network leaves no update half installed, and when the vehicle's preconditions hold
(``preconditions.py``). A failed download fails those after it, with reason ``dependency``: prerequisites come first.
"""

from __future__ import annotations

import asyncio
import random

import msgspec

from sota.boundaries.b7_core_rvi.messages import UpdateAvailable
from sota.boundaries.b10_client_slm.client import ClientForSlm
from sota.boundaries.b10_client_slm.messages import ConsentAnswer, Decision, DownloadWanted, VehicleUpdate, Waiting
from sota.boundaries.values import Reason
from sota.kit.errors import Conflict, NotFound, Refused, SotaError
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.notifier import Notifier
from sota.slm.consent import Consents
from sota.slm.entry import DownloadEntry, State
from sota.slm.incoming_files import ARRIVING, IncomingFiles
from sota.slm.installation import Installation
from sota.slm.journal import Journal
from sota.slm.model import ResultCode
from sota.slm.settings import SlmSettings
from sota.slm.update_status import summary

KEEP_S = 300.0
"""How often an update that waits for the driver is checked, so that its waiting time is saved."""


class UpdateQueue:
    """Works through the accepted updates, one at a time, so that installations never overlap.

    ``notifier`` reports every change: an update was accepted, a file is complete, a download has ended.
    """

    def __init__(
        self,
        settings: SlmSettings,
        journal: Journal,
        incoming: IncomingFiles,
        installation: Installation,
        client: ClientForSlm,
        notifier: Notifier,
        consents: Consents,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._incoming = incoming
        self._installation = installation
        self._client = client
        self._notifier = notifier
        self._consents = consents
        self._preconditions = installation.preconditions
        self._log = get_logger(program="slm")

    async def accept(self, update: UpdateAvailable) -> None:
        """Accept an update for later. Accepting it again changes nothing, unless it has ended.

        An ended update that is still installed, by the installer's own database, is reported again at once.

        Raises:
            Unavailable: an installation that uses one of its indexes must end first.
        """
        async with self._incoming.replacing(download.download_index for download in update.downloads):
            accepted = await self._journal.accept(update)
            for old in accepted.replaced:
                await self._incoming.discard_files(old)
        if accepted.is_new:
            self._log.info("update_accepted", update_id=update.update_id, downloads=len(update.downloads))
        for index in accepted.again:
            entry = await self._journal.download(index)
            if entry is not None and entry.state is State.OFFERED and await self._installation.is_installed(entry):
                await self._installation.confirm(entry)
        self._notifier.notify()

    async def cancel(self, download_index: int) -> None:
        """End a download.

        Raises:
            NotFound: no accepted update has it.
            Conflict: its installation has begun.
        """
        entry = await self._journal.download(download_index)
        if entry is None:
            raise NotFound(f"There is no download {download_index}.")
        if entry.state.is_begun or entry.state is State.INSTALLED:
            raise Conflict(f"Download {download_index} cannot be cancelled any more: it is {entry.state}.")
        if not entry.state.is_final:
            await self._installation.cancel(entry)
            await self._incoming.discard(download_index)
        self._notifier.notify()

    async def refuse(self, download_index: int, text: str) -> None:
        """Fail a download that does not fit on the disk."""
        entry = await self._journal.download(download_index)
        if entry is not None and not entry.state.is_final:
            await self._fail(entry, ResultCode.DISK_FULL, Reason.INSTALL_FAILED, text)
        self._notifier.notify()

    async def decide(self, update_id: str, answer: ConsentAnswer) -> None:
        """Record the driver's decision. A declined update is ended and reported at once.

        Raises:
            NotFound, Refused, Invalid: see :meth:`Consents.decide`.
        """
        await self._consents.decide(update_id, answer.decision, answer.until)
        self._log.info("driver_decided", update_id=update_id, decision=str(answer.decision))
        if answer.decision is Decision.DECLINE:
            await self._decline(update_id)
        self._notifier.notify()

    async def status(self, update_id: str) -> VehicleUpdate:
        """Return the status of an update.

        Raises:
            NotFound: it was never accepted.
        """
        entries = await self._journal.downloads(update_id)
        if not entries:
            raise NotFound(f"There is no update {update_id}.")
        checked = await self._preconditions.found(update_id)
        status = msgspec.structs.replace(summary(update_id, entries), preconditions=checked.text if checked else None)
        update = await self._journal.update(update_id)
        if status.status.is_final or update is None:
            return status
        waiting, _ = await self._consents.waits_for(update)
        if waiting is None and checked is not None and not checked.holds:
            waiting = Waiting.PRECONDITIONS
        return msgspec.structs.replace(status, waiting_for=waiting)

    async def wait_for_end(self, update_id: str, timeout_s: float) -> VehicleUpdate:
        """Return an update's status when it has ended, or the current one after ``timeout_s``."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            seen = self._notifier.count
            found = await self.status(update_id)
            left = deadline - asyncio.get_running_loop().time()
            if found.status.is_final or left <= 0:
                return found
            await self._notifier.wait(seen, left)

    async def run(self) -> None:
        """Work until cancelled. A failure of the vehicle's own (a full disk) is retried later."""
        pause = self._settings.retry_s
        while True:
            seen = self._notifier.count
            try:
                update, wait_s = await self._next()
                if update is None:
                    await self._notifier.wait(seen, wait_s)
                else:
                    await self._install(update)
                pause = self._settings.retry_s
            except (SotaError, OSError) as error:
                self._log.error("update_not_installed", detail=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._settings.retry_max_s)

    async def _next(self) -> tuple[UpdateAvailable | None, float | None]:
        """Return the oldest update that may start; without one, how long to wait (None: until something changes).

        Also ends updates that were declined just before a loss of power.
        """
        waits: list[float] = []
        for update in await self._journal.unfinished():
            waiting, left = await self._consents.waits_for(update)
            if waiting is None:
                return update, None
            if await self._consents.decision(update.update_id) is Decision.DECLINE:
                await self._decline(update.update_id)
            waits.append(KEEP_S if left is None else min(left, KEEP_S))
        return None, min(waits, default=None)

    async def _decline(self, update_id: str) -> None:
        for entry in await self._journal.downloads(update_id):
            if not entry.state.is_final:
                await self._installation.decline(entry)
                await self._incoming.discard(entry.download_index)
        self._notifier.notify()

    async def _install(self, update: UpdateAvailable) -> None:
        for entry in await self._journal.downloads(update.update_id):
            if not await self._fetch(entry):
                break
        failed = _failed(await self._journal.downloads(update.update_id))
        if failed is None:
            failed = await self._wait_for_preconditions(update)
        for entry in await self._journal.downloads(update.update_id):
            current = await self._journal.download(entry.download_index)
            if current is not None and current.identity != entry.identity:
                continue  # another download has its index by now
            if current is None or current.state.is_final:
                failed = failed or (current if current and current.state is not State.INSTALLED else None)
                continue
            if failed is None and current.state in ARRIVING:
                return  # it was offered again under another index meanwhile, and has not been fetched yet
            failed = await self._end_download(current, failed)

    async def _end_download(self, current: DownloadEntry, failed: DownloadEntry | None) -> DownloadEntry | None:
        """Install a download, or fail it if an earlier one failed; return the failed one, if any."""
        index = current.download_index
        if failed is not None and not current.state.is_begun:
            undone = "removed" if current.removes else "installed"
            why = "was cancelled" if failed.state is State.CANCELLED else "failed"
            text = f"{current.package.text} was not {undone}: {failed.package.text}, a part of the same update, {why}."
            await self._installation.fail(current, ResultCode.DEPENDENCY_FAILURE, Reason.DEPENDENCY, text)
        else:
            await self._installation.install(current, self._incoming.path(index))
            after = await self._journal.download(index)
            failed = failed or (after if after and after.state is not State.INSTALLED else None)
        await self._incoming.discard(index)
        self._notifier.notify()
        return failed

    async def _wait_for_preconditions(self, update: UpdateAvailable) -> DownloadEntry | None:
        """Wait until the preconditions hold; return the download that was cancelled or failed meanwhile.

        An installation that has begun is not delayed: half an installation is worse than a low battery.
        """
        while self._preconditions.are_asked:
            seen = self._notifier.count
            entries = await self._journal.downloads(update.update_id)
            ended = _failed(entries)
            if ended is not None or any(each.state.is_begun or each.state is State.INSTALLED for each in entries):
                return ended
            checked, waited_s = await self._preconditions.check(update.update_id)
            if checked.holds:
                return None
            self._log.info("preconditions_do_not_hold", update_id=update.update_id, detail=checked.text)
            if waited_s > self._settings.precondition_wait_s:
                text = f"The preconditions did not hold for {waited_s:.0f} s: {checked.text}"
                await self._fail(entries[0], ResultCode.GENERAL_ERROR, Reason.EXPIRED, text)
                self._notifier.notify()
                return await self._journal.download(entries[0].download_index)
            await self._notifier.wait(seen, self._settings.precondition_retry_s)
        return None

    async def _fail(self, entry: DownloadEntry, code: ResultCode, reason: Reason, text: str) -> None:
        await self._installation.fail(entry, code, reason, text)
        await self._incoming.discard(entry.download_index)

    async def _fetch(self, entry: DownloadEntry) -> bool:
        """Request one download's file and wait for it; report whether it has arrived."""
        pause = self._settings.retry_s
        while True:
            seen = self._notifier.count
            current = await self._journal.download(entry.download_index)
            if current is None or current.identity != entry.identity:
                return False  # another download has its index by now
            if current.state.is_final or current.state.is_begun or current.state is State.READY:
                return current.state not in {State.FAILED, State.CANCELLED}
            if current.state is State.OFFERED:
                await self._journal.want(current.download_index)
            try:
                await self._client.initiate_download(
                    DownloadWanted(download_index=current.download_index, identity=current.identity)
                )
            except Refused as error:
                if error.code == "cancelled":  # Core cancelled it, and has not told the vehicle yet
                    await self.cancel(current.download_index)
                    continue
                self._log.warning("download_refused", download_index=current.download_index, code=error.code)
                await self._notifier.wait(seen, self._settings.remind_s)
            except SotaError as error:
                self._log.warning("download_not_initiated", download_index=current.download_index, detail=str(error))
                await self._notifier.wait(seen, pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, no secret
                pause = min(pause * 2, self._settings.retry_max_s)
            else:
                await self._wait_for_file(current.download_index)

    async def _wait_for_file(self, download_index: int) -> None:
        deadline = asyncio.get_running_loop().time() + self._settings.remind_s
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            seen = self._notifier.count
            current = await self._journal.download(download_index)
            if current is None or current.state not in {State.WANTED, State.RECEIVING}:
                return
            await self._notifier.wait(seen, left)


def _failed(entries: list[DownloadEntry]) -> DownloadEntry | None:
    return next((entry for entry in entries if entry.state in {State.FAILED, State.CANCELLED}), None)
