"""What the SOTA Client keeps on disk: the updates that it was offered, and the state of each download.

The blocks are in files beside it (``kit/files/block_file.py``). Every change of state is on disk before another program
learns of it. One row is about the vehicle itself: its VIN, its epoch, and its highest download index.

An index is a handle: if a known one arrives with another identity, it stands for that download from then on, and the
old one is removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from sota.boundaries.b7_core_rvi.messages import Download, InstallReport, ReportStatus, StartDownload, UpdateAvailable
from sota.boundaries.values import DownloadIdentity, PackageId, Size, Stage
from sota.client.state_schema import SCHEMA
from sota.kit.files.disk import Disk
from sota.kit.files.set_aside import read_stored
from sota.kit.sql.local_database import LocalDatabase, Row
from sota.kit.sql.local_file import Connection
from sota.kit.sql.local_threads import Threads

DATABASE = "client.db"
REMEMBERED = 1_000


class DownloadState(StrEnum):
    """The state of a download in the SOTA Client."""

    OFFERED = "offered"
    WANTED = "wanted"
    """The Software Loading Manager asked for it; Core is asked until it starts."""
    RECEIVING = "receiving"
    VERIFIED = "verified"
    """Complete, with valid hash and signature; on its way to the Software Loading Manager."""
    HANDED = "handed"
    ABORTED = "aborted"
    """Core aborted it; the Software Loading Manager is told, and decides."""
    REPORTED = "reported"
    """There is a report; it is sent until Core confirms it."""
    DONE = "done"

    @property
    def is_over(self) -> bool:
        """Whether the vehicle has nothing more to do for it."""
        return self in {DownloadState.ABORTED, DownloadState.REPORTED, DownloadState.DONE}


FORGETTABLE = {DownloadState.WANTED, DownloadState.DONE}


@dataclass(frozen=True, slots=True)
class DownloadEntry:
    """One download, as it is on disk."""

    download_index: int
    identity: DownloadIdentity
    epoch: str
    size: Size
    state: DownloadState
    cancel_wanted: bool
    stage: Stage | None
    start: StartDownload | None
    report: InstallReport | None

    @property
    def update_id(self) -> str:
        """The update that it belongs to."""
        return self.identity.update_id

    @property
    def package(self) -> PackageId:
        """The package in its file."""
        return self.identity.package

    @property
    def is_installed(self) -> bool:
        """Whether it was reported installed."""
        return self.report is not None and self.report.status is ReportStatus.INSTALLED


@dataclass(frozen=True, slots=True)
class Offered:
    """The result of an offer."""

    is_news: bool
    """It must be offered to the Software Loading Manager."""
    again: bool
    """A download that had ended is offered again; the Software Loading Manager checks whether it is still installed."""
    replaced: list[DownloadEntry]


class ClientState:
    """The file ``client.db``."""

    def __init__(self, folder: Path, threads: Threads | None = None) -> None:
        self.database = LocalDatabase(folder / DATABASE, SCHEMA, threads)
        self.disk = threads.disk if threads else Disk()

    async def folder(self) -> tuple[str | None, str | None, int]:
        """Return the vehicle's VIN and epoch, None in a new folder, and its highest download index."""
        query = "SELECT vin, epoch, highest_index FROM client_folder"
        return await self.database.read(lambda tx: tuple(tx.execute(query).fetchone()))

    async def remember_vin(self, vin: str) -> None:
        """Store the vehicle's VIN."""
        await self.database.transact(lambda tx: tx.execute("UPDATE client_folder SET vin = ?", (vin,)))

    async def remember_epoch(self, epoch: str) -> None:
        """Store the vehicle's epoch."""
        await self.database.transact(lambda tx: tx.execute("UPDATE client_folder SET epoch = ?", (epoch,)))

    async def offer(self, update: UpdateAvailable) -> Offered:
        """Store an update. Its downloads replace others that had their indexes."""

        def work(tx: Connection) -> Offered:
            # A repeated notification may add downloads.
            tx.execute(
                "INSERT INTO offered(update_id, body) VALUES (?, ?)"
                " ON CONFLICT(update_id) DO UPDATE SET body = excluded.body",
                (update.update_id, msgspec.json.encode(update)),
            )
            replaced: list[DownloadEntry] = []
            added = again = False
            for download in update.downloads:
                known = _make_room(tx, update, download, replaced)
                if known is None:
                    _insert(tx, update, download)
                    added = True
                else:
                    again |= _meet_again(tx, known, update.epoch)
            if added or again:
                tx.execute("UPDATE offered SET accepted = 0 WHERE update_id = ?", (update.update_id,))
            highest = max(download.download_index for download in update.downloads)
            query = "UPDATE client_folder SET epoch = ?, highest_index = max(highest_index, ?)"
            tx.execute(query, (update.epoch, highest))
            (accepted,) = tx.execute("SELECT accepted FROM offered WHERE update_id = ?", (update.update_id,)).fetchone()
            return Offered(not accepted, again, replaced)

        return await self.database.transact(work)

    async def mark_accepted(self, update_id: str, *, accepted: bool = True) -> None:
        """Store whether the Software Loading Manager has the update.

        Not durable: if this is lost, it is offered once more, and accepted as before.
        """
        query = "UPDATE offered SET accepted = ? WHERE update_id = ?"
        await self.database.transact(lambda tx: tx.execute(query, (accepted, update_id)), durable=False)

    async def update(self, update_id: str) -> UpdateAvailable | None:
        """Return an update."""
        query = "SELECT body FROM offered WHERE update_id = ?"
        found = await self.database.rows(_offered, query, update_id, key=("update", update_id))
        return found[0] if found else None

    async def not_accepted(self) -> list[UpdateAvailable]:
        """Return the updates that the Software Loading Manager has not accepted yet."""
        return await self.database.rows(_offered, "SELECT body FROM offered WHERE NOT accepted ORDER BY rowid")

    async def with_loading_manager(self) -> list[UpdateAvailable]:
        """Return the open updates that the Software Loading Manager has accepted."""
        query = (
            "SELECT body FROM offered WHERE accepted AND update_id IN (SELECT update_id FROM download"
            " WHERE state NOT IN ('aborted', 'reported', 'done')) ORDER BY rowid"
        )
        return await self.database.rows(_offered, query)

    async def offer_again(self, update_id: str) -> None:
        """Store that the Software Loading Manager has lost an update, and must get its files again."""

        def work(tx: Connection) -> None:
            tx.execute("UPDATE offered SET accepted = 0 WHERE update_id = ?", (update_id,))
            query = "UPDATE download SET state = 'offered' WHERE update_id = ? AND state IN ('wanted', 'handed')"
            tx.execute(query, (update_id,))

        await self.database.transact(work)

    async def forget_old(self) -> None:
        """Remove old downloads, so that the file stays small."""

        def work(tx: Connection) -> None:
            tx.execute(
                "DELETE FROM download WHERE state = 'done' AND download_index NOT IN"
                " (SELECT download_index FROM download ORDER BY download_index DESC LIMIT ?)",
                (REMEMBERED,),
            )
            tx.execute("DELETE FROM offered WHERE update_id NOT IN (SELECT update_id FROM download)")

        await self.database.transact(work)

    async def download(self, download_index: int) -> DownloadEntry | None:
        """Return a download."""
        query = "SELECT * FROM download WHERE download_index = ?"
        found = await self.database.rows(_entry, query, download_index, key=download_index)
        return found[0] if found else None

    async def find(self, download_index: int, identity: DownloadIdentity) -> DownloadEntry | None:
        """Return a download, unless its index belongs to another one."""
        found = await self.download(download_index)
        return found if found is not None and found.identity == identity else None

    async def under_way(self) -> list[DownloadEntry]:
        """Return the downloads that need work here."""
        query = "SELECT * FROM download WHERE state NOT IN ('offered', 'handed', 'done') ORDER BY download_index"
        return await self.database.rows(_entry, query)

    async def move(self, download_index: int, state: DownloadState, *, start: StartDownload | None = None) -> None:
        """Set a download's state, and Core's ``start`` message if there is a new one.

        Wanted and done are not durable: if they are lost, the Software Loading Manager asks again, and Core confirms
        the repeated report.
        """

        def work(tx: Connection) -> None:
            tx.execute("UPDATE download SET state = ? WHERE download_index = ?", (state, download_index))
            if start is not None:
                query = "UPDATE download SET start = ? WHERE download_index = ?"
                tx.execute(query, (msgspec.json.encode(start), download_index))

        await self.database.transact(work, durable=state not in FORGETTABLE)

    async def want_cancel(self, download_index: int) -> None:
        """Store that the vehicle has cancelled a download."""
        query = "UPDATE download SET cancel_wanted = 1 WHERE download_index = ?"
        await self.database.transact(lambda tx: tx.execute(query, (download_index,)))

    async def adopt(self, download_index: int, epoch: str) -> None:
        """Continue a download in another epoch of the vehicle."""

        def work(tx: Connection) -> None:
            tx.execute("UPDATE download SET epoch = ? WHERE download_index = ?", (epoch, download_index))
            tx.execute("UPDATE client_folder SET epoch = ?", (epoch,))

        await self.database.transact(work)

    async def note_stage(self, download_index: int, stage: Stage) -> None:
        """Store what the installer does. Not durable: if it is lost, it is reported again."""
        query = "UPDATE download SET stage = ? WHERE download_index = ?"
        await self.database.transact(lambda tx: tx.execute(query, (stage, download_index)), durable=False)

    async def installing(self) -> list[DownloadEntry]:
        """Return the downloads that are being installed."""
        query = "SELECT * FROM download WHERE state = 'handed' AND stage IS NOT NULL"
        return await self.database.rows(_entry, query)

    async def keep_stray(self, report: InstallReport) -> None:
        """Store the report of an unknown download until Core confirms it."""

        def work(tx: Connection) -> None:
            tx.execute(
                "INSERT INTO stray_report(update_id, sha256, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (report.identity.update_id, report.identity.sha256, msgspec.json.encode(report)),
            )
            tx.execute("UPDATE software SET ours = 1")

        await self.database.transact(work)

    async def stray_reports(self) -> list[InstallReport]:
        """Return the reports of unknown downloads."""
        query = "SELECT body FROM stray_report ORDER BY rowid"
        return await self.database.rows(lambda row: _REPORT.decode(row["body"]), query)

    async def forget_stray(self, identity: DownloadIdentity) -> None:
        """Remove such a report: Core has it."""
        query = "DELETE FROM stray_report WHERE update_id = ? AND sha256 = ?"
        values = (identity.update_id, identity.sha256)
        await self.database.transact(lambda tx: tx.execute(query, values), durable=False)

    async def keep_report(self, report: InstallReport) -> bool:
        """Store a report until Core confirms it; return False if there is one already, which stays."""

        def work(tx: Connection) -> bool:
            query = "SELECT 1 FROM download WHERE download_index = ? AND report IS NOT NULL"
            if tx.execute(query, (report.download_index,)).fetchone() is not None:
                return False
            query = "UPDATE download SET state = 'reported', report = ? WHERE download_index = ?"
            tx.execute(query, (msgspec.json.encode(report), report.download_index))
            tx.execute("UPDATE software SET ours = 1")  # the update may have changed what is installed
            return True

        return await self.database.transact(work)


