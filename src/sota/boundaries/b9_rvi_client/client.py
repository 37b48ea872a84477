"""What the SOTA Client uses to call its RVI node: the node's edge, and through it the services of Core.

The other direction, from node to client, is the node's own: it posts each message to the address that was registered.
"""

from __future__ import annotations

from sota.boundaries.b7_core_rvi.identity_messages import RenewIdentity
from sota.boundaries.b9_rvi_client.messages import (
    Acknowledgement,
    CancelDownload,
    InitiateDownload,
    InstallationStage,
    InstalledSoftware,
    InstallReport,
    VehicleConnected,
)
from sota.boundaries.binding.decorators import calls
from sota.boundaries.edge import EdgeClient
from sota.boundaries.services import backend_service, local_name, vin_of
from sota.boundaries.values import Message
from sota.kit.http.client import HttpClient
from sota.kit.runtime.clock import Clock


class SotaClientEdge:
    """The RVI Node Client, as the SOTA Client sees it. Core's services have the standard names."""

    def __init__(self, client: HttpClient, clock: Clock | None = None) -> None:
        self._edge = EdgeClient(client, clock)

    @calls("WL-B9-2", "WL-B10-3")
    async def initiate_download(self, wanted: InitiateDownload) -> None:
        """Ask Core for a download."""
        await self.message(backend_service("start"), wanted)

    @calls("WL-B9-2", "WL-B10-3")
    async def cancel_download(self, cancelled: CancelDownload) -> None:
        """Report to Core that a download is not wanted any more."""
        await self.message(backend_service("cancel"), cancelled)

    @calls("X-B9-1")
    async def acknowledge(self, acknowledgement: Acknowledgement) -> None:
        """Acknowledge the blocks that are on disk."""
        await self.message(backend_service("ack"), acknowledgement)

    @calls("WL-B9-6")
    async def report(self, report: InstallReport) -> None:
        """Report the result of a download to Core."""
        await self.message(backend_service("report"), report)

    @calls("X-B9-13")
    async def stage(self, stage: InstallationStage) -> None:
        """Report the installer's current stage to Core."""
        await self.message(backend_service("stage"), stage)

    @calls("X-B9-12")
    async def connected(self, connected: VehicleConnected) -> None:
        """Report to Core what the vehicle's folder remembers."""
        await self.message(backend_service("connected"), connected)

    @calls("X-B9-10")
    async def installed_software(self, software: InstalledSoftware) -> None:
        """Report everything that the vehicle has installed to Core."""
        await self.message(backend_service("packages"), software)

    @calls("X-B9-30")
    async def renew_identity(self, renewal: RenewIdentity) -> None:
        """Report the vehicle's identity to Core; with a signing request, ask for another one."""
        await self.message(backend_service("renew"), renewal)

    @calls("X-B9-3")
    async def register(self, service: str, address: str) -> str:
        """Register a service of the vehicle by its short name (``notify``); return the full name."""
        result = await self._edge.call("register_service", {"service": local_name(service), "network_address": address})
        return result.service or ""

    @calls("X-B9-4")
    async def unregister(self, full_name: str) -> None:
        """Unregister a service."""
        await self._edge.call("unregister_service", {"service": full_name})

    @calls("X-B9-5")
    async def message(self, service_name: str, body: Message | None, *, expires_at: int | None = None) -> None:
        """Send any message to a service by its full name."""
        await self._edge.message(service_name, body, expires_at=expires_at)

    @calls("X-B9-6")
    async def available_services(self) -> list[str]:
        """List the services that the node knows now, by their full names."""
        return (await self._edge.call("get_available_services", {})).services or []

    @calls("X-B9-7")
    async def vin(self) -> str | None:
        """Return the VIN that the node stands for, None if it is not a vehicle's node."""
        prefix = (await self._edge.call("get_node_service_prefix", {})).node_service_prefix or ""
        return vin_of(prefix)
