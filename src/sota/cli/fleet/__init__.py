"""``sota fleet``: many simulated vehicles in one process, working with a backend.

``screen.py`` shows their progress, ``summary.py`` their results.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sota.kit.errors import StartError

Flag = Annotated[bool, Parameter(negative=())]


def fleet(
    vehicles: int = 100,
    *,
    seed: int = 1,
    backend: str = "tls://127.0.0.1:8810",
    backend_data: Path = Path("var"),
    core: str = "http://127.0.0.1:8081",
    register: bool = True,
    data: Path = Path("var/fleet"),
    profile: Path | None = None,
    installed: tuple[str, ...] = (),
    keys: Path | None = None,
    allow_unsigned: Flag = False,
    once: Flag = False,
    timeout: float = 3600.0,
    fsync: bool = True,
    log_level: str = "warning",
) -> None:
    """Run many vehicles in one process, each with the real client and loading manager, over real links.

    For load tests, demonstrations and rehearsals. Each vehicle has its own identity and TLS connection, stores its
    downloads and journal on disk like a real one, and verifies every package. Only the installation is simulated:
    nothing is changed on the machine, any package of any installer is accepted, and every report says so.

    With `sota up` running in the same folder, this registers 500 vehicles and connects them:

        sota fleet --vehicles 500

    Queue a package for the filter vin_matches "^FLEET00001V" and watch; --once ends when every vehicle has had an
    update and Core knows its end. A profile defines what happens to the vehicles:

        [connectivity]
        offline = 0.2          # share of them that is offline at the beginning
        online_mean_s = 600    # mean time of a connection; 0: it lasts
        offline_mean_s = 60    # mean time between two; 0: an offline vehicle stays offline
        arrival_s = 10         # first connections are spread over so many seconds
        [faults]
        install_failure = 0.02     # share of installations that fail
        corrupt_download = 0.01    # share of downloads in which a bit is flipped
        [installation]
        mean_s = 2.0
        spread = 0.5           # each takes mean_s times 0.5 to 1.5

    Parameters
    ----------
    vehicles
        How many. Each needs a few open files: see ulimit -n.
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
    from sota.cli.fleet.run import Order, run_fleet

    order = Order(
        vehicles=vehicles,
        seed=seed,
        backend=backend,
        backend_data=backend_data,
        core=core,
        register=register,
        data=data,
        profile=profile,
        installed=installed,
        keys=keys,
        allow_unsigned=allow_unsigned,
        once=once,
        timeout_s=timeout,
        fsync=fsync,
        log_level=log_level,
    )
    if not run_fleet(order):
        raise StartError("the fleet did not end as its profile says: see the summary", exit_code=1)
