"""The demo's steps, through the same calls that any program would make (B12-1, then B1)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sota.boundaries.b1_browser_web.client import WebClient
from sota.boundaries.b1_browser_web.messages import PackageMetadata
from sota.boundaries.b2_web_core.messages import QueueRequest, Update
from sota.boundaries.b12_logistics_core.client import LogisticsClient
from sota.boundaries.b12_logistics_core.messages import ProvisionedVehicle, ProvisionStatus
from sota.boundaries.package_signature import SignedFields, sign
from sota.boundaries.values import InstalledPackage, Interval, PackageId, SignatureEnvelope
from sota.cli.demo.cars import CARS, FILTER, FILTER_NAME, Car, installed, installed_in_order
from sota.cli.demo.packages import DemoPackage, DemoPackages
from sota.cli.demo.processes import Processes, free_ports
from sota.cli.demo.screen import Row, Screen, describe
from sota.kit.errors import StartError

POLL_S = 0.2
LATE_AFTER_S = 3.0
GIVE_UP_AFTER_S = 300.0
READ_BYTES = 1 << 18


class Scenario:
    """Knows the folder of the demo, its processes and its clients."""

    def __init__(self, folder: Path, running: Processes, screen: Screen, packages: DemoPackages) -> None:
        self._folder, self._running, self._screen, self._packages = folder, running, screen, packages
        self._before: dict[str, dict[str, str]] = {}

    def root(self, car: Car) -> Path:
        """A vehicle's file system."""
        return self._folder / "vehicles" / car.vin / "root"

    async def register(self, logistics: LogisticsClient) -> None:
        """Register the five vehicles with Core, as a factory would (B12-1)."""
        self._before = {car.vin: installed(self.root(car)) for car in CARS}
        vehicles = [
            ProvisionedVehicle(
                vin=car.vin,
                components=list(car.components),
                packages=[InstalledPackage(name=n, version=v) for n, v in self._before[car.vin].items()],
            )
            for car in CARS
        ]
        async for result in logistics.provision(vehicles):
            if result.status is ProvisionStatus.REFUSED:
                raise StartError(f"{result.vin} was refused: {result.detail}", exit_code=1)

    async def upload(self, web: WebClient, key: Ed25519PrivateKey) -> None:
        """Sign and upload the three packages (B1-21)."""
        for package in self._packages.all:
            fields = SignedFields(package.name, package.version, package.file.stat().st_size, package.sha256, "deb")
            metadata = PackageMetadata(
                name=package.name,
                version=package.version,
                description=package.description,
                sha256=package.sha256,
                installer="deb",
                signature=msgspec.convert(sign(key, fields), SignatureEnvelope),
                dependencies=[PackageId(name=name, version=version) for name, version in package.dependencies],
            )
            await web.upload_package(metadata, _read(package), package.file.name)

    async def queue(self, web: WebClient) -> str:
        """Create the filter, associate it, queue the update (B1-6, B1-7, B1-8); return the Install Request ID."""
        wanted = PackageId(name=self._packages.after.name, version=self._packages.after.version)
        await web.new_filter(FILTER_NAME, FILTER)
        await web.associate(wanted, FILTER_NAME)
        now = datetime.now(UTC)
        interval = Interval(start=now - timedelta(minutes=1), end=now + timedelta(days=1))
        queued = await web.queue_package(QueueRequest(package=wanted, priority=10, interval=interval))
        return queued.install_request_id

    async def start_vehicle(self, car: Car, link_port: int) -> None:
        """Start a vehicle's process."""
        names = ("edge", "client", "slm")
        ports = zip(names, free_ports(len(names)), strict=True)
        folder = self._folder / "vehicles" / car.vin
        await self._running.start(
            f"vehicle-{car.vin}",
            "vehicle",
            car.vin,
            "--data",
            str(folder),
            "--root",
            str(self.root(car)),
            "--keys",
            str(self._folder / "keys"),
            "--backend",
            f"tls://127.0.0.1:{link_port}",
            *(part for name, port in ports for part in (f"--{name}-port", str(port))),
        )

    async def watch(self, web: WebClient, request_id: str, link_port: int) -> list[Update]:
        """Show the progress until every update is done; the late vehicle is started meanwhile.

        Raises:
            StartError: it takes too long, or a process ended.
        """
        began = time.monotonic()
        late = [car for car in CARS if car.connects_late]
        with self._screen.progress:
            while True:
                self._running.check()
                updates = (await web.request_vehicles(request_id)).items
                offline = {car.vin: "offline, connects later" for car in late}
                self._screen.show(updates, offline)
                if updates and all(update.status.is_final for update in updates):
                    return updates
                others_done = all(update.status.is_final for update in updates if update.vin not in offline)
                waited = time.monotonic() - began
                if late and (others_done or waited > 10 * LATE_AFTER_S) and waited > LATE_AFTER_S:
                    await self.start_vehicle(late.pop(), link_port)
                if waited > GIVE_UP_AFTER_S:
                    raise StartError(
                        f"not done after {GIVE_UP_AFTER_S:.0f} s; logs: {self._folder / 'logs'}", exit_code=1
                    )
                await asyncio.sleep(POLL_S)

    async def verify(self, web: WebClient, updates: list[Update]) -> list[Row]:
        """Read every vehicle's own package database, and Core's record."""
        by_vin = {update.vin: update for update in updates}
        rows = []
        for car in CARS:
            update = by_vin.get(car.vin)
            core = {package.name: package.version for package in await web.packages_of(car.vin)}
            rows.append(
                Row(
                    vin=car.vin,
                    before=self._before[car.vin],
                    after=installed(self.root(car)),
                    core=core,
                    status=update.status.value if update else "untouched",
                    what=_tell(car, update),
                    seconds=_seconds(update),
                    order=installed_in_order(self.root(car)),
                )
            )
        return rows

    def is_right(self, rows: list[Row]) -> bool:
        """Whether the right vehicles have the new version, the others are unchanged, and Core's record is right."""
        new = {self._packages.after.name: self._packages.after.version, self._packages.library.name: "1.4.0"}
        by_vin = {row.vin: row for row in rows}
        return all(
            by_vin[car.vin].agrees
            and (by_vin[car.vin].status == ("installed" if car.wanted else "untouched"))
            and by_vin[car.vin].after == (new if car.wanted else by_vin[car.vin].before)
            for car in CARS
        )


def _tell(car: Car, update: Update | None) -> str:
    if update is None:
        return f"not chosen: {car.why_not}" if not car.wanted else "not chosen"
    text = describe(update)
    if len(update.packages) > 1:
        text += " (" + ", then ".join(f"{package.name} {package.version}" for package in update.packages) + ")"
    if car.connects_late:
        text += ", was offline at first"
    return text


def _seconds(update: Update | None) -> float | None:
    if update is None or update.completed_at is None:
        return None
    return (update.completed_at - update.created_at).total_seconds()


async def _read(package: DemoPackage) -> AsyncIterator[bytes]:
    with package.file.open("rb") as content:
        while part := content.read(READ_BYTES):
            yield part
