"""Assembles a whole backend in one folder: settings, secrets and identities of its four programs.

The programs of ``sota up`` are connected by loopback sockets and real credentials, exactly as separate programs are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sota.boundaries.authority import Authority
from sota.boundaries.binding.service_credentials import issue
from sota.boundaries.interaction import Program
from sota.cli.schemas import database_url
from sota.core.program import CoreProgram
from sota.core.settings import CoreSettings
from sota.kit.files.data_folder import Claim
from sota.kit.files.durable import private_folder, write_atomic
from sota.resolver.program import ResolverProgram
from sota.resolver.settings import ResolverSettings
from sota.rvi.node import Node
from sota.rvi.settings import NodeSettings
from sota.web.program import WebProgram
from sota.web.settings import WebSettings


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the backend listens; the defaults suit a developer's machine."""

    http: int = 8080
    https: int = 8443
    core: int = 8081
    resolver: int = 8082
    edge: int = 8801
    link: int = 8810
    operation: int = 9180


@dataclass(frozen=True, slots=True)
class Backend:
    """The four programs, in the order in which they start."""

    resolver: ResolverProgram
    node: Node
    core: CoreProgram
    web: WebProgram

    @property
    def programs(self) -> list[ResolverProgram | Node | CoreProgram | WebProgram]:
        """All of them."""
        return [self.resolver, self.node, self.core, self.web]


def claims_of(data: Path) -> tuple[Claim, ...]:
    """List the folders that a backend locks: the whole one, and each program's in it."""
    own = ("*.db", "*.db-*", "web", "core", "resolver", "node", "secrets", "authority", "packages", "ready.json")
    return (
        Claim(data, "up", own),
        Claim(data / "web", "web"),
        Claim(data / "core", "core"),
        Claim(data / "resolver", "resolver"),
        Claim(data / "node", "rvi-node"),
    )


def prepare_secrets(data: Path) -> Path:
    """Create missing credentials between the programs, and the node's identity; return their folder."""
    secrets = private_folder(data / "secrets")
    for callee, caller, token in (
        ("core", Program.WEB_SERVER, "web-to-core"),
        ("core", Program.LOGISTICS, "logistics"),
        ("resolver", Program.WEB_SERVER, "web-to-resolver"),
        ("resolver", Program.SOTA_CORE, "core-to-resolver"),
    ):
        file = secrets / f"{token}.token"
        if not file.exists():
            write_atomic(file, issue(secrets / f"{callee}.toml", str(caller)).encode(), mode=0o600)
    identity = data / "node" / "identity"
    if not (identity / "credential.jwt").exists():
        Authority.open(data / "authority").issue_backend(identity)
    return secrets


def assemble(data: Path, ports: Ports, *, database: str | None = None, host: str = "127.0.0.1") -> Backend:
    """Create the four programs with everything below ``data``.

    ``database`` is the address of a MariaDB server (``mysql://user:password@host:3306``), on which each program has a
    schema of its own (``sota_web``, ``sota_core``, ``sota_resolver``; a name in the URL's path replaces ``sota``).
    """
    secrets = prepare_secrets(data)
    repository = str(data / "packages")
    return Backend(
        ResolverProgram(
            ResolverSettings(
                host=host,
                port=ports.resolver,
                data=data / "resolver",
                database=database_url(data, database, "resolver"),
                credentials_file=secrets / "resolver.toml",
            )
        ),
        Node(
            NodeSettings(
                host=host,
                link_host=host,
                edge_port=ports.edge,
                tls_port=ports.link,
                data=data / "node",
                identity=data / "node" / "identity",
                revoked=data / "core" / "revoked.txt",
            )
        ),
        CoreProgram(
            CoreSettings(
                host=host,
                port=ports.core,
                data=data / "core",
                database=database_url(data, database, "core"),
                credentials_file=secrets / "core.toml",
                authority=data / "authority",
                repository=repository,
                resolver_url=f"http://{host}:{ports.resolver}",
                resolver_token_file=secrets / "core-to-resolver.token",
                node_url=f"http://{host}:{ports.edge}",
            )
        ),
        WebProgram(
            WebSettings(
                host=host,
                port=ports.http,
                https_port=ports.https,
                data=data / "web",
                database=database_url(data, database, "web"),
                core_url=f"http://{host}:{ports.core}",
                core_token_file=secrets / "web-to-core.token",
                resolver_url=f"http://{host}:{ports.resolver}",
                resolver_token_file=secrets / "web-to-resolver.token",
                repository=repository,
            )
        ),
    )
