"""One vehicle of a fleet: its node, its SOTA Client and its Software Loading Manager, connected in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sota.boundaries.services import VEHICLE_PREFIX
from sota.client.program import ClientProgram
from sota.client.settings import ClientSettings
from sota.fleet.counts import Counts
from sota.fleet.database_threads import FleetThreads, VehicleThreads
from sota.fleet.memory_network import MemoryNetwork
from sota.fleet.node import FleetNode
from sota.fleet.observer import ProgressObserver
from sota.fleet.profile import SeededOutcomes
from sota.fleet.simulation import STANDS_FOR, SimulatedInstaller, SimulatedRunner, SimulatedSoftware
from sota.rvi.names import ServiceTable
from sota.rvi.settings import NodeSettings
from sota.slm.program import SlmProgram
from sota.slm.settings import SlmSettings

REGISTER_S = 3600.0  # the node cannot lose its services here, so it need not be asked
RECONNECT_S = 1.0


@dataclass(frozen=True, slots=True)
class SharedResources:
    """What all vehicles of a fleet share. ``installed`` is the software of a new vehicle."""

    folder: Path
    backend: str
    keys: Path
    allow_unsigned: bool
    secrets: Path
    threads: FleetThreads
    table: ServiceTable
    counts: Counts
    installed: Mapping[str, str]


class Vehicle:
    """One vehicle. Its state is below ``<fleet>/vehicles/<VIN>``, its identity in ``<fleet>/identities/<VIN>``."""

    def __init__(self, vin: str, shared: SharedResources, outcomes: SeededOutcomes) -> None:
        self.vin, self._shared, self.outcomes = vin, shared, outcomes
        self._memory = MemoryNetwork()
        self._software = SimulatedSoftware(self._data / "software.json", shared.installed, shared.threads.disk)
        self._node = FleetNode(
            NodeSettings(
                role="client",
                prefix=f"{VEHICLE_PREFIX}{vin}",
                identity=shared.folder / "identities" / vin,
                data=self._data / "node",
                tls_port=0,
                peers=(shared.backend,),
                reconnect_s=RECONNECT_S,
                callback_peer=False,
            ),
            vin,
            self._memory,
            shared.table,
            ProgressObserver(vin, shared.counts, outcomes),
        )
        self._runner: SimulatedRunner | None = None
        self._programs: list[SlmProgram | ClientProgram] = []
        self._schedule: asyncio.Task[None] | None = None

    @property
    def software(self) -> dict[str, str]:
        """The installed software: name to version."""
        return self._software.packages

    async def start(self) -> None:
        """Start the programs; the vehicle connects when its schedule says so."""
        self._node.open()
        await self._start_programs()
        self._schedule = asyncio.create_task(self._run_schedule(), name=f"vehicle:{self.vin}")

    async def stop(self) -> None:
        """Stop it; its state is on disk."""
        if self._schedule is not None:
            self._schedule.cancel()
            await asyncio.gather(self._schedule, return_exceptions=True)
        await self._node.close()
        if self._runner is not None:
            self._runner.stop()
        for program in reversed(self._programs):
            await program.stop()
        self._programs = []

    @property
    def _data(self) -> Path:
        return self._shared.folder / "vehicles" / self.vin

    async def _start_programs(self) -> None:
        shared = self._shared
        threads = VehicleThreads(shared.threads, self._data / "vehicle.db")
        self._runner = SimulatedRunner(
            self._data / "slm" / "steps", self._software, self.outcomes, lambda: shared.counts.installing(self.vin)
        )
        slm = SlmProgram(
            SlmSettings(
                vin=self.vin,
                data=self._data / "slm",
                root=self._data / "root",
                client_token_file=shared.secrets / "slm-to-client.token",
                credentials_file=shared.secrets / "slm.toml",
                keys=shared.keys,
                allow_unsigned_images=shared.allow_unsigned,
                stop_wait_s=0.0,
            ),
            network=self._memory,
            threads=threads,
            installers=[SimulatedInstaller(name, self._software) for name in STANDS_FOR],
            runner=self._runner,
        )
        client = ClientProgram(
            ClientSettings(
                vin=self.vin,
                data=self._data / "client",
                slm_token_file=shared.secrets / "client-to-slm.token",
                credentials_file=shared.secrets / "client.toml",
                keys=shared.keys,
                allow_unsigned=shared.allow_unsigned,
                register_s=REGISTER_S,
            ),
            network=self._memory,
            threads=threads,
        )
        self._programs = [slm, client]
        for program in self._programs:
            await program.start()

    async def _run_schedule(self) -> None:
        """Connect and disconnect as the profile says, until cancelled."""
        await asyncio.sleep(self.outcomes.arrival_s())
        if self.outcomes.begins_offline():
            await _sleep(self.outcomes.offline_s())
        while True:
            await self._node.connect()
            await _sleep(self.outcomes.online_s())
            await self._node.disconnect()
            await _sleep(self.outcomes.offline_s())


async def _sleep(duration_s: float | None) -> None:
    if duration_s is None:
        await asyncio.Event().wait()
    else:
        await asyncio.sleep(duration_s)
