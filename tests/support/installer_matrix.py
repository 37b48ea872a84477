"""The installers' part of the matrix, from the trials of their contract (src/sota/slm/contract)."""

from __future__ import annotations

from sota.slm.contract import Loss, Testbed, Trial
from tests.support.matrix_table import RIGHT, WRONG, Entry

INSTALLER_COLUMNS = tuple(f"{lost} {side}" for lost in ("power", "kill") for side in ("before", "after", "during"))


def entries(installer: str, testbed: Testbed) -> list[Entry]:
    """Return an installer's trials as entries of the matrix with ``INSTALLER_COLUMNS``."""
    return [_entry(installer, trial) for trial in testbed.trials]


def _entry(installer: str, trial: Trial) -> Entry:
    lost = "power" if trial.loss is Loss.POWER else "kill"
    way = "" if trial.way == "forward" else f" ({trial.way})"
    return Entry(installer, f"{trial.write}{way}", f"{lost} {trial.side}", RIGHT if trial.right else WRONG)
