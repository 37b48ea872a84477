"""What an operator's tools use to ask a program how it is."""

from __future__ import annotations

from sota.boundaries.b0_operation import rows
from sota.boundaries.binding.decorators import calls
from sota.boundaries.calling import address
from sota.boundaries.interaction import Interaction
from sota.kit.http.client import HttpClient


class OperationClient:
    """A program's operation port."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    @calls("X-B0-1")
    async def is_alive(self) -> bool:
        """Ask whether the program runs."""
        return (await self._get(rows.HEALTH))[0] == 200

    @calls("X-B0-2")
    async def is_ready(self) -> bool:
        """Ask whether the program can do its work."""
        return (await self._get(rows.READINESS))[0] == 200

    @calls("X-B0-3")
    async def metrics(self) -> str:
        """Return the program's metrics as Prometheus reads them."""
        return (await self._get(rows.METRICS))[1].decode()

    async def _get(self, row: Interaction) -> tuple[int, bytes]:
        method, path = address(row, {})
        response = await self._client.request(method, path)
        return response.status, response.body
