"""SOTA Core for tests: the real program on a real socket, a real Resolver, and a node's edge played by the test."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sota.boundaries.binding.service_credentials import issue
from sota.core.program import CoreProgram
from sota.core.settings import CoreSettings
from tests.support.edge import EdgePlayer, VehiclePlayer, identity_of
from tests.support.names import new_name
from tests.support.resolver import ProgramCaller, RunningResolver, running_resolver
from tests.support.waiting import until

BLOCK = 1024
SETTINGS: dict[str, Any] = {
    "block_size": BLOCK,
    "ack_timeout_s": 5.0,
    "ack_commit_s": 0.01,
    "tries": 1,
    "notify_retry_s": 5.0,
    "node_check_s": 0.2,
    "dispatch_interval_s": 0.1,
}


class RunningCore:
    """A running Core, its neighbours and its callers."""

    def __init__(self, program: CoreProgram, resolver: RunningResolver, edge: EdgePlayer, folder: Path) -> None:
        self.program, self.resolver, self.edge, self.folder = program, resolver, edge, folder
        self.db = program.db
        self.address = f"http://127.0.0.1:{program.port}"
        self.web = ProgramCaller(self.address, (folder / "web.token").read_text())
        self.logistics = ProgramCaller(self.address, (folder / "logistics.token").read_text())
        self.stranger = ProgramCaller(self.address, "a token that was never issued")

    async def close(self) -> None:
        """Close the callers' connections."""
        for caller in (self.web, self.logistics, self.stranger):
            await caller.client.close()

    async def add_vehicle(self, *packages: tuple[str, str], vin: str | None = None) -> str:
        """Register a vehicle with Core and the Resolver; return the VIN."""
        vin = await self.resolver.add_vehicle(packages=packages, vin=vin)
        assert (await self.web.send("POST", "/vehicles", {"vin": vin})).status == 200
        if packages:
            installed = [{"name": name, "version": version} for name, version in packages]
            assert (await self.web.send("PUT", f"/vehicles/{vin}/packages", installed)).status == 200
        return vin

    async def add_package(
        self, name: str, version: str, *needs: tuple[str, str], blocks: float = 3, expression: str | None = None
    ) -> bytes:
        """Register a package of this many blocks with Core and the Resolver; return its content."""
        content = hashlib.shake_256(f"{name}/{version}".encode()).digest(int(blocks * BLOCK))
        key = f"{name}-{version}"
        (self.folder / "packages" / key).write_bytes(content)
        body = new_package(name, version, content, uri=key)
        answer = await self.web.send("POST", "/packages", body)
        assert answer.status == 200, answer.body
        await self.resolver.add_package(name, version, *needs)
        if expression is not None:
            await self.resolver.attach(name, version, await self.resolver.add_filter(expression))
        return content

    async def add_target(self, *packages: tuple[str, str]) -> tuple[str, str]:
        """Register a vehicle and a package whose filter chooses it alone; return VIN and the package's name."""
        vin = await self.add_vehicle(*packages)
        name = new_name("ivi")
        await self.add_package(name, "2.1.0", expression=f'vin_matches "{vin}"')
        return vin, name

    async def queue(self, name: str, version: str, **more: Any) -> str:
        """Queue a package; return the Install Request ID."""
        answer = await self.web.send("POST", "/install-requests", queue_request(name, version, **more))
        assert answer.status == 200, answer.body
        return str(answer.body["install_request_id"])

    async def offer(self, *packages: tuple[str, str], blocks: float = 3, **more: Any) -> Offer:
        """Register a vehicle and a package for it alone, connect the vehicle, and queue the package."""
        vin = await self.add_vehicle(*packages)
        name = new_name("ivi")
        content = await self.add_package(name, "2.1.0", blocks=blocks, expression=f'vin_matches "{vin}"')
        vehicle = VehiclePlayer(self.edge, vin)
        await vehicle.connect()
        request_id = await self.queue(name, "2.1.0", **more)
        notified = (await self.edge.expect(vin, "notify")).body
        return Offer(self, vehicle, f"{name}/2.1.0", content, request_id, notified)

    async def update_of(self, request_id: str) -> dict[str, Any]:
        """Return the one update of a request."""
        answer = await self.web.send("GET", f"/install-requests/{request_id}/vehicles")
        assert len(answer.body) == 1, answer.body
        update: dict[str, Any] = answer.body[0]
        return update

    async def installed(self, vin: str) -> list[dict[str, str]]:
        """Return what Core shows as installed."""
        packages: list[dict[str, str]] = (await self.web.send("GET", f"/vehicles/{vin}/packages")).body
        return packages

    async def execute(self, statement: str) -> None:
        """Run a statement on Core's database."""
        await self.db.transact(lambda tx: tx.execute(sa.text(statement)))