def _make_room(
    tx: Connection, update: UpdateAvailable, download: Download, replaced: list[DownloadEntry]
) -> DownloadEntry | None:
    """Return the entry of exactly this download, if it is here; remove others that conflict with it."""
    rows = tx.execute(
        "SELECT * FROM download"
        " WHERE download_index = ? OR (update_id = ? AND name = ? AND version = ? AND sha256 = ?)",
        (download.download_index, update.update_id, download.package.name, download.package.version, download.sha256),
    ).fetchall()
    named = {each.download_index: update.identity_of(each) for each in update.downloads}
    found = None
    for entry in map(_entry, rows):
        if named.get(entry.download_index) == entry.identity:
            found = entry if entry.download_index == download.download_index else found
            continue
        tx.execute("DELETE FROM download WHERE download_index = ?", (entry.download_index,))
        replaced.append(entry)
    return found


def _insert(tx: Connection, update: UpdateAvailable, download: Download) -> None:
    package = download.package
    identity = (download.download_index, update.update_id, package.name, package.version, download.sha256)
    tx.execute(
        "INSERT INTO download(download_index, update_id, name, version, sha256, epoch, size, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*identity, update.epoch, download.size, DownloadState.OFFERED),
    )


def _meet_again(tx: Connection, known: DownloadEntry, epoch: str) -> bool:
    """Handle a known download that is offered again; returns whether it starts again.

    An open download continues in the epoch that is named now. An ended one starts again if Core has lost the record of
    its end: in another epoch, or after an installation. The Software Loading Manager then finds in the installer's own
    database whether it is still installed.
    """
    is_lost = known.state is DownloadState.DONE and known.is_installed
    again = is_lost or (known.epoch != epoch and known.state.is_over)
    if again:
        tx.execute(
            "UPDATE download SET state = ?, report = NULL, start = NULL, stage = NULL, cancel_wanted = 0, epoch = ?"
            " WHERE download_index = ?",
            (DownloadState.OFFERED, epoch, known.download_index),
        )
    elif known.epoch != epoch:
        tx.execute("UPDATE download SET epoch = ? WHERE download_index = ?", (epoch, known.download_index))
    return again


def _offered(row: Row) -> UpdateAvailable:
    return _OFFERED.decode(row["body"])


def _entry(row: Row) -> DownloadEntry:
    package = PackageId(name=row["name"], version=row["version"])
    return DownloadEntry(
        download_index=row["download_index"],
        identity=DownloadIdentity(update_id=row["update_id"], package=package, sha256=row["sha256"]),
        epoch=row["epoch"],
        size=row["size"],
        state=read_stored(DownloadState, row["state"]),
        cancel_wanted=bool(row["cancel_wanted"]),
        stage=read_stored(Stage, row["stage"]) if row["stage"] else None,
        start=_START.decode(row["start"]) if row["start"] else None,
        report=_REPORT.decode(row["report"]) if row["report"] else None,
    )


_OFFERED = msgspec.json.Decoder(UpdateAvailable)
_START = msgspec.json.Decoder(StartDownload)
_REPORT = msgspec.json.Decoder(InstallReport)
