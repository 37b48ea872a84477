"""``sota vehicle``: a vehicle in one process."""

from __future__ import annotations

import os
import sys
from typing import Annotated

from cyclopts import Parameter

from sota.cli.vehicle_options import VehicleOptions, encode

DEFAULTS = VehicleOptions()


def vehicle(vin: str, *, options: Annotated[VehicleOptions, Parameter(name="*", negative=())] = DEFAULTS) -> None:
    """Run a vehicle in one process: RVI Node Client, SOTA Client, Software Loading Manager.

    Its identity (see: sota enrol) is in DATA/identity, the keys that may sign its packages in DATA/keys.

    Parameters
    ----------
    vin
        17 capital letters and digits; must be the one of the identity.
    """
    # The command line's libraries take 9 MB that a vehicle does not need: continue as the same process without them.
    os.execv(sys.executable, [sys.executable, "-m", "sota.cli.vehicle_process", encode(vin, options)])  # noqa: S606 - our own interpreter, no shell
