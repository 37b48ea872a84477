"""What the vehicle says of itself when Core can be reached: its epoch and the highest download index that it has had.

Core compares this with what it knows. So a folder from an older copy, a database from a backup and a VIN that was
registered again are noticed within one connection, and not by the next update.
"""

from __future__ import annotations

from sota.boundaries.b9_rvi_client.client import SotaClientEdge
from sota.boundaries.b9_rvi_client.messages import VehicleConnected
from sota.client.folder_state import FolderState
from sota.client.retry_tasks import RetryPolicy, RetryTasks
from sota.client.settings import ClientSettings
from sota.kit.errors import SotaError

TASK = "connected"
ATTEMPTS = 10


class ConnectionReport:
    """Greets Core."""

    def __init__(self, settings: ClientSettings, folder: FolderState, edge: SotaClientEdge) -> None:
        self._vin, self._folder, self._edge = settings.vin, folder, edge
        self._policy = RetryPolicy(settings.retry_s, settings.retry_max_s, ATTEMPTS)
        self._retries = RetryTasks()

    def on_connected(self) -> None:
        """Tell Core, until the node has taken it."""
        self._retries.start(TASK, self._attempt, self._policy)
        self._retries.retry_now()

    async def welcome(self, epoch: str) -> None:
        """Answer a Core that names the vehicle's epoch with what the folder remembered until now; then remember that.

        Core asks so after its own start, at which it may have another database than before.
        """
        try:
            await self._attempt()
        except SotaError:  # the next connection tells it
            pass
        await self._folder.remember_epoch(epoch)

    async def close(self) -> None:
        """End."""
        await self._retries.close()

    async def _attempt(self) -> bool:
        known = await self._folder.read()
        await self._edge.connected(
            VehicleConnected(vin=self._vin, highest_index=known.highest_index, epoch=known.epoch)
        )
        return True
