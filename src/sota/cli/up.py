"""``sota up``: the backend in one process."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sota.cli.launch import launch

TOKEN_LIFETIME = timedelta(hours=12)
DATABASE_VARIABLE = "SOTA_UP_DATABASE"
PortOption = Annotated[int, Parameter(negative=())]


def up(
    *,
    data: Path = Path("var"),
    database: Annotated[str | None, Parameter(env_var=DATABASE_VARIABLE)] = None,
    http_port: PortOption = 8080,
    https_port: PortOption = 8443,
    core_port: PortOption = 8081,
    resolver_port: PortOption = 8082,
    edge_port: PortOption = 8801,
    link_port: PortOption = 8810,
    operation_port: PortOption = 9180,
    log_level: str = "info",
    json_ready: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Run the backend in one process: Web Server, SOTA Core, External Resolver, RVI Node Server.

    Everything it keeps is below one folder. The first start makes the secrets between the programs, an authority for
    vehicles and the first administrator, whose password is printed once. It listens on loopback.

    Parameters
    ----------
    data
        Folder for databases, packages, secrets and identities.
    database
        Address of a MariaDB server, mysql://user:password@host:3306, instead of the embedded databases. In the
        environment variable nobody else can read its password.
    http_port
        JSON API on plain HTTP.
    https_port
        Console and JSON API on HTTPS.
    core_port
        SOTA Core.
    resolver_port
        External Resolver.
    edge_port
        The node's service edge.
    link_port
        The node's TLS link, to which vehicles connect.
    operation_port
        Health, readiness and metrics.
    log_level
        debug, info, warning or error.
    json_ready
        Print one line of JSON on standard output when ready: addresses, first sign-in, a token of an operator for 12 h.
    """
    from sota.boundaries.interaction import Role
    from sota.cli.backend import Backend, Ports, assemble
    from sota.cli.schemas import create_schemas
    from sota.web.accounts.model import FIRST_ADMIN
    from sota.web.accounts.service import issue_token

    ports = Ports(http_port, https_port, core_port, resolver_port, edge_port, link_port, operation_port)
    if database is not None:
        asyncio.run(create_schemas(database))
    backends: list[Backend] = []

    def make() -> list[object]:
        backends.append(assemble(data, ports, database=database))
        return list(backends[0].programs)

    async def announce() -> None:
        web = backends[0].web
        ready: dict[str, str | None] = {
            "console": f"https://localhost:{web.https_port}/",
            "api": f"http://127.0.0.1:{web.port}/api/v1",
            "certificate": str(web.certificate),
            "user": FIRST_ADMIN if web.first_password else None,
            "password": web.first_password,
        }
        if json_ready:
            ready["token"] = await issue_token(web.db, Role.OPERATOR, "sota up --json-ready", valid_for=TOKEN_LIFETIME)
            print(json.dumps(ready), flush=True)
        else:
            _greet(ready)
        await asyncio.Event().wait()

    launch(make, log_level=log_level, operation_port=ports.operation, when_ready=announce)  # type: ignore[arg-type]


def _greet(ready: dict[str, str | None]) -> None:
    lines = [f"SOTA is up. Console: {ready['console']}   API: {ready['api']}"]
    if ready["password"]:
        lines.append(f"First sign-in, shown once: {ready['user']} / {ready['password']} (you then choose your own)")
    print("\n".join(lines), file=sys.stderr, flush=True)
