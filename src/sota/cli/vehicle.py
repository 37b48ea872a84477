"""``sota vehicle``: a vehicle in one process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sota.cli.vehicle_process import VehicleOrder, encode

PortOption = Annotated[int, Parameter(negative=())]


def vehicle(
    vin: str,
    *,
    data: Path = Path("var/vehicle"),
    backend: str = "tls://127.0.0.1:8810",
    root: Path | None = None,
    keys: Path | None = None,
    allow_unsigned: Annotated[bool, Parameter(negative=())] = False,
    config: Path | None = None,
    edge_port: PortOption = 9001,
    client_port: PortOption = 9101,
    slm_port: PortOption = 9102,
    operation_port: PortOption = 0,
    log_level: str = "info",
) -> None:
    """Run a vehicle in one process: RVI Node Client, SOTA Client, Software Loading Manager.

    Its identity (see: sota enrol) is in DATA/identity, the keys that may sign its packages in DATA/keys.

    Parameters
    ----------
    vin
        17 capital letters and digits; must be the one of the identity.
    data
        Folder for the vehicle's data: identity, keys, downloads, journal.
    backend
        The backend node's link, tls://host:port.
    root
        The vehicle's file system, into which packages are installed; the default is DATA/root.
    keys
        Folder with the public keys (*.pub.pem) that may sign packages; the default is DATA/keys.
    allow_unsigned
        Accept packages without a signature. For a laboratory only.
    config
        TOML file with further settings of the client and the loading manager, in [client] and [slm]: installers,
        preconditions, consent. Other options override it.
    edge_port
        The node's service edge.
    client_port
        The SOTA Client.
    slm_port
        The Software Loading Manager.
    operation_port
        Health, readiness and metrics; 0 turns it off.
    log_level
        debug, info, warning or error.
    """
    order = VehicleOrder(
        vin=vin,
        data=data,
        backend=backend,
        root=root,
        keys=keys,
        allow_unsigned=allow_unsigned,
        config=config,
        edge_port=edge_port,
        client_port=client_port,
        slm_port=slm_port,
        operation_port=operation_port,
        log_level=log_level,
    )
    # The command line's libraries take 9 MB that a vehicle does not need: continue as the same process without them.
    os.execv(sys.executable, [sys.executable, "-m", "sota.cli.vehicle_process", encode(order)])  # noqa: S606 - our own interpreter, no shell
