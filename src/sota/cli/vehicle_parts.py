"""Assembles a whole vehicle in one folder: settings and local secrets of its three programs.

The programs of ``sota vehicle`` are connected by loopback sockets and real credentials, exactly as separate programs
are. Nothing of the backend is imported here: a vehicle stays light.
"""

from __future__ import annotations

from pathlib import Path

from sota.boundaries.binding.service_credentials import issue
from sota.boundaries.interaction import Program
from sota.cli.vehicle_options import VehicleOptions
from sota.client.program import ClientProgram
from sota.client.settings import ClientSettings
from sota.kit.errors import StartError
from sota.kit.files.durable import private_folder, write_atomic
from sota.kit.runtime.program import RunnableProgram
from sota.kit.runtime.settings import load
from sota.rvi.node import Node
from sota.rvi.settings import NodeSettings
from sota.slm.program import SlmProgram
from sota.slm.settings import SlmSettings


def assemble(vin: str, options: VehicleOptions) -> list[RunnableProgram]:
    """Create the three programs with everything below the data folder, in the order in which they start.

    Raises:
        StartError: the vehicle has no identity yet, or a setting is invalid.
    """
    data, keys = options.data, options.keys or options.data / "keys"
    if not (data / "identity" / "credential.jwt").exists():
        raise StartError(f"{data / 'identity'} has no credential.jwt: issue one with sota enrol {vin} --to …")
    secrets = prepare_secrets(data)
    ports = (options.edge_port, options.client_port, options.slm_port)
    node_url, client_url, slm_url = (f"http://127.0.0.1:{port}" for port in ports)
    node = NodeSettings(
        role="client",
        prefix=f"genivi.org/vin/{vin}",
        data=data / "node",
        identity=data / "identity",
        edge_port=options.edge_port,
        tls_port=0,
        peers=(options.backend,),
        trust_clock=False,  # docs/decisions/0014
    )
    client = load(
        ClientSettings,
        "client",
        file=options.config,
        overrides={
            "vin": vin,
            "port": options.client_port,
            "data": data / "client",
            "node_url": node_url,
            "slm_url": slm_url,
            "slm_token_file": secrets / "client-to-slm.token",
            "credentials_file": secrets / "client.toml",
            "keys": keys,
            "identity": data / "identity",
            "allow_unsigned": options.allow_unsigned,
        },
    )
    slm = load(
        SlmSettings,
        "slm",
        file=options.config,
        overrides={
            "vin": vin,
            "port": options.slm_port,
            "data": data / "slm",
            "root": options.root or data / "root",
            "client_url": client_url,
            "client_token_file": secrets / "slm-to-client.token",
            "credentials_file": secrets / "slm.toml",
            "keys": keys,
            "allow_unsigned_images": options.allow_unsigned,
        },
    )
    return [Node(node), SlmProgram(slm), ClientProgram(client)]


def prepare_secrets(data: Path) -> Path:
    """Create missing tokens between the vehicle's programs; return their folder."""
    secrets = private_folder(data / "secrets")
    for callee, caller, token in (
        ("slm", Program.SOTA_CLIENT, "client-to-slm"),
        ("slm", Program.HEAD_UNIT, "head-unit-to-slm"),
        ("client", Program.SOFTWARE_LOADING_MANAGER, "slm-to-client"),
    ):
        file = secrets / f"{token}.token"
        if not file.exists():
            write_atomic(file, issue(secrets / f"{callee}.toml", str(caller)).encode(), mode=0o600)
    return secrets
