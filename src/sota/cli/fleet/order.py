"""The options of ``sota fleet``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative=())]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The options of ``sota fleet``.

    Parameters
    ----------
    seed
        Chooses VINs (FLEET, five digits of the seed, V, six of the vehicle) and everything random. The same seed gives
        the same fleet again.
    backend
        The backend node's link, tls://host:port.
    backend_data
        Data folder of the backend (sota up): its authority issues the identities, its logistics token registers the
        vehicles. Not needed if the fleet has its identities and is registered.
    core
        Address of SOTA Core, where the vehicles are registered.
    register
        Whether to register the vehicles.
    data
        Folder for identities and the vehicles' state; a fleet that is restarted there continues.
    profile
        TOML file of events; without it the vehicles stay connected and nothing fails.
    installed
        Packages of a new vehicle, as name/version; repeatable.
    keys
        Folder with the public keys (*.pub.pem) that may sign packages; the default is DATA/keys.
    allow_unsigned
        Accept packages without a signature.
    once
        End when all updates have ended, with a summary in JSON on standard output. Exit code 0: every one was
        installed, or failed as the profile says; 1: something else, or the time-out.
    timeout
        Time-out of --once in seconds.
    fsync
        --no-fsync writes without waiting for the disk. Then the results differ from real vehicles: a loss of power may
        lose acknowledged data.
    log_level
        debug, info, warning or error.
    """

    seed: int = 1
    backend: str = "tls://127.0.0.1:8810"
    backend_data: Path = Path("var")
    core: str = "http://127.0.0.1:8081"
    register: bool = True
    data: Path = Path("var/fleet")
    profile: Path | None = None
    installed: tuple[str, ...] = ()
    keys: Path | None = None
    allow_unsigned: Flag = False
    once: Flag = False
    timeout: float = 3600.0
    fsync: bool = True
    log_level: str = "warning"
