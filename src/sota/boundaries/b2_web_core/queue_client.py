"""Queues, the blacklist and vehicles that go for a caller: the same on B1 and on B2."""

from __future__ import annotations

from collections.abc import Sequence

from sota.boundaries.b2_web_core import messages, queue_rows
from sota.boundaries.b2_web_core.queries import BlacklistQuery, RetireQuery
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import BoundaryClient, Page
from sota.boundaries.parameters import ListQuery
from sota.boundaries.values import MessageOnly, PackageId


class QueueClient(BoundaryClient):
    """Queues of vehicles, the blacklist, and vehicles that go."""

    @calls("X-B1-12", "X-B2-10")
    async def cancel_request(self, install_request_id: str) -> messages.RequestChanged:
        """Cancel what waits of an install request."""
        return await self.caller.call(queue_rows.CANCEL, {"id": install_request_id})

    @calls("X-B1-13", "X-B2-11")
    async def stop_request(self, install_request_id: str) -> messages.RequestChanged:
        """Cancel what waits of an install request, and abort what is under way."""
        return await self.caller.call(queue_rows.STOP, {"id": install_request_id})

    @calls("X-B1-14", "X-B2-12")
    async def retry_request(self, install_request_id: str) -> messages.RequestChanged:
        """Try again what failed or was cancelled of an install request."""
        return await self.caller.call(queue_rows.RETRY, {"id": install_request_id})

    @calls("X-B1-15", "X-B2-13")
    async def queue_of(self, vin: str, query: ListQuery | None = None) -> Page[messages.Update]:
        """List what a vehicle will get, in its order."""
        return await self.caller.page(queue_rows.QUEUE, {"vin": vin}, query=query)

    @calls("X-B1-16", "X-B2-14")
    async def order_queue(self, vin: str, update_ids: Sequence[str]) -> list[messages.Update]:
        """Reorder a vehicle's updates; return its queue."""
        return await self.caller.call(queue_rows.ORDER, {"vin": vin}, body=list(update_ids))

    @calls("X-B1-17", "X-B2-15")
    async def history_of(self, vin: str, query: ListQuery | None = None) -> Page[messages.Update]:
        """List the updates of a vehicle that are over, the latest first."""
        return await self.caller.page(queue_rows.HISTORY, {"vin": vin}, query=query)

    @calls("X-B1-18", "X-B2-16")
    async def ask_for_packages(self, vin: str) -> None:
        """Ask a vehicle what it has installed."""
        await self.caller.call(queue_rows.SYNC, {"vin": vin})

    @calls("X-B1-19", "X-B2-17")
    async def blacklist(self, package: PackageId, comment: str, *, stop: bool = False) -> messages.Blacklisted:
        """Blacklist a package, and cancel what waits with it; ``stop``: abort what is under way too."""
        return await self.caller.call(
            queue_rows.BLACKLIST, package, query=BlacklistQuery(stop), body=messages.Blacklisting(comment=comment)
        )

    @calls("X-B1-20", "X-B2-18")
    async def allow(self, package: PackageId) -> MessageOnly:
        """Remove a package from the blacklist."""
        return await self.caller.call(queue_rows.ALLOW, package)

    @calls("X-B1-21", "X-B2-19")
    async def preview_blacklisting(self, package: PackageId) -> messages.BlacklistPreview:
        """Return what blacklisting a package would affect."""
        return await self.caller.call(queue_rows.PREVIEW, package)

    @calls("X-B1-22", "X-B2-20")
    async def retire_vehicle(self, vin: str, *, key: str | None = None) -> MessageOnly:
        """Retire a vehicle; its history is kept."""
        return await self.caller.call(queue_rows.RETIRE, {"vin": vin}, key=key)

    @calls("X-B1-23", "X-B2-21")
    async def erase_vehicle(self, vin: str, *, key: str | None = None) -> MessageOnly:
        """Erase a vehicle; its history is kept under a pseudonym."""
        return await self.caller.call(queue_rows.ERASE, {"vin": vin}, query=RetireQuery("true"), key=key)
