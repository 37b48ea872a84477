"""What SOTA Core uses to call the RVI Node Server: its edge, and through it the services of vehicles.

Every message means *queued*: what the vehicle makes of it comes back to Core's own services.
"""

from __future__ import annotations

from collections.abc import Sequence

from sota.boundaries.b7_core_rvi import messages
from sota.boundaries.b7_core_rvi.identity_messages import NewIdentity
from sota.boundaries.binding.decorators import calls
from sota.boundaries.node_services import NodeServices
from sota.boundaries.services import vehicle_service


class NodeClient(NodeServices):
    """The RVI Node Server, as SOTA Core sees it. The names of a vehicle's services follow from its VIN alone."""

    @calls("WL-B7-1")
    async def schedule(self, updates: Sequence[messages.ScheduledUpdate]) -> list[str]:
        """Schedule updates at the node, which reports when one of their vehicles connects; return the VINs.

        Raises:
            Refused: ``scheduling_failed``; ``method_unknown`` where the node is a real rvi_core.
        """
        return (await self._edge.call("schedule_update", list(updates))).vins or []

    @calls("WL-B7-1")
    async def unschedule(self, updates: Sequence[messages.UnscheduledUpdate]) -> list[str]:
        """Unschedule updates at the node; return the VINs."""
        return (await self._edge.call("unschedule_update", list(updates))).vins or []

    @calls("WL-B7-2")
    async def notify(self, vin: str, update: messages.UpdateAvailable, *, expires_at: int | None = None) -> None:
        """Notify a vehicle of an update; the node keeps the message until ``expires_at`` (unix seconds)."""
        await self.message(vehicle_service(vin, "notify"), update, expires_at=expires_at)

    @calls("WL-B7-4")
    async def start_download(self, vin: str, start: messages.StartDownload) -> None:
        """Announce a download to a vehicle."""
        await self.message(vehicle_service(vin, "start"), start)

    @calls("WL-B7-4")
    async def abort(self, vin: str, abort: messages.AbortDownload) -> None:
        """End a download."""
        await self.message(vehicle_service(vin, "abort"), abort)

    @calls("WL-B7-5")
    async def send_block(self, vin: str, block: messages.EncodedBlock) -> None:
        """Send one block, whose content is in base64 already: many vehicles share it."""
        await self._edge.message_parts(vehicle_service(vin, "chunk"), block.parts)

    @calls("WL-B7-6")
    async def finish(self, vin: str, finish: messages.FinishDownload) -> None:
        """Finish a download: all blocks were sent."""
        await self.message(vehicle_service(vin, "finish"), finish)

    @calls("WL-B7-8")
    async def get_packages(self, vin: str) -> None:
        """Ask a vehicle what it has installed; it answers through Core's service ``packages``."""
        await self.message(vehicle_service(vin, "getpackages"), None)

    @calls("X-B7-2")
    async def reported(self, vin: str, reported: messages.Reported) -> None:
        """Confirm to a vehicle that its report has arrived."""
        await self.message(vehicle_service(vin, "reported"), reported)

    @calls("X-B7-14")
    async def welcome(self, vin: str, welcome: messages.Welcome) -> None:
        """Send a vehicle its epoch."""
        await self.message(vehicle_service(vin, "welcome"), welcome)

    @calls("X-B7-31")
    async def new_identity(self, vin: str, identity: NewIdentity) -> None:
        """Send a vehicle its new identity, or tell it to ask for one."""
        await self.message(vehicle_service(vin, "identity"), identity)
