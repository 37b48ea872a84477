"""B10, the SOTA Client's end: calls of the Software Loading Manager; and the node's callbacks."""

from __future__ import annotations

from collections.abc import Awaitable

from sota.boundaries.b7_core_rvi.messages import InstallationStage, InstallReport, LocalChange, ReportStatus
from sota.boundaries.b9_rvi_client.rows import CALLBACK
from sota.boundaries.b10_client_slm.messages import DownloadWanted
from sota.boundaries.binding.call import Call, Reply
from sota.boundaries.binding.decorators import serves
from sota.boundaries.binding.rvi_service import RviServices
from sota.boundaries.parameters import DownloadPath
from sota.client.downloads import Downloads
from sota.client.software import Software
from sota.kit.http.json_server import Answered
from sota.kit.http.prefer_header import wait_s


class LoadingManagerApi:
    """Calls of the Software Loading Manager."""

    def __init__(self, downloads: Downloads, software: Software) -> None:
        self._downloads, self._software = downloads, software

    @serves("WL-B10-2")
    async def initiate_download(self, call: Call[None, None, DownloadWanted]) -> Reply:
        """Start a download: 202 at once, or 200 if the caller waits and it is installed in time."""
        entry = await self._downloads.initiate(call.body)
        done = await self._downloads.installed(entry.download_index, wait_s(call.headers))
        return Reply("complete" if done else "accepted", values={"package": entry.package.text})

    @serves("X-B10-1")
    async def cancel(self, call: Call[DownloadPath, None, None]) -> Reply:
        """Cancel a download at Core."""
        await self._downloads.cancel(call.path.index)
        return Reply("cancelled")

    @serves("WL-B10-6")
    async def report(self, call: Call[None, None, InstallReport]) -> Reply:
        """Store a report and send it to Core."""
        await self._downloads.keep_report(call.body)
        installed = call.body.status is ReportStatus.INSTALLED
        return Reply("installed" if installed else "failure_recorded", values={"package": call.body.package.text})

    @serves("X-B10-9")
    async def stage(self, call: Call[None, None, InstallationStage]) -> Reply:
        """Report the installer's current stage to Core."""
        await self._downloads.show_stage(call.body)
        return Reply("received")

    @serves("X-B10-40")
    async def local_changes(self, call: Call[None, None, list[LocalChange]]) -> Reply:
        """Store local changes, and report them to Core."""
        await self._software.take_changes(call.body)
        return Reply("received")


class CallbackApi:
    """The address that was registered at the node; its secret keeps other callers out."""

    def __init__(self, services: RviServices, secret: str) -> None:
        self._services, self._secret = services, secret

    @serves("X-B9-11")
    def answer(self, target: bytes, content: bytes | bytearray) -> Answered | Awaitable[Answered]:
        """Answer a message of the node."""
        return self._services.answer_callback(CALLBACK, self._secret, target, content)
