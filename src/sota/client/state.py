"""What the SOTA Client keeps on disk: the updates it was told of and how far each download has come.

The blocks themselves are beside it in files (``kit/block_file.py``). Every change of state is on disk before anybody is
told of it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from sota.boundaries.b9_rvi_client.messages import InstallReport, StartDownload, UpdateAvailable
from sota.boundaries.services import BackendServices
from sota.boundaries.values import PackageId, Size
from sota.kit.database_threads import Threads
from sota.kit.disk import Disk, PlainDisk
from sota.kit.local_database import LocalDatabase
from sota.kit.local_file import Connection
from sota.kit.set_aside import read_stored

SCHEMA = (
    """
    CREATE TABLE offered (
        update_id TEXT PRIMARY KEY,
        body BLOB NOT NULL,
        accepted INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE download (
        download_index INTEGER PRIMARY KEY,
        update_id TEXT NOT NULL REFERENCES offered(update_id),
        name TEXT NOT NULL,
        version TEXT NOT NULL,
        size INTEGER NOT NULL,
        state TEXT NOT NULL,
        cancel_wanted INTEGER NOT NULL DEFAULT 0,
        start BLOB,
        report BLOB
    );
    """,
    """
    CREATE TABLE software (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        seen BLOB,
        ours INTEGER NOT NULL DEFAULT 0,
        sequence INTEGER NOT NULL DEFAULT 0,
        confirmed INTEGER NOT NULL DEFAULT 0
    );
    INSERT INTO software(one) VALUES (1);
    CREATE TABLE local_change (sequence INTEGER NOT NULL, body BLOB NOT NULL);
    """,
)


REMEMBERED = 1_000


class State(StrEnum):
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


FORGETTABLE = {State.WANTED, State.DONE}


@dataclass(frozen=True, slots=True)
class DownloadEntry:
    """One download, as it is on disk."""

    download_index: int
    update_id: str
    package: PackageId
    size: Size
    state: State
    cancel_wanted: bool
    start: StartDownload | None
    report: InstallReport | None
    services: BackendServices | None


class ClientState:
    """The file ``client.db``."""

    def __init__(self, folder: Path, threads: Threads | None = None) -> None:
        self.database = LocalDatabase(folder / "client.db", SCHEMA, threads)
        self.disk: Disk = threads.disk if threads else PlainDisk()

    async def open(self) -> None:
        """Open it; see :meth:`LocalDatabase.open`."""
        await self.database.open()

    async def close(self) -> None:
        """Close it."""
        await self.database.close()

    async def offer(self, update: UpdateAvailable) -> bool:
        """Write an update down; says whether the Software Loading Manager must hear of it."""

        def work(tx: Connection) -> bool:
            # A repeated notification may come from another Core and may add downloads; what is known stays as it is.
            tx.execute(
                "INSERT INTO offered(update_id, body) VALUES (?, ?)"
                " ON CONFLICT(update_id) DO UPDATE SET body = excluded.body",
                (update.update_id, msgspec.json.encode(update)),
            )
            added = 0
            for download in update.downloads:
                added += tx.execute(
                    "INSERT INTO download(download_index, update_id, name, version, size, state)"
                    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT(download_index) DO NOTHING",
                    (
                        download.download_index,
                        update.update_id,
                        download.package.name,
                        download.package.version,
                        download.size,
                        State.OFFERED,
                    ),
                ).rowcount
            if added:
                tx.execute("UPDATE offered SET accepted = 0 WHERE update_id = ?", (update.update_id,))
            (accepted,) = tx.execute("SELECT accepted FROM offered WHERE update_id = ?", (update.update_id,)).fetchone()
            return not accepted

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
            row = tx.execute(f"{SELECT} WHERE download_index = ?", (download_index,)).fetchone()
            return _entry(row) if row else None

        return await self.database.recall(download_index, work)

    async def under_way(self) -> list[DownloadEntry]:
        """Give the downloads that somebody is still at work on."""

        def work(tx: Connection) -> list[DownloadEntry]:
            rows = tx.execute(f"{SELECT} WHERE state NOT IN ('offered', 'handed', 'done') ORDER BY download_index")
            return [_entry(row) for row in rows]

        return await self.database.read(work)

    async def move(self, download_index: int, state: State, *, start: StartDownload | None = None) -> None:
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


SELECT = "SELECT download.*, offered.body FROM download JOIN offered USING (update_id)"


def _entry(row: sqlite3.Row) -> DownloadEntry:
    offered = _OFFERED.decode(row["body"])
    return DownloadEntry(
        download_index=row["download_index"],
        update_id=row["update_id"],
        package=PackageId(name=row["name"], version=row["version"]),
        size=row["size"],
        state=read_stored(State, row["state"]),
        cancel_wanted=bool(row["cancel_wanted"]),
        start=_START.decode(row["start"]) if row["start"] else None,
        report=_REPORT.decode(row["report"]) if row["report"] else None,
        services=offered.services,
    )


class _Services(msgspec.Struct):
    """What is looked at of an update for each of its downloads: to read all of it takes three times as long."""

    services: BackendServices | None = None


_OFFERED = msgspec.json.Decoder(_Services)
_START = msgspec.json.Decoder(StartDownload)
_REPORT = msgspec.json.Decoder(InstallReport)
