"""Receives files from Core: a download's ``start``, its blocks and its ``finish``, and what ends it early.

Rules kept here:

* ``start``, blocks and ``finish`` apply to the download whose identity they name;
* stored blocks stay for a repeated ``start`` of the same file. The last ``start`` decides what is done with the file,
  and its signature is checked with the file;
* a download that the vehicle has cancelled takes no blocks.
"""

from __future__ import annotations

from sota.boundaries.b7_core_rvi import outcomes
from sota.boundaries.b7_core_rvi.messages import (
    Acknowledgement,
    Block,
    FinishDownload,
    InstallReport,
    Operation,
    ReportStatus,
    StartDownload,
)
from sota.boundaries.b9_rvi_client.client import SotaClientEdge
from sota.boundaries.interaction import Outcome
from sota.boundaries.values import DownloadIdentity, OutcomeReport, Reason
from sota.client.download_tasks import OPEN_TASKS, DownloadTasks
from sota.client.incoming_transfer import IncomingTransfer
from sota.client.settings import ClientSettings
from sota.client.state import ClientState, DownloadEntry, DownloadState
from sota.client.verification import Verifier
from sota.kit.errors import Conflict, Invalid, NotFound, Refused, SotaError
from sota.kit.files.block_file import BlockWriter, StorageFull, count_blocks, open_block_file
from sota.kit.ranges import Ranges
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.notifier import Notifier

VALIDATION_FAILED, DISK_FULL, GENERAL_ERROR = 3, 15, 19


