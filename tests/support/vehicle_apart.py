"""The settings of a vehicle whose three programs are separate processes, so that each can be killed alone."""

from __future__ import annotations

from collections.abc import Mapping

from sota.cli.vehicle_parts import prepare_secrets
from tests.support.processes import free_ports
from tests.support.vehicle_files import VehicleFiles

COMMANDS = {"node": "rvi-node", "client": "client", "slm": "slm"}


def tables_apart(files: VehicleFiles, link_port: int) -> Mapping[str, Mapping[str, object]]:
    """Return the TOML tables of a vehicle's programs, and issue the credentials between them."""
    edge_port, client_port, slm_port = free_ports(3)
    here = "http://127.0.0.1:"
    secrets = prepare_secrets(files.data)
    return {
        "rvi_node": {
            "role": "client",
            "prefix": f"genivi.org/vin/{files.vin}",
            "edge_port": edge_port,
            "tls_port": 0,
            "peers": [f"tls://127.0.0.1:{link_port}"],
            "reconnect_s": 0.2,
            "reconnect_max_s": 0.4,  # the tests cut it off more often than it connects for long
            "identity": files.identity,
            "data": files.data / "node",
        },
        "client": {
            "vin": files.vin,
            "port": client_port,
            "data": files.data / "client",
            "node_url": f"{here}{edge_port}",
            "slm_url": f"{here}{slm_port}",
            "slm_token_file": secrets / "client-to-slm.token",
            "credentials_file": secrets / "client.toml",
            "keys": files.keys,
            "register_s": 1.0,
            "retry_s": 1.0,
            "resume_s": 2.0,
        },
        "slm": {
            "vin": files.vin,
            "port": slm_port,
            "data": files.data / "slm",
            "root": files.root,
            "client_url": f"{here}{client_port}",
            "client_token_file": secrets / "slm-to-client.token",
            "credentials_file": secrets / "slm.toml",
            "remind_s": 2.0,
        },
    }
