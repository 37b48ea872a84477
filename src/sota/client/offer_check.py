"""Check that the Software Loading Manager still knows the updates that it accepted, and offer lost ones again.

Its journal may have been damaged and started again, or its folder erased. Everything that it was handed is then sent
again. The package database shows what is installed already; such an update is reported without another installation.
"""

from __future__ import annotations

import asyncio

from sota.boundaries.b10_client_slm.client import SlmClient
from sota.client.downloads import Downloads
from sota.client.software import Software
from sota.client.state import ClientState
from sota.kit.errors import Refused, SotaError
from sota.kit.runtime.logging import get_logger

CHECK_S = 30.0


class OfferCheck:
    """Asks for each open update regularly."""

    def __init__(self, state: ClientState, downloads: Downloads, software: Software, slm: SlmClient) -> None:
        self._state, self._downloads, self._software, self._slm = state, downloads, software, slm
        self._log = get_logger(program="client")

    async def run(self) -> None:
        """Check regularly, until cancelled."""
        while True:
            try:
                await self.check()
            except SotaError as error:
                self._log.info("offering_not_checked", detail=error.detail)
            await asyncio.sleep(CHECK_S)

    async def check(self) -> None:
        """Offer updates again that the Software Loading Manager no longer knows.

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
                await self._downloads.notify(update)
                await self._software.take_changes([])
