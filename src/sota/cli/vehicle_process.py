"""The process of ``sota vehicle``: it has the parsed options, without the command line's libraries.

Only ``vehicle.py`` starts ``python -m sota.cli.vehicle_process ORDER``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class VehicleOptions:
    """The options of ``sota vehicle``."""

    data: Path = Path("var/vehicle")
    "Folder for the vehicle's data: identity, keys, downloads, journal."
    backend: str = "tls://127.0.0.1:8810"
    "The backend node's link, tls://host:port."
    root: Path | None = None
    "The vehicle's file system, into which packages are installed; the default is DATA/root."
    keys: Path | None = None
    "Folder with the public keys (*.pub.pem) that may sign packages; the default is DATA/keys."
    allow_unsigned: bool = False
    "Accept packages without a signature. For a laboratory only."
    config: Path | None = None
    """TOML file with further settings of the client and the loading manager, in [client] and [slm]: installers,
    preconditions, consent. Other options override it."""
    edge_port: int = 9001
    "The node's service edge."
    client_port: int = 9101
    "The SOTA Client."
    slm_port: int = 9102
    "The Software Loading Manager."
    operation_port: int = 0
    "Health, readiness and metrics; 0 turns it off."
    log_level: str = "info"
    "debug, info, warning or error."


def encode(vin: str, options: VehicleOptions) -> str:
    """Encode the order as one argument."""
    return msgspec.json.encode((vin, options), enc_hook=str).decode()


def decode(text: str) -> tuple[str, VehicleOptions]:
    """Decode it."""
    return msgspec.json.decode(text, type=tuple[str, VehicleOptions], dec_hook=lambda _kind, value: Path(value))


def run(vin: str, options: VehicleOptions) -> None:
    """Run the vehicle until a signal ends it."""
    from sota.cli.launch import launch
    from sota.cli.vehicle_parts import assemble
    from sota.kit.files.data_folder import Claim

    launch(
        lambda: assemble(vin, options),
        log_level=options.log_level,
        operation_port=options.operation_port,
        claims=(
            Claim(options.data, "vehicle", own=("identity", "secrets", "node", "client", "slm/*.db", "slm/*.db-*")),
            Claim(options.data / "node", "rvi-node"),
            Claim(options.data / "client", "client"),
            Claim(options.data / "slm", "slm"),
        ),
    )


if __name__ == "__main__":
    from sota.cli.ending import ending

    ending(lambda: run(*decode(sys.argv[1])))
