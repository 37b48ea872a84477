"""``sota fleet``: many simulated vehicles in one process, at work on a backend.

``screen.py`` shows how far they are, ``summary.py`` says at the end what became of them.
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

    For load, demonstration and rehearsal. Each vehicle has an identity and a TLS connection of its own, keeps its
    downloads and its journal on disk as a real one does, and verifies every package. Only the installation is
    simulated: nothing is changed anywhere, any package of any installer will do, and every report says so.

    With `sota up` running in the same folder, this registers 500 vehicles and connects them:

        sota fleet --vehicles 500

    Queue a package for the filter vin_matches "^FLEET00001V" and watch; --once ends when every vehicle has had an
    update and Core knows its end. A profile says what happens to the vehicles:

        [connectivity]
        offline = 0.2          # share of them that is away at the beginning
        online_mean_s = 600    # mean time of a connection; 0: it lasts
        offline_mean_s = 60    # mean time between two; 0: who is away stays away
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
        Chooses VINs (FLEET, five digits of the seed, V, six of the vehicle) and everything that the profile leaves to
        chance. The same seed gives the same fleet again.
    backend
        The backend node's link, tls://host:port.
    backend_data
        Data folder of the backend (sota up): its authority issues the identities, its logistics token registers the
        vehicles. Not needed for a fleet that has its identities and is registered.
    core
        Address of SOTA Core, where the vehicles are registered.
    register
        Whether to register the vehicles.
    data
        Folder for identities and the vehicles' state; a fleet started there again goes on where it was.
    profile
        TOML file of what happens to the vehicles; without it they stay connected and nothing goes wrong.
    installed
        What each vehicle has installed when it is new, as name/version; may be given several times.
    keys
        Folder with the public keys (*.pub.pem) that may sign packages; DATA/keys where not given.
    allow_unsigned
        Take packages without a signature.
    once
        End when all updates are over, with a summary in JSON on standard output. Exit code 0: every one was installed,
        or failed as the profile wanted it; 1: something else, or the time-out.
    timeout
        Seconds after which --once gives up.
    fsync
        --no-fsync writes without waiting for the disk. What is measured then is not what vehicles do: a loss of power
        may lose what was acknowledged.
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
        raise StartError("the fleet did not end as its profile wanted it: see the summary", exit_code=1)
