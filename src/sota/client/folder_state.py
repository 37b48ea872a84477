"""Opens the SOTA Client's state for a vehicle: the folder may be another one's.

The state of another VIN is set aside before any of it is used: its downloads are not this vehicle's, and an old report
must never count for a new installation.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

from sota.boundaries.values import short_vin
from sota.client.state import DATABASE, ClientState
from sota.kit.errors import StartError
from sota.kit.files.set_aside import set_aside
from sota.kit.runtime.logging import get_logger

OTHER_VEHICLE = "other-vehicle"


async def open_for(vin: str, state: ClientState, folder: Path) -> bool:
    """Open the state for a vehicle; returns whether another vehicle's state was set aside for it.

    Raises:
        StartError: it is another vehicle's, and in a file that other programs share.
    """
    is_other = _set_aside_unless(vin, folder)
    await state.database.open()
    known, _, _ = await state.folder()
    if known is None:
        await state.remember_vin(vin)
    elif known != vin:
        raise StartError(f"client: {folder} is the folder of another vehicle")
    return is_other


def _set_aside_unless(vin: str, folder: Path) -> bool:
    """Set the state aside if it is another vehicle's, and remove its blocks, which can be downloaded again."""
    file = folder / DATABASE
    known = _vin_in(file) if file.exists() else None
    if known is None or known == vin:
        return False
    shutil.rmtree(folder / "blocks", ignore_errors=True)  # first: after an interruption here everything is done again
    aside = set_aside(file, OTHER_VEHICLE)
    get_logger(program="client").warning(
        "state_of_another_vehicle_set_aside", vin=short_vin(vin), was=short_vin(known), file=aside.name
    )
    return True


def _vin_in(file: Path) -> str | None:
    """Read the VIN in a file; None if it has none or cannot be read: opening it then fails with the reason."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(file)) as connection:
        row = connection.execute("SELECT vin FROM client_folder").fetchone()
        return str(row[0]) if row is not None and row[0] is not None else None
    return None