class DownloadReceiver:
    """The downloads that are being received."""

    def __init__(
        self, settings: ClientSettings, state: ClientState, edge: SotaClientEdge, tasks: DownloadTasks
    ) -> None:
        self._settings, self._state, self._edge = settings, state, edge
        self._verifier = Verifier(settings.keys, allow_unsigned=settings.allow_unsigned)
        self._tasks, self._blocks, self._locks = tasks, tasks.blocks, tasks.locks
        self.changed = Notifier()
        """Notifies when a download has ended."""
        self.transfers: dict[int, IncomingTransfer] = {}
        self._log = get_logger(program="client")

    async def close(self) -> None:
        """Stop; stored blocks stay."""
        while self.transfers:
            await self.transfers.popitem()[1].close()

    async def entry(self, download_index: int) -> DownloadEntry:
        """Return a download.

        Raises:
            NotFound: Core never offered it.
        """
        entry = await self._state.download(download_index)
        if entry is None:
            raise NotFound(f"There is no download {download_index}.")
        return entry

    async def find(self, download_index: int, identity: DownloadIdentity) -> DownloadEntry:
        """Return the download that a message names.

        Raises:
            NotFound: Core never offered it.
            Conflict: the index belongs to another download.
        """
        entry = await self.entry(download_index)
        if entry.identity != identity:
            raise Conflict(f"Download {download_index} is another one: {entry.package.text} of {entry.update_id}.")
        return entry

    def active_transfer(self, block: Block) -> IncomingTransfer | None:
        """Return the transfer that takes a block, if it takes blocks now."""
        transfer = self.transfers.get(block.download_index)
        return transfer if transfer is not None and transfer.identity == block.identity else None

    async def start(self, start: StartDownload) -> None:
        """Prepare for the blocks that Core is about to send; acknowledge those that are here already.

        Raises:
            NotFound, Conflict: see :meth:`find`; or the download is not wanted now.
            Invalid: its numbers are inconsistent.
            Refused: ``verification_failed``: the signature is invalid. Nothing is transferred.
            StorageFull: there is no room. Core gets a report.
        """
        index = start.download_index
        async with self._locks[index]:
            entry = await self.find(index, start.identity)
            if start.block_count != count_blocks(start.size, start.block_size):
                raise Invalid(f"{start.size} bytes are not {start.block_count} blocks of {start.block_size}.")
            if entry.epoch != start.epoch:
                await self._state.adopt(index, start.epoch)
                entry = await self.entry(index)
            self._tasks.stop(index, "ask")
            if entry.state in {DownloadState.VERIFIED, DownloadState.HANDED} and _same_transfer(entry.start, start):
                await self._answer(entry, outcome=None)
            elif entry.state in {DownloadState.REPORTED, DownloadState.DONE}:
                self._tasks.report(entry)
            elif entry.state in {DownloadState.WANTED, DownloadState.RECEIVING} and not entry.cancel_wanted:
                await self._receive(entry, start)
            else:
                raise Conflict(_state_of(entry))

    async def add_block(self, block: Block) -> None:
        """Store and acknowledge one block.

        Raises:
            NotFound, Conflict: see :meth:`find`; or the download was not started, or was cancelled.
            Invalid: there is no such block.
        """
        transfer = self.active_transfer(block)
        if transfer is not None:
            await transfer.add(block.index, block.content)
            return
        entry = await self.find(block.download_index, block.identity)
        if entry.state not in {DownloadState.VERIFIED, DownloadState.HANDED} and not entry.is_installed:
            raise Conflict(_state_of(entry))
        await self._answer(entry, outcome=None)

    async def finish(self, finish: FinishDownload) -> DownloadEntry:
        """Finish a download that is complete, as announced and signed. Core gets the outcome by ``ack``.

        Raises:
            NotFound, Conflict: see :meth:`find`; or the download was not started, or was cancelled.
            Refused: ``incomplete`` or ``verification_failed``.
        """
        index = finish.download_index
        async with self._locks[index]:
            entry = await self.find(index, finish.identity)
            transfer = self.transfers.get(index)
            if entry.state in {DownloadState.VERIFIED, DownloadState.HANDED}:
                await self._answer(entry, outcomes.DOWNLOADED)
                return entry
            if entry.state in {DownloadState.REPORTED, DownloadState.DONE}:
                self._tasks.report(entry)
                if entry.is_installed:
                    return entry
            if transfer is None:
                raise Conflict(_state_of(entry))
            await transfer.writer.settle()  # the last blocks may still be on their way to the disk
            if not transfer.file.complete:
                await transfer.answer(_outcome(outcomes.INCOMPLETE, entry))
                missing = next(transfer.file.received.missing(transfer.file.block_count))
                raise Refused("incomplete", f"Block {missing} of download {index} is missing.")
            await self._verify(entry, transfer)
            await self._answer(entry, outcomes.DOWNLOADED)
            self._tasks.hand_over(entry)
            return entry

    async def resume(self, entry: DownloadEntry) -> None:
        """Resume a partly received file: acknowledge what is here."""
        if entry.start is not None and entry.download_index not in self.transfers:
            (await self._transfer(entry, entry.start)).acknowledge()

    async def stop_receiving(self, download_index: int) -> None:
        """Take no more blocks of a download."""
        transfer = self.transfers.pop(download_index, None)
        if transfer is not None:
            await transfer.close()

    async def clear(self, entry: DownloadEntry) -> None:
        """Remove a download's blocks, and stop its tasks."""
        self._tasks.stop(entry.download_index, *OPEN_TASKS)
        await self.stop_receiving(entry.download_index)
        await self._blocks.remove(entry.start)

    async def conclude(self, entry: DownloadEntry, reason: Reason, code: int, text: str) -> None:
        """End a download as failed here: report it to Core, and cancel it at the Software Loading Manager."""
        self._log.warning("download_failed", download_index=entry.download_index, reason=str(reason), detail=text)
        report = InstallReport(
            vin=self._settings.vin,
            download_index=entry.download_index,
            identity=entry.identity,
            status=ReportStatus.FAILED,
            operations=[Operation(id="download", result_code=code, result_text=text)],
            running_version=await self._tasks.running_version(entry),
            reason=reason,
        )
        if await self._state.keep_report(report):
            await self.clear(entry)
            self._tasks.abandon(entry)
            self._tasks.report(await self.entry(entry.download_index))
        self.changed.notify()

    async def _receive(self, entry: DownloadEntry, start: StartDownload) -> None:
        try:
            self._verifier.check_start(start)
        except Refused as error:
            await self.conclude(entry, Reason.VERIFICATION_FAILED, VALIDATION_FAILED, error.detail)
            raise
        if entry.start is not None and not _same_file(entry.start, start):
            await self.clear(entry)
        try:
            self._blocks.check_room(start)
            transfer = await self._transfer(entry, start)
        except StorageFull as error:
            await self.conclude(entry, Reason.ABORTED, DISK_FULL, error.detail)
            raise
        await self._state.move(start.download_index, DownloadState.RECEIVING, start=start)
        transfer.acknowledge()

    async def _transfer(self, entry: DownloadEntry, start: StartDownload) -> IncomingTransfer:
        index = start.download_index
        known = self.transfers.get(index)
        if known is not None and _same_file(known.start, start):
            known.start, known.epoch = start, entry.epoch  # another action may be wanted for the same file now
            return known
        if known is not None:
            await known.close()
        file = await open_block_file(self._blocks.path(start), start.size, start.block_size, self._state.disk)
        writer = BlockWriter(file, self._state.disk)
        transfer = IncomingTransfer(start, entry.epoch, writer, self._edge, self._settings)
        self.transfers[index] = transfer
        return transfer

    async def _verify(self, entry: DownloadEntry, transfer: IncomingTransfer) -> None:
        file = transfer.file
        sha256 = file.sha256() if file.is_hashed else await self._state.disk.do(file.sha256)
        try:
            self._verifier.check_file(transfer.start, sha256)
        except Refused as error:
            await self.conclude(entry, Reason.VERIFICATION_FAILED, VALIDATION_FAILED, error.detail)
            raise
        await self._state.move(entry.download_index, DownloadState.VERIFIED)
        self._log.info("download_verified", download_index=entry.download_index, package=entry.package.text)
        await self.stop_receiving(entry.download_index)

    async def _answer(self, entry: DownloadEntry, outcome: Outcome | None) -> None:
        """Acknowledge all blocks of a complete download."""
        count = count_blocks(entry.start.size, entry.start.block_size) if entry.start else 0
        acknowledgement = Acknowledgement(
            vin=self._settings.vin,
            download_index=entry.download_index,
            identity=entry.identity,
            epoch=entry.epoch,
            received=Ranges.up_to(count).text(),
            outcome=_outcome(outcome, entry) if outcome else None,
        )
        try:
            await self._edge.acknowledge(acknowledgement)
        except SotaError as error:  # Core asks again if it gets no answer
            self._log.info("acknowledgement_lost", download_index=entry.download_index, detail=error.detail)


def _state_of(entry: DownloadEntry) -> str:
    state = "cancelled" if entry.cancel_wanted else entry.state
    return f"Download {entry.download_index} takes nothing: it is {state}."


def _same_file(one: StartDownload | None, other: StartDownload) -> bool:
    return one is not None and (one.sha256, one.size, one.block_size) == (other.sha256, other.size, other.block_size)


def _same_transfer(one: StartDownload | None, other: StartDownload) -> bool:
    """Compare everything that is signed or decides what is done with the file."""
    return one is not None and _decisive(one) == _decisive(other)


def _decisive(start: StartDownload) -> tuple[object, ...]:
    return start.identity, start.size, start.installer, start.target, start.command, start.allow_downgrade


def _outcome(outcome: Outcome, entry: DownloadEntry) -> OutcomeReport:
    message = outcome.render(package=entry.package.text) or ""
    return OutcomeReport(status=outcome.status or 200, message=message, code=outcome.name)
