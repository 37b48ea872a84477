"""Keeps the vehicle's services registered at its node, which forgets them when it restarts.

The address contains a secret that is kept on disk: a message that the node repeats after our restart still arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sota.boundaries.b9_rvi_client.client import SotaClientEdge
from sota.boundaries.services import vehicle_service
from sota.kit.errors import SotaError
from sota.kit.runtime.logging import get_logger

FIRST_PAUSE_S = 0.2


class ServiceRegistration:
    """Registers the services, and again whenever the node has lost them."""

    def __init__(self, edge: SotaClientEdge, vin: str, names: Sequence[str], *, every_s: float) -> None:
        self._edge = edge
        self._vin = vin
        self._names = names
        self._every_s = every_s
        self._log = get_logger(program="client")
        self.registered = False

    async def run(self, base_url: str) -> None:
        """Keep the services registered at ``<base_url>/<service>``, until cancelled."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                await self._check(base_url)
                pause = self._every_s
            except SotaError as error:
                if self.registered:
                    self._log.warning("node_lost", detail=error.detail)
                self.registered = False
                pause = min(pause * 2, self._every_s)
            await asyncio.sleep(pause)

    async def _check(self, base_url: str) -> None:
        if self.registered:
            known = set(await self._edge.available_services())
            self.registered = all(vehicle_service(self._vin, name) in known for name in self._names)
        if self.registered:
            return
        for name in self._names:
            full_name = await self._edge.register(name, f"{base_url}/{name}")
            if full_name != vehicle_service(self._vin, name):
                self._log.error("node_of_another_vehicle", registered_as=full_name)
        self.registered = True
        self._log.info("services_registered", count=len(self._names))
