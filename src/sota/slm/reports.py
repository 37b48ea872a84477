"""Tells the SOTA Client what became of each download (B10-6), again and again until it has heard it."""

from __future__ import annotations

import asyncio
import random

from sota.boundaries.b10_client_slm.client import ClientForSlm
from sota.boundaries.b10_client_slm.messages import InstallReport
from sota.kit.errors import Refused, SotaError
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.notifier import Notifier
from sota.slm.journal import Journal

HEARD = {"already_complete", "already_failed"}


class ReportSender:
    """Sends what the journal has unreported."""

    def __init__(
        self, journal: Journal, client: ClientForSlm, notifier: Notifier, *, retry_s: float, retry_max_s: float
    ) -> None:
        self._journal = journal
        self._client = client
        self._retry_s, self._retry_max_s = retry_s, retry_max_s
        self._notifier = notifier
        self._log = get_logger(program="slm")

    async def run(self) -> None:
        """Work until cancelled."""
        pause = self._retry_s
        while True:
            heard = self._notifier.count
            sent = [await self._tell_loss()]
            sent += [await self._send(report) for report in await self._journal.unreported()]
            if all(sent):
                pause = self._retry_s
                await self._notifier.wait(heard, None)
                continue
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads calls, no secret
            pause = min(pause * 2, self._retry_max_s)

    async def _tell_loss(self) -> bool:
        """Have Core told what is installed where the journal was lost; says whether nothing is left to tell."""
        if not await self._journal.database.begun_again():
            return True
        try:
            await self._client.local_changes([])
        except SotaError as error:
            self._log.info("loss_of_journal_not_told", detail=error.detail)
            return False
        await self._journal.database.settle()
        return True

    async def _send(self, report: InstallReport) -> bool:
        try:
            await self._client.report(report)
        except Refused as error:
            if error.code == "not_found":
                # The client has lost its memory of this download; nobody is left to hear of it.
                self._log.error("report_not_wanted", download_index=report.download_index, detail=error.detail)
            elif error.code not in HEARD:
                self._log.warning("report_refused", download_index=report.download_index, code=error.code)
                return False
        except SotaError as error:
            self._log.info("report_not_sent", download_index=report.download_index, detail=error.detail)
            return False
        await self._journal.mark_reported(report)
        return True
