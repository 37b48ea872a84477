"""``sota fleet``: many simulated vehicles in one process, working with a backend.

``screen.py`` shows their progress, ``summary.py`` their results.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from sota.kit.errors import StartError

Flag = Annotated[bool, Parameter(negative=())]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The options of ``sota fleet``."""

    seed: int = 1
    """Chooses VINs (FLEET, five digits of the seed, V, six of the vehicle) and everything random. The same seed gives
    the same fleet again."""
    backend: str = "tls://127.0.0.1:8810"
    "The backend node's link, tls://host:port."
    backend_data: Path = Path("var")
    """Data folder of the backend (sota up): its authority issues the identities, its logistics token registers the
    vehicles. Not needed if the fleet has its identities and is registered."""
    core: str = "http://127.0.0.1:8081"
    "Address of SOTA Core, where the vehicles are registered."
    register: bool = True
    "Whether to register the vehicles."
    data: Path = Path("var/fleet")
    "Folder for identities and the vehicles' state; a fleet that is restarted there continues."
    profile: Path | None = None
    "TOML file of events; without it the vehicles stay connected and nothing fails."
    installed: tuple[str, ...] = ()
    "Packages of a new vehicle, as name/version; repeatable."
    keys: Path | None = None
    "Folder with the public keys (*.pub.pem) that may sign packages; the default is DATA/keys."
    allow_unsigned: Flag = False
    "Accept packages without a signature."
    once: Flag = False
    """End when all updates have ended, with a summary in JSON on standard output. Exit code 0: every one was
    installed, or failed as the profile says; 1: something else, or the time-out."""
    timeout: float = 3600.0
    "Time-out of --once in seconds."
    fsync: bool = True
    """--no-fsync writes without waiting for the disk. Then the results differ from real vehicles: a loss of power may
    lose acknowledged data."""
    log_level: str = "warning"
    "debug, info, warning or error."


ORDER = Order()


def fleet(vehicles: int = 100, *, order: Order = ORDER) -> None:
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
    """
    from sota.cli.fleet.run import run_fleet

    if not run_fleet(vehicles, order):
        raise StartError("the fleet did not end as its profile says: see the summary", exit_code=1)
