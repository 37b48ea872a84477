"""The backend's three programs in this process, on free ports: the real Web Server, SOTA Core and External Resolver.

They talk over real sockets with real credentials, on databases of their own. There is no RVI node: what is queued stays
queued. A :class:`Backend` also makes further Web Servers beside the first, for what happens when a neighbour is away or
refuses::

    async with running_backend(folder, ["sqlite:///…", "sqlite:///…", "sqlite:///…"]) as backend:
        answer = await backend.ask("POST", "/api/v1/vehicles", {"vin": new_vin()})
        assert answer.status == 200
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from sota.boundaries.b1_browser_web.browser import Browser
from sota.boundaries.b1_browser_web.client import WebClient
from sota.boundaries.binding.service_credentials import issue
from sota.boundaries.interaction import Program, Role
from sota.core.program import CoreProgram
from sota.core.settings import CoreSettings
from sota.kit.http.client import HttpClient
from sota.kit.security import tls
from sota.resolver.program import ResolverProgram
from sota.resolver.settings import ResolverSettings
from sota.web.accounts.model import FIRST_ADMIN
from sota.web.accounts.service import change_account, issue_token
from sota.web.program import WebProgram
from sota.web.settings import WebSettings
from tests.support.answer import Answer, read
from tests.support.clocks import HeldClock
from tests.support.names import new_name, new_vin
from tests.support.processes import free_ports

JSON = {"content-type": "application/json"}


@dataclass(slots=True)
class Server:
    """One Web Server and the ways in: a token of each role, a browser.

    ``start`` lets the first account have changed its generated password, as every user does at the first sign-in.
    """

    web: WebProgram
    password: str = "a password of the first admin"
    clients: dict[str, HttpClient] = field(default_factory=dict)
    making: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def client(self, role: Role = Role.OPERATOR) -> HttpClient:
        """Return a client of the plain port with a token of this role; ``public`` has none."""
        async with self.making:
            if role not in self.clients:
                token = None if role is Role.PUBLIC else await issue_token(self.web.db, role, f"tests-{role}")
                self.clients[role] = HttpClient(f"http://127.0.0.1:{self.web.port}", token=token)
            return self.clients[role]

    async def api(self, role: Role = Role.OPERATOR) -> WebClient:
        """Return the client that programs use."""
        return WebClient(await self.client(role))

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        role: Role = Role.OPERATOR,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make a call; a body other than bytes is sent as JSON."""
        client = await self.client(role)
        content = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        given = {**(JSON if body is not None else {}), **(headers or {})}
        return read(await client.request(method, path, query=query, body=content, headers=given))

    async def upload(self, metadata: Mapping[str, Any], file: bytes, *, role: Role = Role.OPERATOR) -> Answer:
        """Upload a package."""
        kind, content = multipart(("metadata", msgspec.json.encode(metadata)), ("file", file))
        return await self.ask("POST", "/api/v1/packages", content, role=role, headers={"content-type": kind})

    def browser(self) -> Browser:
        """Open a browser that trusts the server's certificate; no user is signed in."""
        assert self.web.certificate is not None
        client = HttpClient(f"https://localhost:{self.web.https_port}", ssl=tls.trusting(self.web.certificate))
        self.clients[new_name("browser")] = client
        return Browser(client)

    async def start(self) -> None:
        """Start it."""
        await self.web.start()
        await change_account(self.web.db, FIRST_ADMIN, password=self.password)

    async def signed_in(self) -> Browser:
        """Open a browser in which the first account is signed in."""
        browser = self.browser()
        answer = await browser.sign_in(FIRST_ADMIN, self.password)
        assert answer.status in (200, 301), answer
        return browser

    async def stop(self) -> None:
        """End it."""
        for client in self.clients.values():
            await client.close()
        await self.web.stop()


