"""The External Resolver for tests: the real program on a real socket, and programs that may call it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from sota.boundaries.binding.service_credentials import issue
from sota.kit.http.client import HttpClient
from sota.resolver.program import ResolverProgram
from sota.resolver.settings import ResolverSettings
from tests.support.answer import Answer, read
from tests.support.names import new_name, new_vin


def next_cursor(answer: Answer) -> str | None:
    """Return the cursor of the page that follows; None at the last page."""
    link = answer.headers.get("link")
    return parse_qs(urlsplit(link[1 : link.index(">")]).query)["cursor"][0] if link else None


class ProgramCaller:
    """A program that calls the Resolver with its own credential."""

    def __init__(self, address: str, token: str | None) -> None:
        self.client = HttpClient(address, token)

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send a request with a JSON body, or with bytes as they are."""
        kind = {} if body is None else {"content-type": "application/json"}
        content = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        response = await self.client.request(
            method, f"/api/v1{path}", query=query, body=content, headers={**kind, **(headers or {})}
        )
        return read(response)

    async def tell(self, *facts: dict[str, Any]) -> Answer:
        """Send facts, a line each; those without an id get one."""
        lines = [msgspec.json.encode({"id": new_name("fact"), **fact}) for fact in facts]
        return await self.send(
            "POST", "/facts", b"\n".join(lines) + b"\n", headers={"content-type": "application/x-ndjson"}
        )


class RunningResolver:
    """A running Resolver and its callers."""

    def __init__(self, program: ResolverProgram, web_token: str, core_token: str) -> None:
        self.program, self.db = program, program.db
        self.core_token = core_token
        self.address = f"http://127.0.0.1:{program.port}"
        self.web = ProgramCaller(self.address, web_token)
        self.core = ProgramCaller(self.address, core_token)
        self.stranger = ProgramCaller(self.address, "a token that was never issued")

    async def close(self) -> None:
        """Close the callers' connections."""
        for caller in (self.web, self.core, self.stranger):
            await caller.client.close()

    async def add_vehicle(
        self, *, packages: Sequence[tuple[str, str]] = (), components: Sequence[str] = (), vin: str | None = None
    ) -> str:
        """Register a vehicle with what it has; return the VIN."""
        vin = vin or new_vin()
        installed = [{"name": name, "version": version} for name, version in packages]
        answer = await self.core.tell(
            {"fact": "vehicle_registered", "vin": vin},
            {"fact": "packages_replaced", "vin": vin, "packages": installed},
            {"fact": "components_replaced", "vin": vin, "components": list(components)},
        )
        assert [result["status"] for result in answer.body] == ["recorded"] * 3
        return vin

    async def add_package(self, name: str, version: str, *needs: tuple[str, str]) -> None:
        """Register a package with its dependencies."""
        dependencies = [{"name": needed, "version": minimum} for needed, minimum in needs]
        answer = await self.web.send(
            "POST", "/packages", {"name": name, "version": version, "dependencies": dependencies}
        )
        assert answer.status == 200, answer.body

    async def add_filter(self, expression: str) -> str:
        """Create a filter; return its name."""
        name = new_name("filter")
        answer = await self.web.send("POST", "/filters", {"name": name, "expression": expression})
        assert answer.status == 200, answer.body
        return name

    async def attach(self, name: str, version: str, filter_name: str) -> None:
        """Attach a filter to a package."""
        answer = await self.web.send("POST", f"/packages/{name}/{version}/filters", {"filter": filter_name})
        assert answer.status == 200, answer.body

    async def offer(self, name: str, version: str, expression: str, *needs: tuple[str, str]) -> None:
        """Register a package and attach a filter to it."""
        await self.add_package(name, version, *needs)
        await self.attach(name, version, await self.add_filter(expression))

    async def resolve(self, name: str, version: str, caller: ProgramCaller | None = None) -> Answer:
        """Ask for the vehicles of a package."""
        return await (caller or self.web).send("POST", "/resolve", {"package": {"name": name, "version": version}})


@asynccontextmanager
async def running_resolver(database_url: str, folder: Path, **settings: Any) -> AsyncIterator[RunningResolver]:
    """Run the program on a free port as long as the block."""
    callers = folder / "callers.toml"
    web_token, core_token = issue(callers, "Web Server"), issue(callers, "SOTA Core")
    program = ResolverProgram(
        ResolverSettings(port=0, database=database_url, credentials_file=callers, data=folder, **settings)
    )
    try:
        await program.start()
        running = RunningResolver(program, web_token, core_token)
        yield running
        await running.close()
    finally:
        await program.stop()
