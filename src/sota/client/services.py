"""B9, the SOTA Client's end: what the node delivers from Core.

The answer goes to the node; what Core must know travels to it as data, in ``ack`` and ``report``
(docs/specification.md, ruling 12).
"""

from __future__ import annotations

from collections.abc import Awaitable

from sota.boundaries.b7_core_rvi.messages import (
    AbortDownload,
    Block,
    FinishDownload,
    Reported,
    StartDownload,
    UpdateAvailable,
    Welcome,
)
from sota.boundaries.binding.call import Reply
from sota.boundaries.binding.decorators import serves, serves_service
from sota.boundaries.binding.rvi_service import Message
from sota.boundaries.services import BACKEND_SERVICES, short_name
from sota.client.connection_report import ConnectionReport
from sota.client.downloads import Downloads
from sota.client.software import Software

BEGUN = 202
RECEIVED = Reply("received")


class VehicleServicesApi:
    """The vehicle's services."""

    def __init__(self, downloads: Downloads, software: Software, connection_report: ConnectionReport) -> None:
        self._downloads, self._receiver = downloads, downloads.receiver
        self._software = software
        self._connection_report = connection_report

    @serves("WL-B9-1")
    async def notify(self, message: Message[UpdateAvailable]) -> Reply:
        """Take an update that Core offers. The answer knows only earlier ends; later ones are in reports."""
        update = message.body
        if await self._downloads.notify(update):
            return Reply("complete", values={"package": update.downloads[-1].package.text})
        return Reply("accepted", status=BEGUN)

    @serves_service("WL-B9-3", "start")
    async def start(self, message: Message[StartDownload]) -> Reply:
        """Prepare for a download's blocks."""
        await self._downloads.start(message.body)
        return Reply("accepted", status=BEGUN)

    @serves_service("WL-B9-3", "abort")
    async def abort(self, message: Message[AbortDownload]) -> Reply:
        """End a download and delete its blocks."""
        await self._downloads.abort(message.body)
        return Reply("cancelled", status=200)

    @serves("WL-B9-4")
    def chunk(self, message: Message[Block]) -> Reply | Awaitable[Reply]:
        """Take a block; a repeated one is discarded, and acknowledged again.

        The node ignores the answer to a block, so the answer does not wait for the disk; the acknowledgement to Core
        does. Blocks that arrive while the disk works are synced and acknowledged together: ten blocks of 100 kB cost
        2 ms less.
        """
        block = message.body
        transfer = self._receiver.active_transfer(block)
        if transfer is not None and transfer.take(block.index, block.content):
            return RECEIVED
        return self._store(block)

    async def _store(self, block: Block) -> Reply:
        await self._receiver.add_block(block)
        return RECEIVED

    @serves("WL-B9-5")
    async def finish(self, message: Message[FinishDownload]) -> Reply:
        """Finish a download, if it is complete and correct."""
        entry = await self._receiver.finish(message.body)
        return Reply("downloaded", values={"package": entry.package.text})

    @serves("X-B9-2")
    async def reported(self, message: Message[Reported]) -> Reply:
        """Stop sending a report."""
        body = message.body
        if body.download_index is not None:
            await self._downloads.reported(body.download_index, body.identity)
        if body.sequence is not None:
            await self._software.confirmed(body.sequence)
        return Reply("received")

    @serves("X-B9-8")
    async def core_available(self, services: list[str]) -> None:
        """Retry at once what waited for Core."""
        if any(short_name(name) in BACKEND_SERVICES for name in services):
            self._connection_report.on_connected()
            await self._downloads.on_connected()
            await self._software.on_connected()

    @serves("X-B9-9")
    async def core_unavailable(self, services: list[str]) -> None:
        """Do nothing: the node stores what is sent meanwhile, and the client retries it."""

    @serves("X-B9-14")
    async def welcome(self, message: Message[Welcome]) -> Reply:
        """Store the vehicle's epoch."""
        await self._connection_report.welcome(message.body.epoch)
        return Reply("received")

    @serves("WL-B9-7")
    async def getpackages(self, message: Message[None]) -> Reply:
        """Report everything that is installed to Core."""
        return Reply("listed", {"packages": [package.text for package in await self._software.answer()]})
