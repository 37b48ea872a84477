"""What the vehicle reports when Core can be reached: its epoch, and the highest download index that it has had.

Core compares this with what it knows. So it notices a restored folder, a restored database, or a VIN that was
registered again at the next connection, not at the next update.
"""

from __future__ import annotations

import contextlib

from sota.boundaries.b7_core_rvi.messages import VehicleConnected
from sota.boundaries.b9_rvi_client.client import SotaClientEdge
from sota.client.retry_tasks import RetryPolicy, RetryTasks
from sota.client.settings import ClientSettings
from sota.client.state import ClientState
from sota.kit.errors import SotaError

TASK = "connected"
ATTEMPTS = 10


class ConnectionReport:
    """Reports each connection to Core."""

    def __init__(self, settings: ClientSettings, state: ClientState, edge: SotaClientEdge) -> None:
        self._vin, self._state, self._edge = settings.vin, state, edge
        self._policy = RetryPolicy(settings.retry_s, settings.retry_max_s, ATTEMPTS)
        self._retries = RetryTasks()

    def on_connected(self) -> None:
        """Report to Core, until the node has accepted the message."""
        self._retries.start(TASK, self._attempt, self._policy)
        self._retries.retry_now()

    async def welcome(self, epoch: str) -> None:
        """Answer a Core that sends the vehicle's epoch with the folder's previous one; then store the new one.

        Core sends it after its own start, when it may have another database than before.
        """
        with contextlib.suppress(SotaError):  # the next connection reports it
            await self._attempt()
        await self._state.remember_epoch(epoch)

    async def close(self) -> None:
        """Stop reporting."""
        await self._retries.close()

    async def _attempt(self) -> bool:
        _, epoch, highest_index = await self._state.folder()
        await self._edge.connected(VehicleConnected(vin=self._vin, highest_index=highest_index, epoch=epoch))
        return True
