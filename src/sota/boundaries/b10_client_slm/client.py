"""What the SOTA Client and the Software Loading Manager use to call one another."""

from __future__ import annotations

from sota.boundaries.b7_core_rvi import messages as transfers
from sota.boundaries.b10_client_slm import messages, rows
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import BoundaryClient


class SlmClient(BoundaryClient):
    """The Software Loading Manager, as the SOTA Client sees it."""

    @calls("WL-B10-1")
    async def update_available(self, update: transfers.UpdateAvailable) -> messages.VehicleUpdate:
        """Announce an update; it is accepted at once and done later."""
        return await self.caller.call(rows.UPDATE_AVAILABLE, body=update)

    @calls("WL-B10-4")
    async def start_download(self, start: transfers.StartDownload) -> None:
        """Announce a download."""
        await self.caller.call(rows.START_DOWNLOAD, {"index": str(start.download_index)}, body=start)

    @calls("WL-B10-5")
    async def send_block(self, download_index: int, number: int, content: bytes) -> messages.BlocksReceived:
        """Hand over one block; return the blocks that are on disk there."""
        path = {"index": str(download_index), "n": str(number)}
        return await self.caller.call(rows.SEND_BLOCK, path, body=content)

    @calls("X-B10-3")
    async def finish(self, download_index: int) -> None:
        """Finish a download: the file is complete, its hash and signature are valid."""
        await self.caller.call(rows.FINISH_DOWNLOAD, {"index": str(download_index)})

    @calls("X-B10-2")
    async def cancel(self, download_index: int) -> None:
        """End a download."""
        await self.caller.call(rows.CANCEL_DOWNLOAD, {"index": str(download_index)})

    @calls("WL-B10-7")
    async def packages(self) -> transfers.InstalledSoftware:
        """Ask what the vehicle has installed."""
        return await self.caller.call(rows.GET_PACKAGES)

    @calls("X-B10-4")
    async def update_status(self, update_id: str) -> messages.VehicleUpdate:
        """Ask how an accepted update stands."""
        return await self.caller.call(rows.UPDATE_STATUS, {"update_id": update_id})


class ClientForSlm(BoundaryClient):
    """The SOTA Client, as the Software Loading Manager sees it."""

    @calls("WL-B10-2")
    async def initiate_download(self, wanted: messages.DownloadWanted) -> None:
        """Ask for a download."""
        await self.caller.call(rows.INITIATE_DOWNLOAD, body=wanted)

    @calls("X-B10-1")
    async def cancel(self, download_index: int) -> None:
        """Cancel a download, because the driver declined it or it is no longer wanted."""
        await self.caller.call(rows.CANCEL_WANTED, {"index": str(download_index)})

    @calls("WL-B10-6")
    async def report(self, report: transfers.InstallReport) -> None:
        """Report the result of a download.

        Raises:
            Refused: ``already_complete`` or ``already_failed``: the report is not wanted any more.
        """
        await self.caller.call(rows.INSTALL_REPORT, body=report)

    @calls("X-B10-9")
    async def stage(self, stage: transfers.InstallationStage) -> None:
        """Report what the installer does now."""
        await self.caller.call(rows.STAGE, body=stage)

    @calls("X-B10-40")
    async def local_changes(self, changes: list[transfers.LocalChange]) -> None:
        """Report changes made by others; an empty list asks that Core be told what is installed."""
        await self.caller.call(rows.LOCAL_CHANGES, body=changes)


class HeadUnitClient(BoundaryClient):
    """The Software Loading Manager, as the head unit sees it, with a token of its own."""

    @calls("X-B10-5")
    async def consent(self) -> list[messages.ConsentQuestion]:
        """Ask which updates wait for the driver."""
        return await self.caller.call(rows.CONSENT)

    @calls("X-B10-6")
    async def decide(self, update_id: str, answer: messages.ConsentAnswer) -> None:
        """Send the driver's decision.

        Raises:
            Refused: ``decided``: too late; ``not_deferrable``: it cannot be put off (so far).
        """
        await self.caller.call(rows.GIVE_CONSENT, {"update_id": update_id}, body=answer)
