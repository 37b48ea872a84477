"""The process of ``sota vehicle``: it has the parsed options, without the command line's libraries.

Only ``vehicle.py`` starts ``python -m sota.cli.vehicle_process ORDER``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec


class VehicleOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The options of ``sota vehicle``."""

    vin: str
    data: Path
    backend: str
    root: Path | None
    keys: Path | None
    allow_unsigned: bool
    config: Path | None
    edge_port: int
    client_port: int
    slm_port: int
    operation_port: int
    log_level: str


def encode(order: VehicleOrder) -> str:
    """Encode the options as one argument."""
    return msgspec.json.encode(order, enc_hook=str).decode()


def decode(text: str) -> VehicleOrder:
    """Decode them."""
    return msgspec.json.decode(text, type=VehicleOrder, dec_hook=lambda _kind, value: Path(value))


def run(order: VehicleOrder) -> None:
    """Run the vehicle until a signal ends it."""
    from sota.cli.launch import launch
    from sota.cli.vehicle_parts import VehiclePorts, assemble
    from sota.kit.files.data_folder import Claim

    ports = VehiclePorts(order.edge_port, order.client_port, order.slm_port)
    launch(
        lambda: assemble(
            order.vin,
            order.data,
            order.backend,
            ports,
            root=order.root,
            keys=order.keys,
            allow_unsigned=order.allow_unsigned,
            config=order.config,
        ),
        log_level=order.log_level,
        operation_port=order.operation_port,
        claims=(
            Claim(order.data, "vehicle", own=("identity", "secrets", "node", "client", "slm/*.db", "slm/*.db-*")),
            Claim(order.data / "node", "rvi-node"),
            Claim(order.data / "client", "client"),
            Claim(order.data / "slm", "slm"),
        ),
    )


if __name__ == "__main__":
    from sota.cli.ending import ending

    ending(lambda: run(decode(sys.argv[1])))
