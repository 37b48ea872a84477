"""What the SOTA Client's folder stores about the vehicle itself: its VIN, its epoch, and its highest download index.

The state of another VIN is set aside before any of it is used: its downloads are not this vehicle's, and an old report
must never count for a new installation.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sota.boundaries.values import short_vin
from sota.client.state import DATABASE, ClientState
from sota.kit.errors import StartError
from sota.kit.files.set_aside import set_aside
from sota.kit.runtime.logging import get_logger
from sota.kit.sql.local_file import Connection

OTHER_VEHICLE = "other-vehicle"


@dataclass(frozen=True, slots=True)
class Folder:
    """The stored values; None where the folder is new."""

    vin: str | None
    epoch: str | None
    highest_index: int


class FolderState:
    """A table of the file ``client.db``."""

    def __init__(self, state: ClientState) -> None:
        self._database = state.database

    async def read(self) -> Folder:
        """Read the stored values."""

        def work(tx: Connection) -> Folder:
            row = tx.execute("SELECT vin, epoch, highest_index FROM client_folder").fetchone()
            return Folder(row["vin"], row["epoch"], row["highest_index"])

        return await self._database.read(work)

    async def remember_vin(self, vin: str) -> None:
        """Store the vehicle's VIN."""
        await self._database.transact(lambda tx: tx.execute("UPDATE client_folder SET vin = ?", (vin,)))

    async def remember_epoch(self, epoch: str) -> None:
        """Store the vehicle's epoch."""
        await self._database.transact(lambda tx: tx.execute("UPDATE client_folder SET epoch = ?", (epoch,)))


async def open_for(vin: str, state: ClientState, folder: Path) -> bool:
    """Open the state for a vehicle; returns whether another vehicle's state was set aside for it.

    Raises:
        StartError: it is another vehicle's, and in a file that other programs share.
    """
    is_other = _set_aside_unless(vin, folder)
    await state.open()
    kept = FolderState(state)
    known = (await kept.read()).vin
    if known is None:
        await kept.remember_vin(vin)
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
