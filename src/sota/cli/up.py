"""``sota up``: the backend in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sota.cli.launch import launch

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
    ready_file: Path | None = None,
) -> None:
    """Run the backend in one process: Web Server, SOTA Core, External Resolver, RVI Node Server.

    Everything is stored below one folder. The first start creates the secrets between the programs, an authority for
    vehicles and the first administrator, whose password is printed until it is changed. It listens on loopback.
    Only one process may run on the folder.

    Parameters
    ----------
    data
        Folder for databases, packages, secrets and identities.
    database
        Address of a MariaDB server, mysql://user:password@host:3306, instead of the embedded databases. Set it in the
        environment variable to keep the password private.
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
        Print one line of JSON on standard output when ready: addresses, first sign-in, and a token of an operator,
        which is valid until the backend ends, or for 12 h.
    ready_file
        Write that line to this file instead, readable only by its owner. A redirection of standard output would
        empty the file before this command can find out that the folder is in use.
    """
    from sota.cli.backend import Ports, claims_of
    from sota.cli.up_ready import Ready
    from sota.kit.files.data_folder import claimed

    ports = Ports(http_port, https_port, core_port, resolver_port, edge_port, link_port, operation_port)
    ready = Ready(data, ports, database, prints=json_ready, file=ready_file)
    with claimed(*claims_of(data)):
        ready.prepare()
        launch(ready.make, log_level=log_level, operation_port=ports.operation, when_ready=ready.announce)
