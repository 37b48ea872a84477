"""The options of ``sota vehicle``, as its command takes them and its process gets them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class VehicleOptions:
    """The options of ``sota vehicle``.

    Parameters
    ----------
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

    data: Path = Path("var/vehicle")
    backend: str = "tls://127.0.0.1:8810"
    root: Path | None = None
    keys: Path | None = None
    allow_unsigned: bool = False
    config: Path | None = None
    edge_port: int = 9001
    client_port: int = 9101
    slm_port: int = 9102
    operation_port: int = 0
    log_level: str = "info"


def encode(vin: str, options: VehicleOptions) -> str:
    """Encode the order as one argument."""
    return msgspec.json.encode((vin, options), enc_hook=str).decode()


def decode(text: str) -> tuple[str, VehicleOptions]:
    """Decode it."""
    return msgspec.json.decode(text, type=tuple[str, VehicleOptions], dec_hook=lambda _kind, value: Path(value))
