"""One download in the Software Loading Manager's journal: how far it has come, and how its row is read and removed."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from sota.boundaries.b10_client_slm.messages import StartDownload
from sota.boundaries.values import DownloadIdentity, PackageId, Reason
from sota.kit.files.set_aside import read_stored
from sota.kit.sql.local_file import Connection

OPEN = "state NOT IN ('installed', 'failed', 'cancelled')"


class State(StrEnum):
    """How far a download has come in the Software Loading Manager."""

    OFFERED = "offered"
    WANTED = "wanted"
    RECEIVING = "receiving"
    READY = "ready"
    """The file is here and whole."""
    INSTALLING = "installing"
    BOOTING = "booting"
    """It is installed, and runs after the next boot."""
    VERIFYING = "verifying"
    """It runs on trial."""
    INSTALLED = "installed"
    """It runs, was verified, and stays."""
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_begun(self) -> bool:
        """Whether its installation is under way: it cannot be cancelled any more."""
        return self in {State.INSTALLING, State.BOOTING, State.VERIFYING}

    @property
    def is_final(self) -> bool:
        """Whether nothing changes any more."""
        return self in {State.INSTALLED, State.FAILED, State.CANCELLED}


@dataclass(frozen=True, slots=True)
class DownloadEntry:
    """One download, as the journal has it."""

    download_index: int
    identity: DownloadIdentity
    state: State
    reason: Reason | None
    start: StartDownload | None
    previous_version: str | None
    is_reported: bool = False

    @property
    def update_id(self) -> str:
        """The update that it is a part of."""
        return self.identity.update_id

    @property
    def package(self) -> PackageId:
        """The package that its file is of."""
        return self.identity.package


def entry_of(row: sqlite3.Row) -> DownloadEntry:
    """Read a row of the table ``accepted_download``."""
    package = PackageId(name=row["name"], version=row["version"])
    return DownloadEntry(
        download_index=row["download_index"],
        identity=DownloadIdentity(update_id=row["update_id"], package=package, sha256=row["sha256"]),
        state=read_stored(State, row["state"]),
        reason=read_stored(Reason, row["reason"]) if row["reason"] else None,
        start=_START.decode(row["start"]) if row["start"] else None,
        previous_version=row["previous_version"],
        is_reported=bool(row["reported"]),
    )


def remove(tx: Connection, indexes: Sequence[int]) -> None:
    """Forget downloads; their updates stay until :func:`remove_empty_updates`."""
    for index in indexes:
        forget_steps(tx, index)
        tx.execute("DELETE FROM accepted_download WHERE download_index = ?", (index,))


def forget_steps(tx: Connection, index: int) -> None:
    """Forget what was done for a download."""
    tx.execute("DELETE FROM step WHERE download_index = ?", (index,))
    tx.execute("DELETE FROM operation WHERE download_index = ?", (index,))


def remove_empty_updates(tx: Connection) -> None:
    """Forget the updates that have no download left, with what their drivers said."""
    tx.execute("DELETE FROM consent WHERE update_id NOT IN (SELECT update_id FROM accepted_download)")
    tx.execute("DELETE FROM condition WHERE update_id NOT IN (SELECT update_id FROM accepted_download)")
    tx.execute("DELETE FROM accepted_update WHERE update_id NOT IN (SELECT update_id FROM accepted_download)")


_START = msgspec.json.Decoder(StartDownload)
