"""What the SOTA Client uses to call its RVI node: the node's edge, and through it the services of Core.

The other direction, from node to client, is the node's own: it posts each message to the address that was registered.
"""

from __future__ import annotations

from sota.boundaries.b7_core_rvi import messages
from sota.boundaries.b7_core_rvi.identity_messages import RenewIdentity
from sota.boundaries.binding.decorators import calls
from sota.boundaries.node_services import NodeServices
from sota.boundaries.services import backend_service, vin_of


class SotaClientEdge(NodeServices):
    """The RVI Node Client, as the SOTA Client sees it. Core's services have the standard names."""

    @calls("WL-B9-2", "WL-B10-3")
    async def initiate_download(self, wanted: messages.InitiateDownload) -> None:
        """Ask Core for a download."""
        await self.message(backend_service("start"), wanted)

    @calls("WL-B9-2", "WL-B10-3")
    async def cancel_download(self, cancelled: messages.CancelDownload) -> None:
        """Report to Core that a download is not wanted any more."""
        await self.message(backend_service("cancel"), cancelled)

    @calls("X-B9-1")
    async def acknowledge(self, acknowledgement: messages.Acknowledgement) -> None:
        """Acknowledge the blocks that are on disk."""
        await self.message(backend_service("ack"), acknowledgement)

    @calls("WL-B9-6")
    async def report(self, report: messages.InstallReport) -> None:
        """Report the result of a download to Core."""
        await self.message(backend_service("report"), report)

    @calls("X-B9-13")
    async def stage(self, stage: messages.InstallationStage) -> None:
        """Report the installer's current stage to Core."""
        await self.message(backend_service("stage"), stage)

    @calls("X-B9-12")
    async def connected(self, connected: messages.VehicleConnected) -> None:
        """Report to Core what the vehicle's folder remembers."""
        await self.message(backend_service("connected"), connected)

    @calls("X-B9-10")
    async def installed_software(self, software: messages.InstalledSoftware) -> None:
        """Report everything that the vehicle has installed to Core."""
        await self.message(backend_service("packages"), software)

    @calls("X-B9-30")
    async def renew_identity(self, renewal: RenewIdentity) -> None:
        """Report the vehicle's identity to Core; with a signing request, ask for another one."""
        await self.message(backend_service("renew"), renewal)

    async def vin(self) -> str | None:
        """Return the VIN that the node stands for, None if it is not a vehicle's node."""
        return vin_of(await self.prefix())
