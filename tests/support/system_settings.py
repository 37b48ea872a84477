"""The settings of the backend's four programs for tests: as ``sota up`` chooses them, but quick to try again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import free_ports

Settings = Mapping[str, object]
Tables = Mapping[str, Settings]
BACKEND = ("resolver", "node", "core", "web")
COMMANDS = {"resolver": "resolver", "node": "rvi-node", "core": "core", "web": "web"}
TABLES = {"resolver": "resolver", "node": "rvi_node", "core": "core", "web": "web"}


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the backend listens."""

    http: int
    https: int
    core: int
    resolver: int
    edge: int
    link: int
    operation: Mapping[str, int]

    @classmethod
    def free(cls) -> Ports:
        """Choose free ones."""
        http, https, core, resolver, edge, link, *rest = free_ports(6 + len(BACKEND))
        return cls(http, https, core, resolver, edge, link, dict(zip(BACKEND, rest, strict=True)))


def backend_tables(data: Path, ports: Ports, secrets: Path, database_url: Callable[[str], str]) -> Tables:
    """Return the programs' tables of the TOML file."""
    edge, core, resolver = (f"http://127.0.0.1:{port}" for port in (ports.edge, ports.core, ports.resolver))
    repository = data / "packages"
    tables: dict[str, dict[str, object]] = {
        "resolver": {
            "port": ports.resolver,
            "credentials_file": secrets / "resolver.toml",
        },
        "rvi_node": {
            "edge_port": ports.edge,
            "tls_port": ports.link,
            "identity": data / "node" / "identity",
        },
        "core": {
            "port": ports.core,
            "credentials_file": secrets / "core.toml",
            "repository": repository,
            "resolver_url": resolver,
            "resolver_token_file": secrets / "core-to-resolver.token",
            "node_url": edge,
            "ack_timeout_s": 2.0,
            "tries": 1,
            "notify_retry_s": 2.0,
            "node_check_s": 0.5,
            "dispatch_interval_s": 0.2,
        },
        "web": {
            "port": ports.http,
            "https_port": ports.https,
            "core_url": core,
            "core_token_file": secrets / "web-to-core.token",
            "resolver_url": resolver,
            "resolver_token_file": secrets / "web-to-resolver.token",
            "repository": repository,
            "intent_retry_s": 1.0,
        },
    }
    for name in BACKEND:
        table = tables[TABLES[name]]
        table |= {"data": data / name, "log_level": "debug", "operation_port": ports.operation[name]}
        if name != "node":
            table["database"] = database_url(name)
    return tables


def changed(tables: Tables, changes: Tables) -> Tables:
    """Return the tables with some settings changed, by the programs' names."""
    by_table = {TABLES[name]: settings for name, settings in changes.items()}
    return {table: {**settings, **by_table.get(table, {})} for table, settings in tables.items()}


def to_toml(tables: Tables) -> str:
    """Write tables of texts, numbers, paths and lists of these as TOML."""
    lines = []
    for table, settings in tables.items():
        lines.append(f"[{table}]")
        for name, value in settings.items():
            lines.append(f"{name} = {json.dumps(str(value) if isinstance(value, Path) else value)}")
    return "\n".join(lines) + "\n"
