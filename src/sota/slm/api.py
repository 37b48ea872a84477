"""B10, the Software Loading Manager's end: the calls of the SOTA Client."""

from __future__ import annotations

import msgspec

from sota.boundaries.b7_core_rvi.messages import InstalledSoftware, StartDownload, UpdateAvailable
from sota.boundaries.b10_client_slm.messages import BlocksReceived
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.parameters import BlockPath, DownloadPath, UpdatePath
from sota.boundaries.values import UpdateStatus
from sota.kit.errors import Invalid, Refused
from sota.kit.files.block_file import StorageFull
from sota.kit.http.prefer_header import wait_s
from sota.slm.firmware import read_firmware
from sota.slm.incoming_files import IncomingFiles
from sota.slm.installers import Capability, Installer, InstallerFailed
from sota.slm.journal import Journal
from sota.slm.settings import SlmSettings
from sota.slm.update_queue import UpdateQueue

RANGES_LIMIT = 65_536


class UpdatesApi:
    """Updates, and their files that the SOTA Client sends."""

    def __init__(self, update_queue: UpdateQueue, incoming: IncomingFiles) -> None:
        self._update_queue = update_queue
        self._incoming = incoming

    @serves("WL-B10-1")
    async def update_available(self, call: Call[None, None, UpdateAvailable]) -> Reply:
        """Accept an update: 202 at once, or 200 if the caller waits and it is installed in time."""
        update = call.body
        await self._update_queue.accept(update)
        found = await self._update_queue.wait_for_end(update.update_id, wait_s(call.headers))
        done = found.status is UpdateStatus.INSTALLED
        return Reply(
            "complete" if done else "accepted",
            found,
            {"location": f"/v1/updates/{update.update_id}"},
            values={"package": update.downloads[-1].package.text},
        )

    @serves("X-B10-4")
    async def update_status(self, call: Call[UpdatePath, None, None]) -> Reply:
        """Return the status of an accepted update."""
        return Reply("found", await self._update_queue.status(call.path.update_id))

    @serves("WL-B10-4")
    async def start_download(self, call: Call[DownloadPath, None, StartDownload]) -> Reply:
        """Prepare for a file; the answer is that of the update."""
        if call.path.index != call.body.download_index:
            raise Invalid("The path names another download than the body.")
        try:
            entry = await self._incoming.start(call.body)
        except StorageFull as error:
            await self._update_queue.refuse(call.body.download_index, error.detail)
            raise
        found = await self._update_queue.wait_for_end(entry.update_id, wait_s(call.headers))
        progress = next(each for each in found.downloads if each.download_index == entry.download_index)
        return Reply(
            "complete" if progress.status is UpdateStatus.INSTALLED else "accepted",
            headers={"location": f"/v1/updates/{entry.update_id}"},
            values={"package": entry.package.text},
        )

    @serves("WL-B10-5")
    async def send_block(self, call: Call[BlockPath, None, bytes]) -> Reply:
        """Store a block, or discard a duplicate; the answer lists the stored blocks."""
        index = call.path.index
        received = await self._incoming.add_block(index, call.path.n, call.body)
        return Reply("received", BlocksReceived(download_index=index, received=received.text(RANGES_LIMIT)))

    @serves("X-B10-3")
    async def finish(self, call: Call[DownloadPath, None, None]) -> Reply:
        """Accept a file as complete."""
        entry = await self._incoming.finish(call.path.index)
        return Reply("downloaded", values={"package": entry.package.text})

    @serves("X-B10-2")
    async def cancel(self, call: Call[DownloadPath, None, None]) -> Reply:
        """End a download that is not being installed."""
        await self._update_queue.cancel(call.path.index)
        return Reply("cancelled")


class PackagesApi:
    """The installed software."""

    def __init__(self, settings: SlmSettings, installers: list[Installer], journal: Journal) -> None:
        self._settings, self._installers, self._journal = settings, installers, journal

    @serves("WL-B10-7")
    async def packages(self, call: Call[None, None, None]) -> Reply:
        """List the packages of all installers, the update images, and the firmware of control units."""
        try:
            packages = [
                package
                for installer in self._installers
                if Capability.LIST in installer.capabilities
                for package in await installer.list()
            ]
            firmware = await read_firmware(self._settings.firmware_command)
        except (InstallerFailed, msgspec.ValidationError) as error:
            raise Refused("failed", str(error)) from None
        packages += await self._journal.images()
        return Reply("listed", InstalledSoftware(vin=self._settings.vin, packages=packages, firmware=firmware))
