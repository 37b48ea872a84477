"""The backend's programs call each other over TLS: each trusts one authority, and shows a certificate of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sota.boundaries.binding.service_credentials import issue
from sota.boundaries.interaction import Program
from sota.core.program import CoreProgram
from sota.core.settings import CoreSettings
from sota.kit.errors import StartError, Unavailable
from sota.kit.http.client import HttpClient
from sota.kit.security.tls_client import calling
from sota.resolver.program import ResolverProgram
from sota.resolver.settings import ResolverSettings
from sota.web.program import WebProgram
from sota.web.settings import WebSettings
from tests.support.backend import Server
from tests.support.certificates import Pair, Signer
from tests.support.names import new_vin
from tests.support.processes import free_ports
from tests.support.waiting import until

pytestmark = pytest.mark.anyio
PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Secured:
    """A backend whose Core and Resolver are called by mutual TLS alone; ``files`` are what each program shows."""

    web: Server
    core_url: str
    resolver_url: str
    signer: Signer
    files: dict[str, Pair]
    token: str


def called(signer: Signer, pair: Pair, port: int) -> dict[str, Any]:
    return {
        "tls_port": port,
        "tls_host": "127.0.0.1",
        "tls_certificate_file": pair.certificate,
        "tls_certificate_key_file": pair.key,
        "tls_callers_file": signer.file,
    }


def calls(signer: Signer, pair: Pair) -> dict[str, Any]:
    return {
        "services_ca_file": signer.file,
        "services_certificate_file": pair.certificate,
        "services_certificate_key_file": pair.key,
    }


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    signer = Signer(tmp_path)
    files = {name: signer.issue(name) for name in ("web", "core", "resolver")}
    core_port, resolver_port, node_port = free_ports(3)
    tokens = {
        "web-core": issue(tmp_path / "core.toml", Program.WEB_SERVER),
        "web-resolver": issue(tmp_path / "resolver.toml", Program.WEB_SERVER),
        "core-resolver": issue(tmp_path / "resolver.toml", Program.SOTA_CORE),
    }
    for name, token in tokens.items():
        (tmp_path / name).write_text(token)
    core_url, resolver_url = f"https://127.0.0.1:{core_port}", f"https://127.0.0.1:{resolver_port}"
    resolver = ResolverProgram(
        ResolverSettings(
            port=0,
            database=f"sqlite:///{tmp_path}/resolver.db",
            credentials_file=tmp_path / "resolver.toml",
            data=tmp_path / "resolver",
            **called(signer, files["resolver"], resolver_port),
        )
    )
    core = CoreProgram(
        CoreSettings(
            port=0,
            database=f"sqlite:///{tmp_path}/core.db",
            credentials_file=tmp_path / "core.toml",
            data=tmp_path / "core",
            repository=str(tmp_path / "packages"),
            resolver_url=resolver_url,
            resolver_token_file=tmp_path / "core-resolver",
            node_url=f"http://127.0.0.1:{node_port}",
            **called(signer, files["core"], core_port),
            **calls(signer, files["core"]),
        )
    )
    web = WebProgram(
        WebSettings(
            port=0,
            https_port=0,
            database=f"sqlite:///{tmp_path}/web.db",
            data=tmp_path / "web",
            repository=str(tmp_path / "packages"),
            core_url=core_url,
            core_token_file=tmp_path / "web-core",
            resolver_url=resolver_url,
            resolver_token_file=tmp_path / "web-resolver",
            **calls(signer, files["web"]),
        )
    )
    async with AsyncExitStack() as stack:
        for program in (resolver, core):
            await program.start()
            stack.push_async_callback(program.stop)
        server = Server(web)
        await server.start()
        stack.push_async_callback(server.stop)
        yield Secured(server, core_url, resolver_url, signer, files, tokens["web-core"])


async def reaches(secured: Secured, trusted: Path, shown: Pair | None) -> bool:
    """Report whether Core answers a caller with a valid credential and this certificate."""
    pair = (shown.certificate, shown.key) if shown is not None else (None, None)
    client = HttpClient(secured.core_url, secured.token, calling("services", trusted, *pair), timeout_s=5)
    try:
        return (await client.request("GET", "/api/v1/vehicles")).status == 200
    except Unavailable:
        return False
    finally:
        await client.close()


async def test_web_server_core_and_resolver_work_together_over_mutual_tls(secured: Secured) -> None:
    vin, package = new_vin(), {"name": "ivi", "version": "2.1.0"}
    ask = secured.web.ask
    assert (await ask("POST", "/api/v1/vehicles", {"vin": vin})).status == 200
    assert (await secured.web.upload({**package, "installer": "deb"}, b"content")).status == 200
    assert (await ask("POST", "/api/v1/filters", {"name": "all", "expression": "TRUE"})).status == 200
    assert (await ask("POST", "/api/v1/packages/ivi/2.1.0/filters", {"filter": "all"})).status == 200
    interval = {"start": "2030-01-01T00:00:00Z", "end": "2031-01-01T00:00:00Z"}
    body = {"package": package, "priority": 1, "interval": interval}
    queued = await ask("POST", "/api/v1/install-requests", body)  # for which Core asks the Resolver
    assert queued.status == 200, queued
    updates = await ask("GET", f"/api/v1/install-requests/{queued.body['install_request_id']}/vehicles")
    assert [update["vin"] for update in updates.body] == [vin]


async def test_credential_without_a_certificate_of_the_authority_reaches_nothing(
    secured: Secured, tmp_path: Path
) -> None:
    (tmp_path / "stranger").mkdir()
    stranger = Signer(tmp_path / "stranger", "stranger")
    own = secured.signer.file
    assert await reaches(secured, own, secured.files["web"])
    assert not await reaches(secured, own, None)
    assert not await reaches(secured, own, stranger.issue("web"))
    assert not await reaches(secured, stranger.file, secured.files["web"]), "nor is an unknown Core believed"


async def test_another_certificate_is_taken_up_without_a_restart(secured: Secured, tmp_path: Path) -> None:
    (tmp_path / "next").mkdir()
    following = Signer(tmp_path / "next", "next")
    other, shown = following.issue("core"), secured.files["core"]
    shown.key.write_bytes(other.key.read_bytes())
    shown.certificate.write_bytes(other.certificate.read_bytes())

    async def is_shown() -> bool:
        return await reaches(secured, following.file, secured.files["web"])

    await until(is_shown, "Core presents its other certificate", timeout_s=PATIENCE_S, interval_s=0.2)
    assert not await reaches(secured, following.file, None), "who calls still has to show a certificate"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tls_port": 1}, "tls_port is set: set tls_certificate_file and tls_certificate_key_file too"),
        ({"tls_callers_file": "a"}, "tls_certificate_file or tls_callers_file is set: set tls_port too"),
        ({"tls_port": 1, "tls_certificate_file": "a", "tls_certificate_key_file": "b"}, "No such file"),
    ],
)
async def test_half_a_setting_starts_nothing(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    issue(tmp_path / "callers.toml", Program.WEB_SERVER)
    given: dict[str, Any] = {
        name: tmp_path / value if isinstance(value, str) else value for name, value in changes.items()
    }
    settings = ResolverSettings(
        port=0,
        database=f"sqlite:///{tmp_path}/resolver.db",
        credentials_file=tmp_path / "callers.toml",
        data=tmp_path / "resolver",
        **given,
    )
    program = ResolverProgram(settings)
    with pytest.raises(StartError, match=says):
        await program.start()
    await program.stop()
