"""All vehicles of a fleet: started a few at a time, watched, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import resource
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sota.fleet.counts import Counts
from sota.fleet.database_threads import FleetThreads
from sota.fleet.enrolment import MAX_VEHICLES, prepare_secrets, vins_of
from sota.fleet.profile import Profile, SeededOutcomes
from sota.fleet.syncfs import FileSystemSync
from sota.fleet.vehicle import SharedResources, Vehicle
from sota.kit.errors import StartError
from sota.kit.files.durable import private_folder
from sota.kit.runtime.logging import get_logger
from sota.kit.runtime.memory import keep_freed
from sota.rvi.names import ServiceTable

AT_ONCE = 32
THREADS = 8
# By default the garbage collector walks the objects of thousands of vehicles in vain, for 15 % of the time.
COLLECT_AFTER = (50_000, 10, 10)
# A database also has its log open; a vehicle its connection, and the file that one of its programs receives.
FILES_OF_A_DATABASE, FILES_OF_A_VEHICLE, OTHER_FILES = 2, 2, 200


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """The plan of a fleet. ``folder`` keeps identities and states; a fleet that starts there again continues."""

    vehicles: int
    backend: str
    folder: Path
    seed: int = 1
    profile: Profile = field(default_factory=Profile)
    keys: Path | None = None
    allow_unsigned: bool = False
    installed: Mapping[str, str] = field(default_factory=dict)

    @property
    def vins(self) -> list[str]:
        """The vehicles' VINs."""
        return vins_of(self.vehicles, self.seed)

    @property
    def identities(self) -> Path:
        """The folder of identities, one folder a VIN."""
        return self.folder / "identities"


class Fleet:
    """The vehicles. A program, as ``kit/runtime/program.py`` runs them."""

    name = "fleet"

    def __init__(self, plan: FleetPlan) -> None:
        """Create the vehicles.

        Raises:
            StartError: they need more open files than this process may have, or more VINs than there are.
        """
        if not 1 <= plan.vehicles <= MAX_VEHICLES:
            raise StartError(f"--vehicles: from 1 to {MAX_VEHICLES}")
        self.plan = plan
        self.counts = Counts(plan.vins)
        folder = private_folder(plan.folder).resolve()
        open_files = _open_databases(plan.vehicles)
        self._sync_all = FileSystemSync(folder) if FileSystemSync.is_possible() else None
        self._threads = FleetThreads(threads=THREADS, open_files=open_files, sync_all=self._sync_all)
        shared = SharedResources(
            folder=folder,
            backend=plan.backend,
            keys=(plan.keys or plan.folder / "keys").resolve(),
            allow_unsigned=plan.allow_unsigned,
            secrets=prepare_secrets(plan.folder).resolve(),
            threads=self._threads,
            table=ServiceTable(()),
            counts=self.counts,
            installed=plan.installed,
        )
        self.vehicles = {vin: Vehicle(vin, shared, SeededOutcomes(plan.profile, plan.seed, vin)) for vin in plan.vins}
        self._started: list[Vehicle] = []

    async def start(self) -> None:
        """Start all vehicles, some at a time; returns when each runs (it connects when its schedule says so)."""
        keep_freed()
        gc.set_threshold(*COLLECT_AFTER)
        # An idle vehicle does not load the signature libraries (docs/decisions/0012); here they are used at once.
        await asyncio.to_thread(importlib.import_module, "sota.boundaries.package_signature")
        await self._some_at_a_time([self._start(vehicle) for vehicle in self.vehicles.values()])
        get_logger(program="fleet").info("fleet_started", vehicles=len(self.vehicles))

    async def stop(self) -> None:
        """Stop all vehicles."""
        await self._some_at_a_time([vehicle.stop() for vehicle in self._started])
        self._threads.disk.close()
        if self._sync_all is not None:
            self._sync_all.close()

    async def trouble(self) -> str | None:
        """Return how many vehicles do not run yet."""
        missing = len(self.vehicles) - len(self._started)
        return f"{missing} vehicles do not run yet" if missing else None

    @cached_property
    def expected(self) -> int:
        """How many vehicles will connect at all: by some profiles a few stay offline."""
        forever = self.plan.profile.connectivity.offline_mean_s == 0
        return sum(not (forever and vehicle.outcomes.begins_offline()) for vehicle in self.vehicles.values())

    async def _start(self, vehicle: Vehicle) -> None:
        await vehicle.start()
        self._started.append(vehicle)

    async def _some_at_a_time(self, works: list[Awaitable[None]]) -> None:
        waiting = iter(works)

        async def work() -> None:
            for each in waiting:
                await each

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(works))):
                group.create_task(work())


def _open_databases(vehicles: int) -> int:
    """Return how many databases may be open at once, after raising the limit of open files.

    Raises:
        StartError: the limit is too low for so many vehicles.
    """
    wanted = OTHER_FILES + vehicles * (FILES_OF_A_VEHICLE + FILES_OF_A_DATABASE)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        with contextlib.suppress(ValueError, OSError):  # only root may raise the hard limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            hard = wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    left = hard - OTHER_FILES - vehicles * FILES_OF_A_VEHICLE
    if left < FILES_OF_A_DATABASE * 50:
        raise StartError(f"{vehicles} vehicles need more than the {hard} files that this process may open (ulimit -n)")
    return min(vehicles, left // FILES_OF_A_DATABASE)
