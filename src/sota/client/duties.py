"""What is owed to Core and to the Software Loading Manager for each download, and is tried until it is done.

=========  ===========================================  =========================================
errand     what is tried                                what ends it
=========  ===========================================  =========================================
offer      the update is told of (B10-1)                202
ask        Core is asked for the download (B9-2)        Core's ``start``
cancel     Core is told that it is not wanted (B9-2)    Core's ``abort``
hand       the verified file is handed over (B10-4, -5) 200 to the finish
abandon    the download is given up (X-B10-2)           200, or that there is nothing to give up
report     Core is told what became of it (B9-6)        Core's ``reported``
=========  ===========================================  =========================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from msgspec import UNSET, UnsetType

from sota.boundaries.b9_rvi_client.client import SotaClientEdge
from sota.boundaries.b9_rvi_client.messages import CancelDownload, InitiateDownload, UpdateAvailable
from sota.boundaries.b10_client_slm.client import SlmClient
from sota.boundaries.services import VehicleServices
from sota.boundaries.values import Reason
from sota.client.errands import Errands, Pace
from sota.client.handover import hand_over
from sota.client.settings import ClientSettings
from sota.client.shelf import Shelf
from sota.client.state import ClientState, DownloadEntry, State
from sota.kit.errors import Refused, SotaError

CANCEL_ATTEMPTS = 10


class Duties:
    """Begins and ends errands; ``locks`` are those of the downloads."""

    def __init__(
        self,
        settings: ClientSettings,
        state: ClientState,
        edge: SotaClientEdge,
        slm: SlmClient,
        shelf: Shelf,
        locks: Mapping[int, asyncio.Lock],
    ) -> None:
        self._vin = settings.vin
        self._state = state
        self._edge = edge
        self._slm = slm
        self._shelf = shelf
        self._locks = locks
        self._errands = Errands()
        self._to_core = Pace(settings.retry_s, settings.retry_max_s)
        self._cancelling = Pace(settings.retry_s, settings.retry_max_s, CANCEL_ATTEMPTS)
        self._local = Pace(settings.local_retry_s, settings.local_retry_max_s)

    def hurry(self) -> None:
        """Try everything now."""
        self._errands.hurry()

    def begin_again(self) -> None:
        """End everything but reports: the state that it came from is lost, and Core and its own hand begin it again."""
        self._errands.stop_all_but("report")

    async def close(self) -> None:
        """End all errands."""
        await self._errands.close()

    def started(self, download_index: int) -> None:
        """Core has begun the download: it need not be asked any more."""
        self._errands.stop(f"ask:{download_index}")

    def reported(self, download_index: int) -> None:
        """Core has the report."""
        self._errands.stop(f"report:{download_index}")

    def drop(self, download_index: int) -> None:
        """The download has ended: nothing is wanted of Core and nothing is handed over any more."""
        for errand in ("ask", "cancel", "hand"):
            self._errands.stop(f"{errand}:{download_index}")

    def offer(self, update: UpdateAvailable) -> None:
        """Tell the Software Loading Manager of an update."""

        async def attempt() -> bool:
            await self._slm.update_available(update)
            await self._state.mark_accepted(update.update_id)
            return True

        self._errands.start(f"offer:{update.update_id}", attempt, self._local)

    def ask(self, entry: DownloadEntry) -> None:
        """Ask Core for a download."""
        wanted = InitiateDownload(
            vin=self._vin, download_index=entry.download_index, services=VehicleServices.standard(self._vin)
        )
        self._keep_telling("ask", entry, lambda: self._edge.initiate_download(wanted, entry.services), self._to_core)

    def cancel(self, entry: DownloadEntry) -> None:
        """Tell Core that a download is not wanted any more."""
        cancelled = CancelDownload(
            vin=self._vin,
            download_index=entry.download_index,
            reason=Reason.CANCELLED,
            services=VehicleServices.standard(self._vin),
        )
        self._errands.stop(f"ask:{entry.download_index}")
        self._keep_telling(
            "cancel", entry, lambda: self._edge.cancel_download(cancelled, entry.services), self._cancelling
        )

    def report(self, entry: DownloadEntry) -> None:
        """Tell Core what became of a download."""
        report = entry.report
        if report is not None:
            self._keep_telling("report", entry, lambda: self._edge.report(report, entry.services), self._to_core)

    def hand_over(self, entry: DownloadEntry) -> None:
        """Hand a verified file over."""
        index = entry.download_index

        async def attempt() -> bool:
            current = await self._state.download(index)
            if current is None or current.start is None or current.state is not State.VERIFIED:
                return True
            file = self._shelf.path(current.start)
            try:
                await hand_over(self._slm, current.start, file, self._state.disk)
            except Refused as error:
                return await self._not_taken(current, error)
            async with self._locks[index]:
                current = await self._state.download(index)
                if current is not None and current.state is State.VERIFIED:
                    await self._state.move(index, State.HANDED)
                    await self._shelf.remove(current.start)
            return True

        self._errands.start(f"hand:{index}", attempt, self._local)

    def abandon(self, entry: DownloadEntry) -> None:
        """Tell the Software Loading Manager that a download will not come."""

        async def attempt() -> bool:
            try:
                await self._slm.cancel(entry.download_index)
            except Refused as error:
                return error.code in {"not_found", "conflict"}  # it never knew it, or installs it already
            return True

        self._errands.start(f"abandon:{entry.download_index}", attempt, self._local)

    async def running_version(self, entry: DownloadEntry) -> str | UnsetType | None:
        """Ask which version of a download's package is installed."""
        try:
            software = await self._slm.packages()
        except SotaError:
            return UNSET
        return next((each.version for each in software.packages if each.name == entry.package.name), None)

    async def _not_taken(self, entry: DownloadEntry, error: Refused) -> bool:
        """Say whether the Software Loading Manager's refusal is its last word on the file."""
        if error.code == "not_found":  # it has lost its journal: tell it of the update first
            await self._state.mark_accepted(entry.update_id, accepted=False)
            update = await self._state.update(entry.update_id)
            if update is not None:
                self.offer(update)
            return False
        if error.code in {"conflict", "storage_full"}:  # it has ended the download, and reports that
            return True
        raise error

    def _keep_telling(self, errand: str, entry: DownloadEntry, tell: Callable[[], Awaitable[None]], pace: Pace) -> None:
        async def attempt() -> bool:
            await tell()
            return False  # only Core's own answer shows that it heard

        self._errands.start(f"{errand}:{entry.download_index}", attempt, pace)
