"""The process of ``sota vehicle``: it has the parsed options, without the command line's libraries.

Only ``vehicle.py`` starts ``python -m sota.cli.vehicle_process ORDER``.
"""

from __future__ import annotations

import sys

from sota.cli.vehicle_options import VehicleOptions, decode


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
