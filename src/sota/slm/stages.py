"""Tells the SOTA Client what the installer does: installing, booting, verifying, each while it lasts."""

from __future__ import annotations

import asyncio
import random

from sota.boundaries.b10_client_slm.client import ClientForSlm
from sota.boundaries.b10_client_slm.messages import InstallationStage
from sota.boundaries.values import DownloadIdentity, Stage
from sota.kit.errors import Refused, SotaError
from sota.kit.runtime.logging import get_logger
from sota.slm.entry import DownloadEntry, State
from sota.slm.journal import Journal

STAGES = {State.INSTALLING: Stage.INSTALLING, State.BOOTING: Stage.BOOTING, State.VERIFYING: Stage.VERIFYING}


class StageSender:
    """Sends the present stage of what is being installed; one that has passed unsent is not told any more."""

    def __init__(self, journal: Journal, client: ClientForSlm, vin: str, *, retry_s: float, retry_max_s: float) -> None:
        self._journal, self._client, self._vin = journal, client, vin
        self._retry_s, self._retry_max_s = retry_s, retry_max_s
        self._told: dict[DownloadIdentity, State] = {}
        self._log = get_logger(program="slm")

    async def run(self) -> None:
        """Work until cancelled."""
        pause = self._retry_s
        while True:
            heard = self._journal.stepped.count
            begun = await self._journal.begun()
            self._told = {entry.identity: self._told[entry.identity] for entry in begun if entry.identity in self._told}
            sent = [await self._send(entry) for entry in begun if self._told.get(entry.identity) is not entry.state]
            if all(sent):
                pause = self._retry_s
                await self._journal.stepped.wait(heard, None)
                continue
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads calls, no secret
            pause = min(pause * 2, self._retry_max_s)

    async def _send(self, entry: DownloadEntry) -> bool:
        stage = InstallationStage(
            vin=self._vin, download_index=entry.download_index, identity=entry.identity, stage=STAGES[entry.state]
        )
        try:
            await self._client.stage(stage)
        except Refused as error:
            self._log.warning("stage_refused", download_index=entry.download_index, code=error.code)
        except SotaError as error:
            self._log.info("stage_not_sent", download_index=entry.download_index, detail=error.detail)
            return False
        self._told[entry.identity] = entry.state
        return True
