"""Sends to the SOTA Client the results of downloads, and the stages of their installation."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod

from sota.boundaries.b7_core_rvi.messages import InstallationStage, InstallReport
from sota.boundaries.b10_client_slm.client import ClientForSlm
from sota.boundaries.values import DownloadIdentity
from sota.kit.errors import Refused, SotaError
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.notifier import Notifier
from sota.slm.entry import DownloadEntry, State
from sota.slm.journal import Journal
from sota.slm.settings import SlmSettings
from sota.slm.update_status import STAGES

ALREADY_KNOWN = {"already_complete", "already_failed"}


class Sender(ABC):
    """Sends after each notification, and repeats with growing pauses what could not be sent."""

    def __init__(self, settings: SlmSettings, journal: Journal, client: ClientForSlm, notifier: Notifier) -> None:
        self._settings, self._journal, self._client = settings, journal, client
        self._notifier = notifier
        self._log = get_logger(program="slm")

    async def run(self) -> None:
        """Work until cancelled."""
        pause = self._settings.retry_s
        while True:
            seen = self._notifier.count
            if await self._send_all():
                pause = self._settings.retry_s
                await self._notifier.wait(seen, None)
                continue
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, no secret
            pause = min(pause * 2, self._settings.retry_max_s)

    @abstractmethod
    async def _send_all(self) -> bool:
        """Send what is new; report whether nothing is left."""


class ReportSender(Sender):
    """Sends each report until the SOTA Client has it."""

    async def _send_all(self) -> bool:
        sent = [await self._report_loss()]
        sent += [await self._send(report) for report in await self._journal.unreported()]
        return all(sent)

    async def _report_loss(self) -> bool:
        """After the loss of the journal, have Core informed of all installed packages; report whether that is done."""
        if not await self._journal.database.begun_again():
            return True
        try:
            await self._client.local_changes([])
        except SotaError as error:
            self._log.info("loss_of_journal_not_reported", detail=error.detail)
            return False
        await self._journal.database.settle()
        return True

    async def _send(self, report: InstallReport) -> bool:
        try:
            await self._client.report(report)
        except Refused as error:
            if error.code == "not_found":
                # The client has lost its record of this download: there is no other receiver.
                self._log.error("report_not_wanted", download_index=report.download_index, detail=error.detail)
            elif error.code not in ALREADY_KNOWN:
                self._log.warning("report_refused", download_index=report.download_index, code=error.code)
                return False
        except SotaError as error:
            self._log.info("report_not_sent", download_index=report.download_index, detail=error.detail)
            return False
        await self._journal.mark_reported(report)
        return True


class StageSender(Sender):
    """Sends the current stage of what is being installed; a stage that has passed unsent is not sent any more."""

    def __init__(self, settings: SlmSettings, journal: Journal, client: ClientForSlm) -> None:
        super().__init__(settings, journal, client, journal.stepped)
        self._sent: dict[DownloadIdentity, State] = {}

    async def _send_all(self) -> bool:
        begun = await self._journal.begun()
        self._sent = {entry.identity: self._sent[entry.identity] for entry in begun if entry.identity in self._sent}
        return all([await self._send(entry) for entry in begun if self._sent.get(entry.identity) is not entry.state])

    async def _send(self, entry: DownloadEntry) -> bool:
        stage = InstallationStage(
            vin=self._settings.vin,
            download_index=entry.download_index,
            identity=entry.identity,
            stage=STAGES[entry.state],
        )
        try:
            await self._client.stage(stage)
        except Refused as error:
            self._log.warning("stage_refused", download_index=entry.download_index, code=error.code)
        except SotaError as error:
            self._log.info("stage_not_sent", download_index=entry.download_index, detail=error.detail)
            return False
        self._sent[entry.identity] = entry.state
        return True
