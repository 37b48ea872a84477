"""What is owed to Core and to the Software Loading Manager for each download, and is tried until it is done.

=========  ===========================================  =========================================
errand     what is tried                                what ends it
=========  ===========================================  =========================================
offer      the update is told of (B10-1)                202
ask        Core is asked for the download (B9-2)        Core's ``start``
cancel     Core is told that it is not wanted (B9-2)    Core's ``abort``
hand       the verified file is handed over (B10-4, -5) 200 to the finish
abandon    the download is given up                     200, or that there is nothing to give up
report     Core is told what became of it (B9-6)        Core's ``reported``
stage      Core is told what the installer does         the node has it, or the next stage
=========  ===========================================  =========================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from msgspec import UNSET, UnsetType

from sota.boundaries.b9_rvi_client.client import SotaClientEdge
from sota.boundaries.b9_rvi_client.messages import (
    CancelDownload,
    InitiateDownload,
    InstallationStage,
    InstallReport,
    UpdateAvailable,
)
from sota.boundaries.b10_client_slm.client import SlmClient
from sota.boundaries.values import DownloadIdentity, Reason, Stage
from sota.client.block_store import BlockStore
from sota.client.handover import hand_over
from sota.client.retry_tasks import RetryPolicy, RetryTasks
from sota.client.settings import ClientSettings
from sota.client.state import ClientState, DownloadEntry, DownloadState
from sota.kit.errors import Refused, SotaError

CANCEL_ATTEMPTS = 10


class DownloadTasks:
    """Begins and ends retries; ``locks`` are those of the downloads."""

    def __init__(
        self,
        settings: ClientSettings,
        state: ClientState,
        edge: SotaClientEdge,
        slm: SlmClient,
        blocks: BlockStore,
        locks: Mapping[int, asyncio.Lock],
    ) -> None:
        self._vin = settings.vin
        self._state = state
        self._edge = edge
        self._slm = slm
        self.blocks = blocks
        self.locks = locks
        self._retries = RetryTasks()
        self._to_core = RetryPolicy(settings.retry_s, settings.retry_max_s)
        self._cancelling = RetryPolicy(settings.retry_s, settings.retry_max_s, CANCEL_ATTEMPTS)
        self._local = RetryPolicy(settings.local_retry_s, settings.local_retry_max_s)

    def retry_now(self) -> None:
        """Try everything now."""
        self._retries.retry_now()

    def start_over(self) -> None:
        """End everything but reports: the state that it came from is lost, and Core and its own hand begin it again."""
        self._retries.stop_all_but("report")

    async def close(self) -> None:
        """End all retries."""
        await self._retries.close()

    def started(self, download_index: int) -> None:
        """Core has begun the download: it need not be asked any more."""
        self._retries.stop(f"ask:{download_index}")

    def reported(self, download_index: int) -> None:
        """Core has the report."""
        self._retries.stop(f"report:{download_index}")

    def drop(self, download_index: int) -> None:
        """The download has ended: nothing is wanted of Core and nothing is handed over any more."""
        for errand in ("ask", "cancel", "hand", "stage"):
            self._retries.stop(f"{errand}:{download_index}")

    def replaced(self, download_index: int) -> None:
        """Another download has its index from now on: nothing is owed for the old one."""
        self.drop(download_index)
        for errand in ("abandon", "report"):
            self._retries.stop(f"{errand}:{download_index}")

    def offer(self, update: UpdateAvailable) -> None:
        """Tell the Software Loading Manager of an update."""

        async def attempt() -> bool:
            await self._slm.update_available(update)
            await self._state.mark_accepted(update.update_id)
            return True

        self._retries.start(f"offer:{update.update_id}", attempt, self._local)

    def ask(self, entry: DownloadEntry) -> None:
        """Ask Core for a download."""

        async def tell(current: DownloadEntry) -> None:
            wanted = InitiateDownload(
                vin=self._vin,
                download_index=current.download_index,
                identity=current.identity,
                epoch=current.epoch,
            )
            await self._edge.initiate_download(wanted)

        self._keep_telling("ask", entry, tell, self._to_core)

    def cancel(self, entry: DownloadEntry) -> None:
        """Tell Core that a download is not wanted any more."""

        async def tell(current: DownloadEntry) -> None:
            cancelled = CancelDownload(
                vin=self._vin,
                download_index=current.download_index,
                identity=current.identity,
                epoch=current.epoch,
                reason=Reason.ABORTED,
            )
            await self._edge.cancel_download(cancelled)

        self._retries.stop(f"ask:{entry.download_index}")
        self._keep_telling("cancel", entry, tell, self._cancelling)

    def report(self, entry: DownloadEntry) -> None:
        """Tell Core what became of a download."""

        report = entry.report

        async def attempt() -> bool:
            current = await self._state.download(entry.download_index)
            is_known = current is not None and current.identity == entry.identity
            if report is None or (is_known and current is not None and current.report is None):
                return True  # it begins again
            epoch = current.epoch if is_known and current is not None else entry.epoch
            await self._edge.report(msgspec.structs.replace(report, epoch=epoch))
            return False  # only Core's own answer shows that it heard

        self._retries.start(f"report:{entry.download_index}", attempt, self._to_core)

    def report_stray(self, report: InstallReport) -> None:
        """Tell Core what became of a download that is not known here: it is recorded for no other one."""

        async def attempt() -> bool:
            await self._edge.report(report)
            return False

        self._retries.start(_stray(report.identity), attempt, self._to_core)

    def stray_reported(self, identity: DownloadIdentity) -> None:
        """Core has such a report."""
        self._retries.stop(_stray(identity))

    def stage(self, entry: DownloadEntry, stage: Stage) -> None:
        """Tell Core what the installer does with a download now, in the place of what it did before."""
        told = InstallationStage(
            vin=self._vin,
            download_index=entry.download_index,
            identity=entry.identity,
            epoch=entry.epoch,
            stage=stage,
        )

        async def attempt() -> bool:
            await self._edge.stage(told)
            return True

        self._retries.stop(f"stage:{entry.download_index}")
        self._retries.start(f"stage:{entry.download_index}", attempt, self._to_core)

    def hand_over(self, entry: DownloadEntry) -> None:
        """Hand a verified file over."""
        index = entry.download_index

        async def attempt() -> bool:
            current = await self._state.download(index)
            if current is None or current.start is None or current.state is not DownloadState.VERIFIED:
                return True
            file = self.blocks.path(current.start)
            try:
                await hand_over(self._slm, current.start, file, self._state.disk)
            except Refused as error:
                return await self._not_taken(current, error)
            async with self.locks[index]:
                current = await self._state.download(index)
                if current is not None and current.state is DownloadState.VERIFIED:
                    await self._state.move(index, DownloadState.HANDED)
                    await self.blocks.remove(current.start)
            return True

        self._retries.start(f"hand:{index}", attempt, self._local)

    def abandon(self, entry: DownloadEntry) -> None:
        """Tell the Software Loading Manager that a download will not come."""

        async def attempt() -> bool:
            try:
                await self._slm.cancel(entry.download_index)
            except Refused as error:
                return error.code in {"not_found", "conflict"}  # it never knew it, or installs it already
            return True

        self._retries.start(f"abandon:{entry.download_index}", attempt, self._local)

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

    def _keep_telling(
        self, errand: str, entry: DownloadEntry, tell: Callable[[DownloadEntry], Awaitable[None]], policy: RetryPolicy
    ) -> None:
        """Tell Core until its own answer stops the errand, each time as the download stands then."""

        async def attempt() -> bool:
            current = await self._state.download(entry.download_index)
            if current is None or current.identity != entry.identity:
                return True
            await tell(current)
            return False  # only Core's own answer shows that it heard

        self._retries.start(f"{errand}:{entry.download_index}", attempt, policy)


def _stray(identity: DownloadIdentity) -> str:
    return f"stray:{identity.update_id}:{identity.sha256}"
