"""Works off accepted updates: has their files fetched one after the other, then installs them in order.

An update is taken up when its driver has agreed, where that is asked for. Nothing is installed before every file of the
update is here, so that an update is not left half-done for want of a network, nor before the vehicle is as it must be
(``conditions.py``). What fails
fails what comes after it, with reason ``dependency``, since prerequisites come first.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import msgspec

from sota.boundaries.b7_core_rvi import outcomes
from sota.boundaries.b10_client_slm.client import ClientForSlm
from sota.boundaries.b10_client_slm.messages import (
    ConsentAnswer,
    Decision,
    DownloadProgress,
    DownloadWanted,
    UpdateAvailable,
    VehicleUpdate,
    Waiting,
)
from sota.boundaries.values import Command, OutcomeReport, Reason, Stage, UpdateStatus
from sota.kit.errors import Conflict, NotFound, Refused, SotaError, Unavailable
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.notifier import Notifier
from sota.slm.consent import Consents
from sota.slm.entry import DownloadEntry, State
from sota.slm.incoming_files import IncomingFiles
from sota.slm.installation import Installation
from sota.slm.journal import Journal
from sota.slm.model import ResultCode
from sota.slm.settings import SlmSettings

ARRIVING = frozenset({State.OFFERED, State.WANTED, State.RECEIVING})
KEEP_S = 300.0
"""While an update waits for the driver it is looked at so often, so that the time for which it waited is kept."""
STAGES = {
    State.OFFERED: Stage.NOTIFIED,
    State.WANTED: Stage.ACCEPTED,
    State.RECEIVING: Stage.TRANSFERRING,
    State.READY: Stage.TRANSFERRED,
    State.INSTALLING: Stage.INSTALLING,
    State.BOOTING: Stage.BOOTING,
    State.VERIFYING: Stage.VERIFYING,
}
STATUSES = {
    State.INSTALLED: UpdateStatus.INSTALLED,
    State.FAILED: UpdateStatus.FAILED,
    State.CANCELLED: UpdateStatus.CANCELLED,
}


class UpdateQueue:
    """The one who works; there is one at a time, so two installations never meet.

    ``notifier`` notifies of every change: an update came, a file is whole, a download has ended.
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
        self._conditions = installation.conditions
        self._log = get_logger(program="slm")

    async def accept(self, update: UpdateAvailable) -> None:
        """Accept an update; it is done later. Accepting it again changes nothing, unless it had ended.

        What had ended and is installed, as the installer's own database says now, is reported again at once.

        Raises:
            Unavailable: an installation that must end first has one of its indexes.
        """
        async with self._incoming.replacing(download.download_index for download in update.downloads):
            accepted = await self._journal.accept(update)
            for old in accepted.replaced:
                await self._incoming.discard_replaced(old)
        if accepted.busy is not None:
            raise Unavailable(f"{accepted.busy.package.text} must be installed and reported first.")
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
            Conflict: it is being installed, or was.
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
        """Fail a download for which there is no room on the disk."""
        entry = await self._journal.download(download_index)
        if entry is not None and not entry.state.is_final:
            await self._installation.fail(entry, ResultCode.DISK_FULL, Reason.INSTALL_FAILED, text)
            await self._incoming.discard(download_index)
        self._notifier.notify()

    async def decide(self, update_id: str, answer: ConsentAnswer) -> None:
        """Take the driver's word. What was declined is ended and reported at once, whatever else is being done.

        Raises:
            NotFound, Refused, Invalid: see :meth:`Consents.decide`.
        """
        await self._consents.decide(update_id, answer.decision, answer.until)
        self._log.info("driver_decided", update_id=update_id, decision=str(answer.decision))
        if answer.decision is Decision.DECLINE:
            await self._decline(update_id)
        else:
            self._notifier.notify()

    async def status(self, update_id: str) -> VehicleUpdate:
        """Say how an update stands.

        Raises:
            NotFound: it was never accepted.
        """
        entries = await self._journal.downloads(update_id)
        if not entries:
            raise NotFound(f"There is no update {update_id}.")
        told = summary(update_id, entries)
        checked = await self._conditions.found(update_id)
        update = await self._journal.update(update_id)
        if told.status.is_final or update is None:
            return msgspec.structs.replace(told, preconditions=checked.text if checked else None)
        waiting, _ = await self._consents.waits_for(update)
        if waiting is None and checked is not None and not checked.holds:
            waiting = Waiting.PRECONDITIONS
        return msgspec.structs.replace(told, waiting_for=waiting, preconditions=checked.text if checked else None)

    async def wait_for_end(self, update_id: str, timeout_s: float) -> VehicleUpdate:
        """Give an update's state when it has ended, or as it is when the time is over."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            heard = self._notifier.count
            found = await self.status(update_id)
            left = deadline - asyncio.get_running_loop().time()
            if found.status.is_final or left <= 0:
                return found
            await self._notifier.wait(heard, left)

    async def run(self) -> None:
        """Work until cancelled. What fails for reasons of our own (a full disk) is tried again later."""
        pause = self._settings.retry_s
        while True:
            heard = self._notifier.count
            try:
                update, wait_s = await self._next()
                if update is None:
                    await self._notifier.wait(heard, wait_s)
                else:
                    await self._carry_out(update)
                pause = self._settings.retry_s
            except (SotaError, OSError) as error:
                self._log.error("update_not_carried_out", detail=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._settings.retry_max_s)

    async def _next(self) -> tuple[UpdateAvailable | None, float | None]:
        """Give the oldest update that may be begun; without one, for how long to wait (None: until something happens).

        What was declined when the power went is ended here.
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

    async def _carry_out(self, update: UpdateAvailable) -> None:
        for entry in await self._journal.downloads(update.update_id):
            if not await self._fetch(entry):
                break
        failed: DownloadEntry | None = None
        for entry in await self._journal.downloads(update.update_id):
            if entry.state in {State.FAILED, State.CANCELLED}:
                failed = failed or entry
        if failed is None:
            failed = await self._wait_for_conditions(update)
        for entry in await self._journal.downloads(update.update_id):
            index = entry.download_index
            current = await self._journal.download(index)
            if current is not None and current.identity != entry.identity:
                continue  # another download has its index by now
            if current is None or current.state.is_final:
                failed = failed or (current if current and current.state is not State.INSTALLED else None)
                continue
            if failed is None and current.state in ARRIVING:
                return  # it was offered again under another index meanwhile, and has not been fetched yet
            failed = await self._end_download(current, failed)

    async def _end_download(self, current: DownloadEntry, failed: DownloadEntry | None) -> DownloadEntry | None:
        """Install a download, or give it up for one that failed before; return the one that failed, if any."""
        index = current.download_index
        if failed is not None and not current.state.is_begun:
            await self._give_up(current, failed)
        else:
            await self._installation.carry_out(current, self._incoming.path(index))
            after = await self._journal.download(index)
            failed = failed or (after if after and after.state is not State.INSTALLED else None)
        await self._incoming.discard(index)
        self._notifier.notify()
        return failed

    async def _wait_for_conditions(self, update: UpdateAvailable) -> DownloadEntry | None:
        """Wait until the vehicle is as it must be; gives the download that was cancelled or failed meanwhile.

        What has begun is not held up: half an installation is worse than a low battery.
        """
        while self._conditions.are_asked:
            heard = self._notifier.count
            entries = await self._journal.downloads(update.update_id)
            ended = next((each for each in entries if each.state in {State.FAILED, State.CANCELLED}), None)
            if ended is not None or any(each.state.is_begun or each.state is State.INSTALLED for each in entries):
                return ended
            checked, waited_s = await self._conditions.check(update.update_id)
            if checked.holds:
                return None
            self._log.info("preconditions_do_not_hold", update_id=update.update_id, detail=checked.text)
            if waited_s > self._settings.precondition_wait_s:
                text = f"The preconditions did not hold for {waited_s:.0f} s: {checked.text}"
                await self._installation.fail(entries[0], ResultCode.GENERAL_ERROR, Reason.EXPIRED, text)
                await self._incoming.discard(entries[0].download_index)
                self._notifier.notify()
                return await self._journal.download(entries[0].download_index)
            await self._notifier.wait(heard, self._settings.precondition_retry_s)
        return None

    async def _fetch(self, entry: DownloadEntry) -> bool:
        """Have one download's file fetched; says whether it is here."""
        pause = self._settings.retry_s
        while True:
            heard = self._notifier.count
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
                if error.code == "cancelled":  # Core gave it up before we heard of it
                    await self.cancel(current.download_index)
                    continue
                self._log.warning("download_refused", download_index=current.download_index, code=error.code)
                await self._notifier.wait(heard, self._settings.remind_s)
            except SotaError as error:
                self._log.warning("download_not_initiated", download_index=current.download_index, detail=str(error))
                await self._notifier.wait(heard, pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads calls, no secret
                pause = min(pause * 2, self._settings.retry_max_s)
            else:
                await self._wait_for_file(current.download_index)

    async def _wait_for_file(self, download_index: int) -> None:
        deadline = asyncio.get_running_loop().time() + self._settings.remind_s
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            heard = self._notifier.count
            current = await self._journal.download(download_index)
            if current is None or current.state not in {State.WANTED, State.RECEIVING}:
                return
            await self._notifier.wait(heard, left)

    async def _give_up(self, entry: DownloadEntry, failed: DownloadEntry) -> None:
        undone = "removed" if _removes(entry) else "installed"
        why = "was cancelled" if failed.state is State.CANCELLED else "failed"
        text = f"{entry.package.text} was not {undone}: {failed.package.text}, a part of the same update, {why}."
        await self._installation.fail(entry, ResultCode.DEPENDENCY_FAILURE, Reason.DEPENDENCY, text)


def summary(update_id: str, entries: Sequence[DownloadEntry]) -> VehicleUpdate:
    """Tell how an update stands from how its downloads do.

    It is ``installed`` when all of them are, failed or cancelled as soon as one is, and else where its slowest
    download is.
    """
    downloads = [
        DownloadProgress(
            download_index=entry.download_index,
            status=STATUSES.get(
                entry.state, UpdateStatus.PENDING if entry.state is State.OFFERED else UpdateStatus.IN_FLIGHT
            ),
            stage=STAGES.get(entry.state),
            reason=entry.reason,
        )
        for entry in entries
    ]
    bad = next((entry for entry in entries if entry.state in {State.FAILED, State.CANCELLED}), None)
    ended = all(entry.state.is_final for entry in entries)
    if bad is not None and ended:
        return VehicleUpdate(update_id=update_id, status=STATUSES[bad.state], downloads=downloads, reason=bad.reason)
    if ended:
        message = outcomes.COMPLETE.say(package=entries[-1].package.text) or ""
        outcome = OutcomeReport(status=200, message=message)
        return VehicleUpdate(update_id=update_id, status=UpdateStatus.INSTALLED, downloads=downloads, outcome=outcome)
    order = list(STAGES)
    stage = STAGES[min((entry.state for entry in entries if not entry.state.is_final), key=order.index)]
    begun = any(entry.state is not State.OFFERED for entry in entries)
    status = UpdateStatus.IN_FLIGHT if begun else UpdateStatus.PENDING
    return VehicleUpdate(update_id=update_id, status=status, downloads=downloads, stage=stage)


def _removes(entry: DownloadEntry) -> bool:
    return entry.start is not None and entry.start.command is Command.REMOVE
