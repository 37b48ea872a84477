"""What the SOTA Client keeps on disk: the updates it was told of and how far each download has come.

The blocks themselves are beside it in files (``kit/files/block_file.py``). Every change of state is on disk before
another program hears of it. What the folder remembers of the vehicle itself is in ``folder_state.py``.

An index is a handle: a known one that comes with another identity stands for another download from then on, and the
old one is forgotten.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from sota.boundaries.b9_rvi_client.messages import Download, InstallReport, ReportStatus, StartDownload, UpdateAvailable
from sota.boundaries.values import DownloadIdentity, PackageId, Size, Stage
from sota.client.state_schema import SCHEMA
from sota.kit.files.disk import Disk, PlainDisk
from sota.kit.files.set_aside import read_stored
from sota.kit.sql.local_database import LocalDatabase
from sota.kit.sql.local_file import Connection
from sota.kit.sql.local_threads import Threads

DATABASE = "client.db"
REMEMBERED = 1_000


class DownloadState(StrEnum):
    """How far a download has come in the SOTA Client."""

    OFFERED = "offered"
    WANTED = "wanted"
    """The Software Loading Manager asked for it; Core is asked until it starts."""
    RECEIVING = "receiving"
    VERIFIED = "verified"
    """Whole, hash and signature hold; on its way to the Software Loading Manager."""
    HANDED = "handed"
    ABORTED = "aborted"
    """Core gave it up; the Software Loading Manager is told and has the last word."""
    REPORTED = "reported"
    """There is a report; it is sent until Core has it."""
    DONE = "done"

    @property
    def is_over(self) -> bool:
        """Whether nothing more is expected of the vehicle."""
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
        """The update that it is a part of."""
        return self.identity.update_id

    @property
    def package(self) -> PackageId:
        """The package that its file is of."""
        return self.identity.package

    @property
    def is_installed(self) -> bool:
        """Whether it was reported installed."""
        return self.report is not None and self.report.status is ReportStatus.INSTALLED


@dataclass(frozen=True, slots=True)
class Offered:
    """What came of an offer: who must hear of it, and which entries it has replaced."""

    is_news: bool
    """The Software Loading Manager must hear of it."""
    again: bool
    """Something that had ended is offered again: the Software Loading Manager says whether it still is so."""
    replaced: list[DownloadEntry]


class ClientState:
    """The file ``client.db``."""

    def __init__(self, folder: Path, threads: Threads | None = None) -> None:
        self.database = LocalDatabase(folder / DATABASE, SCHEMA, threads)
        self.disk: Disk = threads.disk if threads else PlainDisk()

    async def open(self) -> None:
        """Open it; see :meth:`LocalDatabase.open`."""
        await self.database.open()

    async def close(self) -> None:
        """Close it."""
        await self.database.close()

    async def offer(self, update: UpdateAvailable) -> Offered:
        """Write an update down. Downloads that it names are those that it says, whatever was here under their index."""

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
        """Write down whether the Software Loading Manager has the update.

        Not waited for: forgotten, it is told once more, and accepts it as before.
        """

        def work(tx: Connection) -> None:
            tx.execute("UPDATE offered SET accepted = ? WHERE update_id = ?", (accepted, update_id))

        await self.database.transact(work, durable=False)

    async def update(self, update_id: str) -> UpdateAvailable | None:
        """Give an update."""

        def work(tx: Connection) -> UpdateAvailable | None:
            row = tx.execute("SELECT body FROM offered WHERE update_id = ?", (update_id,)).fetchone()
            return msgspec.json.decode(row["body"], type=UpdateAvailable) if row else None

        return await self.database.recall(("update", update_id), work)

    async def not_accepted(self) -> list[UpdateAvailable]:
        """Give the updates that the Software Loading Manager has not taken yet."""

        def work(tx: Connection) -> list[UpdateAvailable]:
            rows = tx.execute("SELECT body FROM offered WHERE NOT accepted ORDER BY rowid")
            return [msgspec.json.decode(row["body"], type=UpdateAvailable) for row in rows]

        return await self.database.read(work)

    async def with_loading_manager(self) -> list[UpdateAvailable]:
        """Give the updates that the Software Loading Manager has, and that have not ended here."""

        def work(tx: Connection) -> list[UpdateAvailable]:
            rows = tx.execute(
                "SELECT body FROM offered WHERE accepted AND update_id IN (SELECT update_id FROM download"
                " WHERE state NOT IN ('aborted', 'reported', 'done')) ORDER BY rowid"
            )
            return [msgspec.json.decode(row["body"], type=UpdateAvailable) for row in rows]

        return await self.database.read(work)

    async def offer_again(self, update_id: str) -> None:
        """Write down that the Software Loading Manager has lost an update: what it was handed must come once more."""

        def work(tx: Connection) -> None:
            tx.execute("UPDATE offered SET accepted = 0 WHERE update_id = ?", (update_id,))
            tx.execute(
                "UPDATE download SET state = 'offered' WHERE update_id = ? AND state IN ('wanted', 'handed')",
                (update_id,),
            )

        await self.database.transact(work)

    async def forget_old(self) -> None:
        """Forget what has long been done, so that the file does not grow for ever."""

        def work(tx: Connection) -> None:
            tx.execute(
                "DELETE FROM download WHERE state = 'done' AND download_index NOT IN"
                " (SELECT download_index FROM download ORDER BY download_index DESC LIMIT ?)",
                (REMEMBERED,),
            )
            tx.execute("DELETE FROM offered WHERE update_id NOT IN (SELECT update_id FROM download)")

        await self.database.transact(work)

    async def download(self, download_index: int) -> DownloadEntry | None:
        """Give one download."""

        def work(tx: Connection) -> DownloadEntry | None:
            row = tx.execute("SELECT * FROM download WHERE download_index = ?", (download_index,)).fetchone()
            return _entry(row) if row else None

        return await self.database.recall(download_index, work)

    async def under_way(self) -> list[DownloadEntry]:
        """Give the downloads that somebody is still at work on."""

        def work(tx: Connection) -> list[DownloadEntry]:
            query = "SELECT * FROM download WHERE state NOT IN ('offered', 'handed', 'done') ORDER BY download_index"
            rows = tx.execute(query)
            return [_entry(row) for row in rows]

        return await self.database.read(work)

    async def move(self, download_index: int, state: DownloadState, *, start: StartDownload | None = None) -> None:
        """Take a download to another state, with what Core said at its start where that is new.

        Wanted and done are not waited for: forgotten, the Software Loading Manager asks once more for what it wants,
        and the report is sent once more, which Core confirms as before.
        """

        def work(tx: Connection) -> None:
            tx.execute("UPDATE download SET state = ? WHERE download_index = ?", (state, download_index))
            if start is not None:
                tx.execute(
                    "UPDATE download SET start = ? WHERE download_index = ?",
                    (msgspec.json.encode(start), download_index),
                )

        await self.database.transact(work, durable=state not in FORGETTABLE)

    async def want_cancel(self, download_index: int) -> None:
        """Write down that the vehicle does not want a download any more."""

        def work(tx: Connection) -> None:
            tx.execute("UPDATE download SET cancel_wanted = 1 WHERE download_index = ?", (download_index,))

        await self.database.transact(work)

    async def adopt(self, download_index: int, epoch: str) -> None:
        """Write down that the vehicle was told of a download in another life: the download goes on in that one."""

        def work(tx: Connection) -> None:
            tx.execute("UPDATE download SET epoch = ? WHERE download_index = ?", (epoch, download_index))
            tx.execute("UPDATE client_folder SET epoch = ?", (epoch,))

        await self.database.transact(work)

    async def note_stage(self, download_index: int, stage: Stage) -> None:
        """Write down what the installer does. Not waited for: forgotten, it is told once more."""

        def work(tx: Connection) -> None:
            tx.execute("UPDATE download SET stage = ? WHERE download_index = ?", (stage, download_index))

        await self.database.transact(work, durable=False)

    async def installing(self) -> list[DownloadEntry]:
        """Return the downloads that an installer is at work on."""

        def work(tx: Connection) -> list[DownloadEntry]:
            rows = tx.execute("SELECT * FROM download WHERE state = 'handed' AND stage IS NOT NULL")
            return [_entry(row) for row in rows]

        return await self.database.read(work)

    async def keep_stray(self, report: InstallReport) -> None:
        """Keep the report of a download that is not known here (any more), until Core has it."""

        def work(tx: Connection) -> None:
            tx.execute(
                "INSERT INTO stray_report(update_id, sha256, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (report.identity.update_id, report.identity.sha256, msgspec.json.encode(report)),
            )
            tx.execute("UPDATE software SET ours = 1")

        await self.database.transact(work)

    async def stray_reports(self) -> list[InstallReport]:
        """Return the reports of downloads that are not known here."""

        def work(tx: Connection) -> list[InstallReport]:
            return [_REPORT.decode(row["body"]) for row in tx.execute("SELECT body FROM stray_report ORDER BY rowid")]

        return await self.database.read(work)

    async def forget_stray(self, identity: DownloadIdentity) -> None:
        """Forget such a report: Core has it."""

        def work(tx: Connection) -> None:
            tx.execute(
                "DELETE FROM stray_report WHERE update_id = ? AND sha256 = ?", (identity.update_id, identity.sha256)
            )

        await self.database.transact(work, durable=False)

    async def keep_report(self, report: InstallReport) -> InstallReport | None:
        """Keep a report until Core has it. Where there is one already it stays, and is given back."""

        def work(tx: Connection) -> InstallReport | None:
            row = tx.execute(
                "SELECT report FROM download WHERE download_index = ?", (report.download_index,)
            ).fetchone()
            if row is not None and row["report"] is not None:
                return msgspec.json.decode(row["report"], type=InstallReport)
            tx.execute(
                "UPDATE download SET state = 'reported', report = ? WHERE download_index = ?",
                (msgspec.json.encode(report), report.download_index),
            )
            tx.execute("UPDATE software SET ours = 1")  # what is installed may have changed by our own doing
            return None

        return await self.database.transact(work)


def _make_room(
    tx: Connection, update: UpdateAvailable, download: Download, replaced: list[DownloadEntry]
) -> DownloadEntry | None:
    """Return the entry of exactly this download, if it is here; remove what stands in its way."""
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
    tx.execute(
        "INSERT INTO download(download_index, update_id, name, version, sha256, epoch, size, state)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            download.download_index,
            update.update_id,
            download.package.name,
            download.package.version,
            download.sha256,
            update.epoch,
            download.size,
            DownloadState.OFFERED,
        ),
    )


def _meet_again(tx: Connection, known: DownloadEntry, epoch: str) -> bool:
    """Take a known download that is offered again; says whether it begins again.

    What is under way goes on, in the life of the vehicle that is named now. What has ended begins again where Core
    lost its memory of the end: in another life, and where it was told of an installation. Whether that still is so, the
    Software Loading Manager sees in the installer's own database.
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


def _entry(row: sqlite3.Row) -> DownloadEntry:
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


_START = msgspec.json.Decoder(StartDownload)
_REPORT = msgspec.json.Decoder(InstallReport)
