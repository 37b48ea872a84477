"""``sota fleet``: many simulated vehicles in one process, working with a backend.

``screen.py`` shows their progress, ``summary.py`` their results.
"""

from __future__ import annotations

from sota.cli.fleet.order import Order
from sota.kit.errors import StartError

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
