"""What happens to a download in the vehicle, whether Core or the Software Loading Manager asks for it.

Every change of state is on disk before it is answered, and everything may be said twice. What has to be tried again
until it works is an errand, and the errands begin anew from what is on disk when the program starts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict

from sota.boundaries.b7_core_rvi import outcomes
from sota.boundaries.b9_rvi_client.client import SotaClientEdge
from sota.boundaries.b9_rvi_client.messages import (
    Acknowledgement,
    InstallReport,
    Operation,
    ReportStatus,
    StartDownload,
    UpdateAvailable,
)
from sota.boundaries.b10_client_slm.client import SlmClient
from sota.boundaries.interaction import Outcome
from sota.boundaries.values import OutcomeReport, Reason
from sota.client.duties import Duties
from sota.client.settings import ClientSettings
from sota.client.shelf import Shelf
from sota.client.state import ClientState, DownloadEntry, State
from sota.client.transfer import Transfer
from sota.client.verification import Verifier
from sota.kit.bell import Bell
from sota.kit.block_file import BlockWriter, StorageFull, count_blocks, open_block_file
from sota.kit.errors import Conflict, Invalid, NotFound, Refused, SotaError
from sota.kit.logging import get_logger
from sota.kit.ranges import Ranges

VALIDATION_FAILED, DISK_FULL, GENERAL_ERROR = 3, 15, 19
IDLE_CHECK_S = 30.0
ON_DISK = {State.RECEIVING, State.VERIFIED}


class Downloads:
    """All downloads of the vehicle."""

    def __init__(
        self, settings: ClientSettings, state: ClientState, edge: SotaClientEdge, slm: SlmClient, verifier: Verifier
    ) -> None:
        self._settings, self._state, self._disk = settings, state, state.disk
        self._edge = edge
        self._verifier = verifier
        self._shelf = Shelf(settings.data.resolve() / "blocks", settings.quota_bytes, state.disk)
        self._transfers: dict[int, Transfer] = {}
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._duties = Duties(settings, state, edge, slm, self._shelf, self._locks)
        self._log = get_logger(program="client")
        self.changed = Bell()
        """Rings when a download came to its end."""

    async def open(self) -> None:
        """Take up what was under way."""
        self._shelf.prepare()
        await self._state.forget_old()
        for update in await self._state.not_accepted():
            self._duties.offer(update)
        under_way = await self._state.under_way()
        self._shelf.clear_all_but({each.download_index for each in under_way if each.state in ON_DISK})
        for entry in under_way:
            await self._take_up(entry)

    async def close(self) -> None:
        """End; everything that matters is on disk."""
        await self._duties.close()
        await self._let_go()

    async def begin_again(self) -> None:
        """Let go of what was under way: the state was damaged and is empty now. Blocks on disk are found again."""
        self._duties.begin_again()
        await self._let_go()

    def core_is_there(self) -> None:
        """Core can be reached again: try at once what waited for it."""
        self._duties.hurry()
        for transfer in self._transfers.values():
            transfer.hurry()

    async def watch_idle(self) -> None:
        """Give up downloads for which nothing comes any more, until cancelled."""
        pause = min(IDLE_CHECK_S, self._settings.idle_timeout_s / 4)
        while True:
            await asyncio.sleep(pause)
            for index, transfer in list(self._transfers.items()):
                if transfer.idle_s > self._settings.idle_timeout_s:
                    text = f"No block came for {self._settings.idle_timeout_s:g} s."
                    async with self._locks[index]:
                        with contextlib.suppress(SotaError):  # the disk is full, or its state was lost: looked at again
                            await self._conclude(await self._entry(index), Reason.ABORTED, GENERAL_ERROR, text)

    async def notify(self, update: UpdateAvailable) -> None:
        """Take an update that Core offers, and tell the Software Loading Manager of it."""
        if await self._state.offer(update):
            self._duties.offer(update)
        for download in update.downloads:
            async with self._locks[download.download_index]:
                entry = await self._entry(download.download_index)
                await self._take_up(entry)
                if entry.state is State.DONE:  # Core offers what it should know to be done: its memory was lost
                    self._duties.report(entry)
            if download.download_index in self._transfers:
                self._transfers[download.download_index].hurry()
        self._duties.hurry()

    async def initiate(self, download_index: int) -> DownloadEntry:
        """Have a download begun: the Software Loading Manager wants it.

        Raises:
            NotFound: Core never offered it.
            Refused: ``cancelled``.
        """
        async with self._locks[download_index]:
            entry = await self._entry(download_index)
            if entry.state in {State.ABORTED, State.REPORTED, State.DONE} or entry.cancel_wanted:
                raise Refused("cancelled", f"Download {download_index} was cancelled.")
            if entry.state is State.OFFERED:
                await self._state.move(download_index, State.WANTED)
                entry = await self._entry(download_index)
            await self._take_up(entry)
            return entry

    async def start(self, start: StartDownload) -> None:
        """Get ready for the blocks that Core is about to send; tell it which are here already.

        Raises:
            NotFound: the download was never offered.
            Conflict: it is not wanted (now), or another file was received as this one.
            Invalid: its numbers do not fit together.
            Refused: ``verification_failed``: the signature does not hold. Nothing is transferred.
            StorageFull: there is no room. Core is told by a report.
        """
        index = start.download_index
        async with self._locks[index]:
            entry = await self._entry(index)
            _check(start, entry)
            self._duties.started(index)
            if entry.state in {State.VERIFIED, State.HANDED} and _same_file(entry.start, start):
                await self._answer(entry, outcome=None)
            elif entry.state in {State.REPORTED, State.DONE}:
                self._duties.report(entry)
            elif entry.state in {State.WANTED, State.RECEIVING}:
                await self._receive(entry, start)
            else:
                raise Conflict(f"Download {index} cannot be started: it is {entry.state}.")

    def arriving(self, download_index: int) -> Transfer | None:
        """Give the transfer of a download whose blocks may come now."""
        return self._transfers.get(download_index)

    async def add_block(self, download_index: int, index: int, content: bytes) -> bool:
        """Store one block; says whether it is new. Its acknowledgement is on its way when this returns.

        Raises:
            NotFound: the download was never offered.
            Conflict: it was not started.
            Invalid: there is no such block.
        """
        transfer = self._transfers.get(download_index)
        if transfer is not None:
            return await transfer.add(index, content)
        entry = await self._entry(download_index)
        if entry.state not in {State.VERIFIED, State.HANDED, State.REPORTED, State.DONE}:
            raise Conflict(f"Download {download_index} was not started: it is {entry.state}.")
        await self._answer(entry, outcome=None)
        return False

    async def finish(self, download_index: int) -> DownloadEntry:
        """Take a download as finished: whole, and what was announced and signed. Core is told the outcome by ``ack``.

        Raises:
            NotFound: the download was never offered.
            Conflict: it was not started.
            Refused: ``incomplete`` or ``verification_failed``.
        """
        async with self._locks[download_index]:
            entry = await self._entry(download_index)
            transfer = self._transfers.get(download_index)
            if entry.state in {State.VERIFIED, State.HANDED}:
                await self._answer(entry, outcomes.DOWNLOADED)
                return entry
            if entry.state in {State.REPORTED, State.DONE}:
                self._duties.report(entry)
                return entry
            if transfer is None:
                raise Conflict(f"Download {download_index} was not started: it is {entry.state}.")
            if not transfer.file.complete:
                await transfer.answer(_outcome(outcomes.INCOMPLETE, entry))
                missing = next(transfer.file.received.missing(transfer.file.block_count))
                raise Refused("incomplete", f"Block {missing} of download {download_index} is missing.")
            await self._verify(entry, transfer)
            await self._answer(entry, outcomes.DOWNLOADED)
            self._duties.hand_over(entry)
            return entry

    async def abort(self, download_index: int) -> None:
        """End a download, since Core gave it up. An unknown one is passed over in silence (DEV-62)."""
        async with self._locks[download_index]:
            entry = await self._state.download(download_index)
            if entry is None or entry.state in {State.REPORTED, State.DONE}:
                return
            await self._state.move(download_index, State.ABORTED)
            await self._clear(entry)
            self._duties.abandon(entry)
        self.changed.ring()

    async def cancel(self, download_index: int) -> None:
        """Tell Core that the vehicle does not want a download any more; Core answers by aborting it.

        Raises:
            NotFound: Core never offered it.
        """
        entry = await self._entry(download_index)
        if entry.state in {State.REPORTED, State.DONE, State.ABORTED}:
            return
        await self._state.want_cancel(download_index)
        self._duties.cancel(entry)

    async def keep_report(self, report: InstallReport) -> None:
        """Keep what became of a download and tell Core until it has heard it.

        Raises:
            NotFound: Core never offered the download.
            Invalid: it is the report of another vehicle or package.
            Refused: ``already_complete`` or ``already_failed``: there is a report already.
        """
        entry = await self._entry(report.download_index)
        if report.vin != self._settings.vin or report.package != entry.package:
            raise Invalid(f"Download {report.download_index} is {entry.package.text} of {self._settings.vin}.")
        async with self._locks[report.download_index]:
            known = await self._state.keep_report(report)
            if known is None:
                await self._clear(entry)
                self._duties.report(await self._entry(report.download_index))
        self.changed.ring()
        if known is not None:
            done = known.status is ReportStatus.INSTALLED
            refused = Refused("already_complete" if done else "already_failed", "There is a report of it already.")
            refused.__dict__["values"] = {"package": entry.package.text}
            raise refused

    async def reported(self, download_index: int) -> None:
        """Stop sending a report: Core has it, whatever it thinks of it."""
        entry = await self._state.download(download_index)
        if entry is None or entry.report is None:
            return
        self._duties.reported(download_index)
        await self._state.move(download_index, State.DONE)
        self._locks.pop(download_index, None)

    async def installed(self, download_index: int, timeout_s: float) -> bool:
        """Say whether a download was reported installed, waiting so long for it."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            heard = self.changed.rings
            entry = await self._entry(download_index)
            left = deadline - asyncio.get_running_loop().time()
            if entry.report is not None or left <= 0:
                return entry.report is not None and entry.report.status is ReportStatus.INSTALLED
            await self.changed.wait(heard, left)

    async def _let_go(self) -> None:
        while self._transfers:
            await self._transfers.popitem()[1].close()

    async def _entry(self, download_index: int) -> DownloadEntry:
        entry = await self._state.download(download_index)
        if entry is None:
            raise NotFound(f"There is no download {download_index}.")
        return entry

    async def _take_up(self, entry: DownloadEntry) -> None:
        """Go on with a download from the state it is in."""
        if entry.cancel_wanted and entry.state in {State.OFFERED, State.WANTED, State.RECEIVING}:
            self._duties.cancel(entry)
        elif entry.state is State.WANTED:
            self._duties.ask(entry)
        elif entry.state is State.RECEIVING and entry.start is not None:
            if entry.download_index not in self._transfers:
                (await self._transfer(entry, entry.start)).acknowledge()
        elif entry.state is State.VERIFIED:
            self._duties.hand_over(entry)
        elif entry.state is State.ABORTED:
            self._duties.abandon(entry)
        elif entry.state is State.REPORTED:
            self._duties.report(entry)

    async def _receive(self, entry: DownloadEntry, start: StartDownload) -> None:
        try:
            self._verifier.check_start(start)
        except Refused as error:
            await self._conclude(entry, Reason.VERIFICATION_FAILED, VALIDATION_FAILED, error.detail)
            raise
        if entry.start is not None and not _same_file(entry.start, start):
            await self._clear(entry)
        try:
            self._shelf.check_room(start)
            transfer = await self._transfer(entry, start)
        except StorageFull as error:
            await self._conclude(entry, Reason.ABORTED, DISK_FULL, error.detail)
            raise
        await self._state.move(start.download_index, State.RECEIVING, start=start)
        transfer.acknowledge()

    async def _transfer(self, entry: DownloadEntry, start: StartDownload) -> Transfer:
        index = start.download_index
        known = self._transfers.get(index)
        if known is not None and _same_file(known.start, start):
            return known
        if known is not None:
            await known.close()
        file = await open_block_file(self._shelf.path(start), start.size, start.block_size, self._disk)
        transfer = self._transfers[index] = Transfer(
            start,
            entry.services,
            BlockWriter(file, self._disk),
            self._edge,
            self._settings.vin,
            resume_s=self._settings.resume_s,
            resume_attempts=self._settings.resume_attempts,
        )
        return transfer

    async def _verify(self, entry: DownloadEntry, transfer: Transfer) -> None:
        await transfer.settle()
        file = transfer.file
        sha256 = file.sha256() if file.is_hashed else await self._disk.do(file.sha256)
        try:
            self._verifier.check_file(transfer.start, sha256)
        except Refused as error:
            await self._conclude(entry, Reason.VERIFICATION_FAILED, VALIDATION_FAILED, error.detail)
            raise
        await self._state.move(entry.download_index, State.VERIFIED)
        self._log.info("download_verified", download_index=entry.download_index, package=entry.package.text)
        await transfer.close()
        del self._transfers[entry.download_index]

    async def _conclude(self, entry: DownloadEntry, reason: Reason, code: int, text: str) -> None:
        """End a download as failed by our own judgement: report it to Core, and tell the Software Loading Manager."""
        self._log.warning("download_failed", download_index=entry.download_index, reason=str(reason), detail=text)
        report = InstallReport(
            vin=self._settings.vin,
            download_index=entry.download_index,
            package=entry.package,
            status=ReportStatus.FAILED,
            operations=[Operation(id="download", result_code=code, result_text=text)],
            running_version=await self._duties.running_version(entry),
            reason=reason,
        )
        if await self._state.keep_report(report) is None:
            await self._clear(entry)
            self._duties.abandon(entry)
            self._duties.report(await self._entry(entry.download_index))
        self.changed.ring()

    async def _answer(self, entry: DownloadEntry, outcome: Outcome | None) -> None:
        """Acknowledge all blocks of a download that is whole."""
        count = count_blocks(entry.start.size, entry.start.block_size) if entry.start else 0
        acknowledgement = Acknowledgement(
            vin=self._settings.vin,
            download_index=entry.download_index,
            received=Ranges.up_to(count).text(),
            outcome=_outcome(outcome, entry) if outcome else None,
        )
        try:
            await self._edge.acknowledge(acknowledgement, entry.services)
        except SotaError as error:  # Core asks again when it hears nothing
            self._log.info("acknowledgement_lost", download_index=entry.download_index, detail=error.detail)

    async def _clear(self, entry: DownloadEntry) -> None:
        """Remove the blocks of a download, and what was being tried for it."""
        self._duties.drop(entry.download_index)
        transfer = self._transfers.pop(entry.download_index, None)
        if transfer is not None:
            await transfer.close()
        await self._shelf.remove(entry.start)


def _check(start: StartDownload, entry: DownloadEntry) -> None:
    if start.package != entry.package:
        raise Invalid(f"Download {start.download_index} is {entry.package.text}, not {start.package.text}.")
    if start.block_count != count_blocks(start.size, start.block_size):
        raise Invalid(f"{start.size} bytes are not {start.block_count} blocks of {start.block_size}.")


def _same_file(one: StartDownload | None, other: StartDownload) -> bool:
    return one is not None and (one.sha256, one.size, one.block_size) == (other.sha256, other.size, other.block_size)


def _outcome(outcome: Outcome, entry: DownloadEntry) -> OutcomeReport:
    return OutcomeReport(status=outcome.status or 200, message=outcome.say(package=entry.package.text) or "")