class Offer:
    """An update that a vehicle was notified of."""

    def __init__(
        self,
        core: RunningCore,
        vehicle: VehiclePlayer,
        package: str,
        content: bytes,
        request_id: str,
        notified: dict[str, Any],
    ) -> None:
        self.core, self.vehicle, self.package = core, vehicle, package
        self.content, self.request_id, self.notified = content, request_id, notified

    @property
    def index(self) -> int:
        """The index of the update's last download."""
        return int(self.notified["downloads"][-1]["download_index"])

    @property
    def identity(self) -> dict[str, Any]:
        """The identity of the update's last download."""
        return identity_of(self.notified, self.notified["downloads"][-1])

    async def update(self) -> dict[str, Any]:
        """Return the update as Core shows it."""
        return await self.core.update_of(self.request_id)

    async def wait_for(self, status: str) -> dict[str, Any]:
        """Wait until the update has this status."""

        async def look() -> dict[str, Any] | None:
            update = await self.update()
            return update if update["status"] == status else None

        return await until(look, f"{self.package} is {status}")


def new_package(name: str, version: str, content: bytes, *, uri: str) -> dict[str, Any]:
    """Describe a package as the Web Server does."""
    return {
        "name": name,
        "version": version,
        "description": "Head unit",
        "vendor": "Example",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "sha1": hashlib.sha1(content).hexdigest(),
        "uri": uri,
        "installer": "deb",
    }


def queue_request(name: str, version: str, **more: Any) -> dict[str, Any]:
    """Describe a Queue Package Request that is due now; ``start_s`` and ``end_s`` are seconds from now."""
    now = datetime.now(UTC)
    start = now + timedelta(seconds=more.pop("start_s", -60))
    end = now + timedelta(seconds=more.pop("end_s", 3600))
    return {
        "package": {"name": name, "version": version},
        "priority": 10,
        "interval": {"start": start.isoformat(), "end": end.isoformat()},
        **more,
    }


def core_settings(database_url: str, folder: Path, **settings: Any) -> CoreSettings:
    """Return the settings of a Core for tests."""
    return CoreSettings(
        port=0,
        database=database_url,
        credentials_file=folder / "callers.toml",
        data=folder,
        repository=str(folder / "packages"),
        resolver_token_file=folder / "resolver.token",
        **{**SETTINGS, **settings},
    )


@asynccontextmanager
async def running_core(database_url: str, folder: Path, **settings: Any) -> AsyncIterator[RunningCore]:
    """Run Core with a Resolver on SQLite and a played node as long as the block."""
    (folder / "packages").mkdir()
    (folder / "resolver").mkdir()
    callers = folder / "callers.toml"
    (folder / "web.token").write_text(issue(callers, "Web Server"))
    (folder / "logistics.token").write_text(issue(callers, "Logistics & Provisioning API"))
    edge = EdgePlayer()
    await edge.start()
    async with running_resolver(f"sqlite:///{folder / 'resolver.db'}", folder / "resolver") as resolver:
        (folder / "resolver.token").write_text(resolver.core_token)
        program = CoreProgram(
            core_settings(database_url, folder, resolver_url=resolver.address, node_url=edge.url, **settings)
        )
        try:
            await program.start()
            edge.settle = program.engine.settled
            running = RunningCore(program, resolver, edge, folder)
            await edge.registered()
            yield running
            await running.close()
        finally:
            await program.stop()
            await edge.stop()
