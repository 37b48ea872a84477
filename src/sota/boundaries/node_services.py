"""What Core and the SOTA Client both ask of their own RVI node: services, messages, names."""

from __future__ import annotations

from sota.boundaries.binding.decorators import calls
from sota.boundaries.edge import EdgeClient
from sota.boundaries.services import local_name
from sota.boundaries.values import Message
from sota.kit.http.client import HttpClient
from sota.kit.http.post_client import PostClient
from sota.kit.runtime.clock import Clock


class NodeServices:
    """The service edge of a program's own node. A message means *queued*, no more."""

    def __init__(self, client: HttpClient, clock: Clock | None = None, pipe: PostClient | None = None) -> None:
        self._edge = EdgeClient(client, clock, pipe)

    @calls("X-B7-3", "X-B9-3")
    async def register(self, service: str, address: str) -> str:
        """Register a service of the program by its short name (``start``); return the full name."""
        result = await self._edge.call("register_service", {"service": local_name(service), "network_address": address})
        return result.service or ""

    @calls("X-B7-4", "X-B9-4")
    async def unregister(self, full_name: str) -> None:
        """Unregister a service."""
        await self._edge.call("unregister_service", {"service": full_name})

    @calls("X-B7-5", "X-B9-5")
    async def message(self, service_name: str, body: Message | None, *, expires_at: int | None = None) -> None:
        """Send any message to a service by its full name."""
        await self._edge.message(service_name, body, expires_at=expires_at)

    @calls("X-B7-6", "X-B9-6")
    async def available_services(self) -> list[str]:
        """List the services that the node knows now, by their full names."""
        return (await self._edge.call("get_available_services", {})).services or []

    @calls("X-B7-7", "X-B9-7")
    async def prefix(self) -> str:
        """Return the prefix that the node puts before names, such as ``genivi.org/backend/``."""
        return (await self._edge.call("get_node_service_prefix", {})).node_service_prefix or ""