@dataclass(slots=True)
class Backend(Server):
    """The three programs. ``server`` makes further Web Servers on databases from ``spare``."""

    core: CoreProgram = field(kw_only=True)
    resolver: ResolverProgram = field(kw_only=True)
    settings: Mapping[str, Any] = field(kw_only=True)
    folder: Path = field(kw_only=True)
    clock: HeldClock = field(kw_only=True)
    """The Web Server's."""

    @contextlib.asynccontextmanager
    async def another(self, database: str, **changes: Any) -> AsyncIterator[Server]:
        """Run another Web Server beside ours, on its own database and with changed settings."""
        folder = self.folder / new_name("web")
        given = {**self.settings, "database": database, "data": folder, "repository": str(folder / "packages")}
        server = Server(WebProgram(WebSettings(**(given | changes))))
        await server.start()
        try:
            yield server
        finally:
            await server.stop()

    async def with_package(self, name: str | None = None, version: str = "1.0.0", **metadata: Any) -> str:
        """Upload a small package; return ``name/version``."""
        name = name or new_name("package")
        answer = await self.upload({"name": name, "version": version, "installer": "deb", **metadata}, b"content")
        assert answer.status == 200, answer
        return f"{name}/{version}"

    async def with_vehicle(self, prefix: str = "WVW") -> str:
        """Register a vehicle; return its VIN."""
        vin = new_vin(prefix)
        answer = await self.ask("POST", "/api/v1/vehicles", {"vin": vin})
        assert answer.status == 200, answer
        return vin

    async def with_filter(self, expression: str = "TRUE") -> str:
        """Create a filter; return its name."""
        name = new_name("filter")
        answer = await self.ask("POST", "/api/v1/filters", {"name": name, "expression": expression})
        assert answer.status == 200, answer
        return name

    async def with_targeted_package(self, expression: str = "TRUE") -> str:
        """Upload a package and associate a filter with it; return ``name/version``."""
        package, filter_name = await self.with_package(), await self.with_filter(expression)
        answer = await self.ask("POST", f"/api/v1/packages/{package}/filters", {"filter": filter_name})
        assert answer.status == 200, answer
        return package


def multipart(*parts: tuple[str, bytes], boundary: str = "a-boundary-of-tests") -> tuple[str, bytes]:
    """Make a multipart body; return its content type and the body."""
    content = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + body + b"\r\n"
        for name, body in parts
    )
    return f"multipart/form-data; boundary={boundary}", content + f"--{boundary}--\r\n".encode()


@contextlib.asynccontextmanager
async def running_backend(
    folder: Path, databases: Sequence[str], *, repository: str | None = None
) -> AsyncIterator[Backend]:
    """Run the three programs; ``databases`` are Core's, the Resolver's and the Web Server's.

    ``repository`` is where packages are kept: a folder of its own where none is given.
    """
    core_callers, resolver_callers = folder / "core.toml", folder / "resolver.toml"
    tokens = {
        "web-core": issue(core_callers, Program.WEB_SERVER),
        "web-resolver": issue(resolver_callers, Program.WEB_SERVER),
        "core-resolver": issue(resolver_callers, Program.SOTA_CORE),
    }
    for name, token in tokens.items():
        (folder / f"{name}.token").write_text(token)
    repository = repository or str(folder / "packages")
    async with contextlib.AsyncExitStack() as stack:
        resolver = ResolverProgram(
            ResolverSettings(port=0, database=databases[1], credentials_file=resolver_callers, data=folder / "resolver")
        )
        await resolver.start()
        stack.push_async_callback(resolver.stop)
        resolver_url = f"http://127.0.0.1:{resolver.port}"
        core = CoreProgram(
            CoreSettings(
                port=0,
                database=databases[0],
                credentials_file=core_callers,
                repository=repository,
                data=folder / "core",
                authority=folder / "authority",
                resolver_url=resolver_url,
                resolver_token_file=folder / "core-resolver.token",
                node_url=f"http://127.0.0.1:{free_ports(1)[0]}",  # nothing is there
            )
        )
        await core.start()
        stack.push_async_callback(core.stop)
        settings: dict[str, Any] = {
            "port": 0,
            "https_port": 0,
            "data": folder / "web",
            "database": databases[2],
            "core_url": f"http://127.0.0.1:{core.port}",
            "core_token_file": folder / "web-core.token",
            "resolver_url": resolver_url,
            "resolver_token_file": folder / "web-resolver.token",
            "repository": repository,
            "intent_retry_s": 0.5,
            "call_timeout_s": 10.0,
        }
        clock = HeldClock()
        web = WebProgram(WebSettings(**settings), clock=clock)
        backend = Backend(web, core=core, resolver=resolver, settings=settings, folder=folder, clock=clock)
        await backend.start()
        stack.push_async_callback(backend.stop)
        yield backend
