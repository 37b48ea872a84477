"""The whole system for end-to-end and fault tests: every program a process of its own, as a user would start it.

A :class:`System` is a folder, a TOML file, the backend's four programs and some vehicles. Each can be killed and
started again by its name: ``resolver``, ``node``, ``core``, ``web``, or a VIN. What the programs keep is below the
folder; their logs are events to ask for::

    async with running_system(folder) as system:
        car = await system.add_vehicle("WVWZZZ1KZ7W000011", components=["TCU-5G.2"])
        await system.upload(package)
        request = await system.queue(package.id, 'vin_matches "^WVW"')
        await system.wait_for(request, car.vin, lambda update: update.acknowledged > 0)
        system.kill("core")
        await system.restart("core")
        await system.wait_for_status(request, car.vin, UpdateStatus.INSTALLED)

Programs of a vehicle run in one process (``sota vehicle``); ``apart=True`` gives each its own: ``VIN/node``,
``VIN/client``, ``VIN/slm`` (``vehicle_apart.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sota.boundaries.authority import Authority
from sota.boundaries.b0_operation.client import OperationClient
from sota.boundaries.b1_browser_web.client import WebClient
from sota.boundaries.b2_web_core.messages import QueueRequest, Update
from sota.boundaries.b3_web_resolver.client import ResolverClient
from sota.boundaries.b12_logistics_core.client import LogisticsClient
from sota.boundaries.b12_logistics_core.messages import ProvisionedVehicle
from sota.boundaries.interaction import Role
from sota.boundaries.package_signature import make_key_pair
from sota.boundaries.values import InstalledPackage, Interval, PackageId, UpdateStatus
from sota.cli.backend import prepare_secrets
from sota.cli.schemas import create_schemas, database_url
from sota.core.tables import outbox
from sota.kit.errors import Unavailable
from sota.kit.http.client import HttpClient
from sota.kit.runtime.faults import VARIABLE
from sota.kit.sql.database import Database
from sota.web.accounts.service import issue_token
from tests.support.packages import DebFile, Signature
from tests.support.processes import ProgramProcess, free_ports, left_over
from tests.support.proxy import Proxy
from tests.support.system_settings import BACKEND, COMMANDS, Ports, Settings, backend_tables, changed, to_toml
from tests.support.vehicle_apart import COMMANDS as VEHICLE_COMMANDS
from tests.support.vehicle_apart import tables_apart
from tests.support.vehicle_files import VehicleFiles
from tests.support.waiting import until

READY_TIMEOUT_S = 90.0
UPDATE_TIMEOUT_S = 100.0


class System:
    """A backend and its vehicles. ``server`` is a MariaDB server's address; without one the databases are SQLite's."""

    def __init__(
        self,
        folder: Path,
        *,
        server: str | None = None,
        settings: Mapping[str, Settings] | None = None,
        faults: bool = False,
    ) -> None:
        """Prepare it; with ``faults`` a plan can end each program at a place (``kit/runtime/faults.py``)."""
        self.folder, self._server, self._faults = folder, server, faults
        self.ports = Ports.free()
        self.data = folder / "backend"
        self._secrets = prepare_secrets(self.data)
        self.signing_key = make_key_pair(folder / "signing")
        self.proxy = Proxy(free_ports(1)[0], self.ports.link)
        self._config = folder / "sota.toml"
        tables = backend_tables(self.data, self.ports, self._secrets, self.database_url)
        self._config.write_text(to_toml(changed(tables, settings or {})))
        self.token: str | None = None
        self.programs: dict[str, ProgramProcess] = {}
        for name in BACKEND:
            self._add_program(name, COMMANDS[name], "--config", str(self._config))
        self._operation_ports = dict(self.ports.operation)
        self._clients: list[HttpClient] = []
        self._web: WebClient | None = None

    # Programs.

    async def start_backend(self) -> None:
        """Start the four programs and wait until they can work."""
        if self._server is not None:
            await create_schemas(self._server)
        await self.restart(*BACKEND)
        web = self.database("web")
        try:
            token = await issue_token(web, Role.ADMIN, "tests")
        finally:
            await web.close()
        self.token = token
        self._web = WebClient(self._client(self.ports.http, token))

    async def restart(self, *names: str) -> None:
        """Start programs that were killed or stopped, together, and wait until they can work."""
        for name in names:
            self.programs[name].start()
        for name in names:
            await self.wait_ready(name)

    def kill(self, name: str) -> None:
        """End a program by SIGKILL."""
        self.programs[name].kill()

    async def stop_programs(self, *names: str) -> None:
        """Stop programs, together, as a service manager does."""
        await asyncio.gather(*(self.programs[name].stop() for name in names))

    async def wait_ready(self, name: str) -> None:
        """Wait until a program can do its work."""
        program = self.programs[name]
        client = HttpClient(f"http://127.0.0.1:{self._operation_ports[name]}", timeout_s=5)

        async def look() -> bool:
            assert program.running, f"{name} ended by itself: {program.tail()}"
            try:
                return await OperationClient(client).is_ready()
            except Unavailable:
                return False

        try:
            await until(look, f"{name} is ready", timeout_s=READY_TIMEOUT_S, latest=program.tail)
        finally:
            await client.close()

    def logs(self, name: str, event: str | None = None, *, since: int = 0) -> list[dict[str, Any]]:
        """Return what a program logged."""
        return self.programs[name].events(event, since=since)

    async def stop(self) -> None:
        """End everything, the vehicles first.

        Raises:
            AssertionError: a program did not end when asked to, or a process is left behind.
        """
        failures: list[str] = []
        for client in self._clients:
            await client.close()
        vehicles = [program for name, program in self.programs.items() if name not in BACKEND]
        for group in (vehicles, [self.programs[name] for name in BACKEND]):
            ends = await asyncio.gather(*(program.stop() for program in group), return_exceptions=True)
            failures += [str(end) for end in ends if isinstance(end, BaseException)]
        await self.proxy.stop()

        async def look() -> bool:
            return not left_over(self.folder)

        try:
            await until(look, "no process is left", timeout_s=10, latest=lambda: left_over(self.folder))
        except AssertionError as error:
            failures.append(str(error))
        assert not failures, "\n".join(failures)

    # Vehicles.

    async def add_vehicle(
        self,
        vin: str,
        *,
        components: Sequence[str] = (),
        packages: Sequence[Path] = (),
        trusts_us: bool = True,
        through_proxy: bool = False,
        apart: bool = False,
        start: bool = True,
    ) -> VehicleFiles:
        """Build a vehicle with these packages installed, register it with Core, and start it."""
        files = VehicleFiles(vin, self.folder / "vehicles" / vin)
        files.leave_factory(*packages)
        Authority.open(self.data / "authority").issue_vehicle(vin, files.identity)
        files.keys.mkdir()
        if trusts_us:
            key = (self.folder / "signing" / "packages.pub.pem").read_bytes()
            (files.keys / "packages.pub.pem").write_bytes(key)
        installed = [InstalledPackage(name=name, version=version) for name, version in files.installed().items()]
        await self.provision(ProvisionedVehicle(vin=vin, components=list(components), packages=installed))
        link = self.proxy.port if through_proxy else self.ports.link
        names = self._put_together_apart(files, link) if apart else self._put_together(files, link)
        if start:
            await self.restart(*names)
        return files

    async def start_in(self, files: VehicleFiles, *, through_proxy: bool = False) -> None:
        """Start a vehicle in a folder that another one had."""
        link = self.proxy.port if through_proxy else self.ports.link
        await self.restart(*self._put_together(files, link))

    def _put_together(self, files: VehicleFiles, link: int) -> list[str]:
        edge, client, slm, operation = free_ports(4)
        self._operation_ports[files.vin] = operation
        options = {
            "data": files.data,
            "backend": f"tls://127.0.0.1:{link}",
            "edge-port": edge,
            "client-port": client,
            "slm-port": slm,
            "operation-port": operation,
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self._add_program(files.vin, "vehicle", files.vin, *arguments, "--log-level", "debug")
        return [files.vin]

    def _put_together_apart(self, files: VehicleFiles, link: int) -> list[str]:
        tables = tables_apart(files, link)
        names = [f"{files.vin}/{part}" for part in VEHICLE_COMMANDS]
        self._operation_ports |= dict(zip(names, free_ports(len(names)), strict=True))
        config = files.data / "vehicle.toml"
        common = [{"log_level": "debug", "operation_port": self._operation_ports[name]} for name in names]
        config.write_text(
            to_toml({table: {**tables[table], **more} for table, more in zip(tables, common, strict=True)})
        )
        for name, command in zip(names, VEHICLE_COMMANDS.values(), strict=True):
            self._add_program(name, command, "--config", str(config))
        return names

    async def provision(self, vehicle: ProvisionedVehicle) -> None:
        """Provision a vehicle, as Logistics & Provisioning does, and wait until the Resolver knows it too."""
        token = (self._secrets / "logistics.token").read_text().strip()
        client = LogisticsClient(self._client(self.ports.core, token))
        async for result in client.provision([vehicle]):
            assert result.status != "refused", result.detail
        await self.settle()

    async def settle(self) -> None:
        """Wait until Core's outbox to the Resolver is empty."""
        core = self.database("core")

        async def look() -> bool:
            async with core.read() as tx:
                return await tx.scalar(sa.select(sa.func.count()).select_from(outbox)) == 0

        try:
            await until(look, "Core's outbox is empty", latest=self.programs["core"].tail)
        finally:
            await core.close()

    # What an operator does.

    @property
    def web(self) -> WebClient:
        """The Web Server, with an administrator's token."""
        assert self._web is not None, "the backend was not started"
        return self._web

    async def upload(self, package: DebFile) -> None:
        """Upload a package, signed by the key that the vehicles trust."""
        await self.upload_as(package, package.signed_by(self.signing_key))

    async def upload_as(self, package: DebFile, signature: Signature | None) -> None:
        """Upload a package with another signature, or with none."""
        await self.web.upload_package(package.metadata(signature), package.parts(), package.file.name)

    async def queue(self, package: PackageId, expression: str) -> str:
        """Filter, associate and queue for a day; return the install request's id."""
        name = f"filter-{secrets.token_hex(4)}"
        await self.web.new_filter(name, expression)
        await self.web.associate(package, name)
        now = datetime.now(UTC)
        interval = Interval(start=now - timedelta(minutes=1), end=now + timedelta(days=1))
        queued = await self.web.queue_package(QueueRequest(package=package, priority=50, interval=interval))
        return queued.install_request_id

    async def updates(self, request_id: str) -> dict[str, Update]:
        """Return the updates of an install request by VIN."""
        page = await self.web.request_vehicles(request_id)
        return {update.vin: update for update in page.items}

    async def wait_for(
        self,
        request_id: str,
        vin: str,
        condition: Callable[[Update], bool],
        what: str = "the update moves on",
        *,
        timeout_s: float = UPDATE_TIMEOUT_S,
    ) -> Update:
        """Wait until a vehicle's update is as wanted; absent programs meanwhile are no error."""
        latest: list[Update] = []

        async def look() -> Update | None:
            try:
                update = (await self.updates(request_id)).get(vin)
            except Unavailable:
                return None
            latest[:] = [update] if update is not None else []
            return update if update is not None and condition(update) else None

        return await until(look, f"{vin}: {what}", timeout_s=timeout_s, latest=lambda: latest)

    async def wait_for_status(self, request_id: str, vin: str, status: UpdateStatus) -> Update:
        """Wait until a vehicle's update has ended thus."""
        update = await self.wait_for(request_id, vin, lambda update: update.status.is_final, f"becomes {status.value}")
        assert update.status == status, update
        return update

    # What lies beneath.

    @property
    def resolver(self) -> ResolverClient:
        """The Resolver, as the Web Server sees it."""
        token = (self._secrets / "web-to-resolver.token").read_text().strip()
        return ResolverClient(self._client(self.ports.resolver, token))

    @property
    def server(self) -> str | None:
        """The MariaDB server's address, if the databases are there."""
        return self._server

    @property
    def repository(self) -> Path:
        """The folder of the package files."""
        return self.data / "packages"

    def database_url(self, program: str) -> str:
        """Return the address of a program's database."""
        return database_url(self.data, self._server, program)

    def database(self, program: str) -> Database:
        """Open a program's database beside the program; close it again."""
        return Database(self.database_url(program))

    def _add_program(self, name: str, *arguments: str) -> None:
        log = self.folder / "logs" / f"{name.replace('/', '-')}.log"
        environment = {VARIABLE: str(self.faults_of(name))} if self._faults else None
        self.programs[name] = ProgramProcess(name, arguments, log, environment=environment)

    def faults_of(self, name: str) -> Path:
        """Return the folder where a program records its steps and reads where to end."""
        return self.folder / "faults" / name.replace("/", "-")

    def _client(self, port: int, token: str) -> HttpClient:
        client = HttpClient(f"http://127.0.0.1:{port}", token=token, timeout_s=20)
        self._clients.append(client)
        return client


@contextlib.asynccontextmanager
async def running_system(
    folder: Path,
    *,
    server: str | None = None,
    settings: Mapping[str, Settings] | None = None,
    faults: bool = False,
) -> AsyncIterator[System]:
    """Run a system whose backend is ready, and stop it at the end."""
    system = System(folder, server=server, settings=settings, faults=faults)
    try:
        await system.start_backend()
        yield system
    finally:
        await asyncio.shield(system.stop())
