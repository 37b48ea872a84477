"""The work for each download that is retried until Core or the Software Loading Manager confirms it.

=========  ===============================================  ==========================================
task       what is tried                                    what ends it
=========  ===============================================  ==========================================
offer      offer the update (B10-1)                         202
ask        ask Core for the download (B9-2)                 Core's ``start``
cancel     cancel the download at Core (B9-2)               Core's ``abort``
hand       hand the verified file over (B10-4, -5)          200 to the finish
abandon    cancel at the Software Loading Manager           200, or that there is nothing to cancel
report     report the result to Core (B9-6)                 Core's ``reported``
stage      report the installer's stage to Core             the node has accepted it, or the next stage
=========  ===============================================  ==========================================
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from sota.boundaries.b7_core_rvi.messages import (
    CancelDownload,
    InitiateDownload,
    InstallationStage,
    InstallReport,
    StartDownload,
    UpdateAvailable,
)
from sota.boundaries.b9_rvi_client.client import SotaClientEdge
from sota.boundaries.b10_client_slm.client import SlmClient
from sota.boundaries.values import Command, DownloadIdentity, Reason, Stage
from sota.client.block_store import BlockStore
from sota.client.retry_tasks import RetryPolicy, RetryTasks
from sota.client.settings import ClientSettings
from sota.client.state import ClientState, DownloadEntry, DownloadState
from sota.kit.errors import Refused, SotaError
from sota.kit.files.block_file import count_blocks
from sota.kit.ranges import Ranges

BLOCK_BYTES = 1 << 20
CANCEL_ATTEMPTS = 10
OPEN_TASKS = ("ask", "cancel", "hand", "stage")
"""Tasks that end with the download."""
FINAL_TASKS = ("abandon", "report")
"""Tasks that begin with its end."""
Message = TypeVar("Message")


class DownloadTasks:
    """Starts and stops the retry tasks of downloads; ``locks`` are those of the downloads, ``blocks`` their files."""

    def __init__(self, settings: ClientSettings, state: ClientState, edge: SotaClientEdge, slm: SlmClient) -> None:
        self._vin, self._state, self._edge, self._slm = settings.vin, state, edge, slm
        self.blocks = BlockStore(settings.data.resolve() / "blocks", settings.quota_bytes, state.disk)
        self.locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.retries = RetryTasks()
        self._to_core = RetryPolicy(settings.retry_s, settings.retry_max_s)
        self._cancelling = RetryPolicy(settings.retry_s, settings.retry_max_s, CANCEL_ATTEMPTS)
        self._local = RetryPolicy(settings.local_retry_s, settings.local_retry_max_s)

    def stop(self, download_index: int, *tasks: str) -> None:
        """Stop tasks of a download."""
        for task in tasks:
            self.retries.stop(f"{task}:{download_index}")

    def offer(self, update: UpdateAvailable) -> None:
        """Offer an update to the Software Loading Manager."""

        async def attempt() -> bool:
            await self._slm.update_available(update)
            await self._state.mark_accepted(update.update_id)
            return True

        self.retries.start(f"offer:{update.update_id}", attempt, self._local)

    def ask(self, entry: DownloadEntry) -> None:
        """Ask Core for a download."""
        self._send_repeatedly("ask", entry, InitiateDownload, self._edge.initiate_download, self._to_core)

    def cancel(self, entry: DownloadEntry) -> None:
        """Cancel a download at Core."""
        self.stop(entry.download_index, "ask")
        message = partial(CancelDownload, reason=Reason.ABORTED)
        self._send_repeatedly("cancel", entry, message, self._edge.cancel_download, self._cancelling)

    def report(self, entry: DownloadEntry) -> None:
        """Report the result of a download to Core."""

        async def attempt() -> bool:
            current = await self._state.find(entry.download_index, entry.identity) or entry
            if entry.report is None or current.report is None:
                return True  # the download started again
            await self._edge.report(msgspec.structs.replace(entry.report, epoch=current.epoch))
            return False  # only Core's own answer confirms it

        self.retries.start(f"report:{entry.download_index}", attempt, self._to_core)

    def report_stray(self, report: InstallReport) -> None:
        """Report the result of a download that is unknown here; Core records it for no other download."""

        async def attempt() -> bool:
            await self._edge.report(report)
            return False

        self.retries.start(_stray(report.identity), attempt, self._to_core)

    def stop_stray(self, identity: DownloadIdentity) -> None:
        """Stop such a report: Core has it."""
        self.retries.stop(_stray(identity))

    def stage(self, entry: DownloadEntry, stage: Stage) -> None:
        """Report to Core what the installer does with a download now, instead of the stage before."""
        report = InstallationStage(
            vin=self._vin,
            download_index=entry.download_index,
            identity=entry.identity,
            epoch=entry.epoch,
            stage=stage,
        )

        async def attempt() -> bool:
            await self._edge.stage(report)
            return True

        self.stop(entry.download_index, "stage")
        self.retries.start(f"stage:{entry.download_index}", attempt, self._to_core)

    def hand_over(self, entry: DownloadEntry) -> None:
        """Hand a verified file over to the Software Loading Manager."""
        index = entry.download_index

        async def attempt() -> bool:
            current = await self._state.download(index)
            if current is None or current.start is None or current.state is not DownloadState.VERIFIED:
                return True
            try:
                await self._send_file(current.start)
            except Refused as error:
                return await self._not_taken(current, error)
            async with self.locks[index]:
                current = await self._state.download(index)
                if current is not None and current.state is DownloadState.VERIFIED:
                    await self._state.move(index, DownloadState.HANDED)
                    await self.blocks.remove(current.start)
            return True

        self.retries.start(f"hand:{index}", attempt, self._local)

    def abandon(self, entry: DownloadEntry) -> None:
        """Cancel a download at the Software Loading Manager."""

        async def attempt() -> bool:
            try:
                await self._slm.cancel(entry.download_index)
            except Refused as error:
                return error.code in {"not_found", "conflict"}  # it never knew the download, or installs it already
            return True

        self.retries.start(f"abandon:{entry.download_index}", attempt, self._local)

    async def _send_file(self, start: StartDownload) -> None:
        """Hand a file over; when this returns the Software Loading Manager has it on its own disk.

        The answer to each block names the blocks that it has, so after an interruption only the missing ones are sent.
        Blocks are larger here than over the network: nothing is lost between two programs of one vehicle.

        Raises:
            Refused: it does not want the download, or no longer.
            Unavailable: it does not answer.
        """
        file, size = self.blocks.path(start), 0 if start.command is Command.REMOVE else start.size
        count = count_blocks(size, BLOCK_BYTES)
        await self._slm.start_download(
            msgspec.structs.replace(start, block_size=BLOCK_BYTES, block_count=count, size=size)
        )
        received = Ranges()
        while (index := next(received.missing(count), None)) is not None:
            async with self._state.disk.large:
                answer = await self._slm.send_block(start.download_index, index, _read(file, index, size))
            received = Ranges.parse(answer.received)
        await self._slm.finish(start.download_index)

    async def running_version(self, entry: DownloadEntry) -> str | UnsetType | None:
        """Return which version of a download's package is installed."""
        try:
            software = await self._slm.packages()
        except SotaError:
            return UNSET
        return next((each.version for each in software.packages if each.name == entry.package.name), None)

    async def _not_taken(self, entry: DownloadEntry, error: Refused) -> bool:
        """Report whether the Software Loading Manager's refusal is final."""
        if error.code == "not_found":  # it has lost its journal: offer it the update first
            await self._state.mark_accepted(entry.update_id, accepted=False)
            update = await self._state.update(entry.update_id)
            if update is not None:
                self.offer(update)
            return False
        if error.code in {"conflict", "storage_full"}:  # it has ended the download, and reports that
            return True
        raise error

    def _send_repeatedly(
        self,
        task: str,
        entry: DownloadEntry,
        message: Callable[..., Message],
        send: Callable[[Message], Awaitable[None]],
        policy: RetryPolicy,
    ) -> None:
        """Send a message to Core, with the download's current epoch, until Core's own answer stops the task."""
        index, identity = entry.download_index, entry.identity

        async def attempt() -> bool:
            current = await self._state.find(index, identity)
            if current is None:
                return True
            await send(message(vin=self._vin, download_index=index, identity=identity, epoch=current.epoch))
            return False  # only Core's own answer confirms it

        self.retries.start(f"{task}:{index}", attempt, policy)


def _stray(identity: DownloadIdentity) -> str:
    return f"stray:{identity.update_id}:{identity.sha256}"


def _read(file: Path, index: int, size: int) -> bytes:
    """Read one block. After the package the file has a map of its blocks (kit/files/block_file.py)."""
    offset = (index - 1) * BLOCK_BYTES
    with file.open("rb", buffering=0) as content:
        content.seek(offset)
        return content.read(min(BLOCK_BYTES, size - offset))
