"""One download in the Software Loading Manager's journal: its state, and how its row is read and removed."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from sota.boundaries.b7_core_rvi.messages import StartDownload
from sota.boundaries.update_image.manifest import IMAGE
from sota.boundaries.values import Command, DownloadIdentity, PackageId, Reason
from sota.kit.files.set_aside import read_stored
from sota.kit.sql.local_file import Connection

OPEN = "state NOT IN ('installed', 'failed', 'cancelled')"


class State(StrEnum):
    """The state of a download in the Software Loading Manager."""

    OFFERED = "offered"
    WANTED = "wanted"
    RECEIVING = "receiving"
    READY = "ready"
    """The file is complete."""
    INSTALLING = "installing"
    BOOTING = "booting"
    """It is installed and starts at the next boot."""
    VERIFYING = "verifying"
    """It runs on trial."""
    INSTALLED = "installed"
    """It runs and was verified."""
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_begun(self) -> bool:
        """Whether its installation has begun: it can no longer be cancelled."""
        return self in {State.INSTALLING, State.BOOTING, State.VERIFYING}

    @property
    def is_final(self) -> bool:
        """Whether the download has ended."""
        return self in {State.INSTALLED, State.FAILED, State.CANCELLED}


@dataclass(frozen=True, slots=True)
class DownloadEntry:
    """One download, as the journal stores it."""

    download_index: int
    identity: DownloadIdentity
    state: State
    reason: Reason | None
    start: StartDownload | None
    previous_version: str | None
    is_reported: bool = False

    @property
    def update_id(self) -> str:
        """The update that it belongs to."""
        return self.identity.update_id

    @property
    def package(self) -> PackageId:
        """The package that its file contains."""
        return self.identity.package

    @property
    def is_image(self) -> bool:
        """Whether its file is an update image."""
        return self.start is not None and self.start.installer == IMAGE

    @property
    def removes(self) -> bool:
        """Whether the package is to be removed."""
        return self.start is not None and self.start.command is Command.REMOVE


def entry_of(row: sqlite3.Row) -> DownloadEntry:
    """Return the entry of a row of the table ``accepted_download``."""
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
    """Delete downloads; their updates stay until :func:`remove_empty_updates`."""
    for index in indexes:
        forget_steps(tx, index)
        tx.execute("DELETE FROM accepted_download WHERE download_index = ?", (index,))


def forget_steps(tx: Connection, index: int) -> None:
    """Delete the steps and operations of a download."""
    tx.execute("DELETE FROM step WHERE download_index = ?", (index,))
    tx.execute("DELETE FROM operation WHERE download_index = ?", (index,))


def remove_empty_updates(tx: Connection) -> None:
    """Delete updates without downloads, with their drivers' answers."""
    tx.execute("DELETE FROM consent WHERE update_id NOT IN (SELECT update_id FROM accepted_download)")
    tx.execute("DELETE FROM condition WHERE update_id NOT IN (SELECT update_id FROM accepted_download)")
    tx.execute("DELETE FROM accepted_update WHERE update_id NOT IN (SELECT update_id FROM accepted_download)")


_START = msgspec.json.Decoder(StartDownload)
