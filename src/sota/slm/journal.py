"""The Software Loading Manager's journal on disk: updates, downloads, and every step of every installation.

A step is recorded before it begins and when it has ended. So the journal shows what may have happened, whatever stops
the program. A download's end and its report are one transaction: every result has a report to send.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sota.boundaries.b7_core_rvi.messages import InstallReport, StartDownload, UpdateAvailable
from sota.boundaries.values import PackageId
from sota.kit.files.disk import Disk
from sota.kit.files.set_aside import read_stored
from sota.kit.runtime.notifier import Notifier
from sota.kit.sql.local_database import LocalDatabase
from sota.kit.sql.local_file import Connection
from sota.kit.sql.local_threads import Threads
from sota.slm.acceptance import Accepted, accept
from sota.slm.entry import OPEN, DownloadEntry, State, entry_of, remove, remove_empty_updates
from sota.slm.journal_schema import SCHEMA
from sota.slm.model import Step, StepRecord

REMEMBERED = 1_000


STATES = {Step.BOOT: State.BOOTING, **dict.fromkeys((Step.LOOK, Step.CHECK, Step.CONFIRM), State.VERIFYING)}
"""The state of a download during a step; INSTALLING for the others."""


@dataclass(frozen=True, slots=True)
class OpenStep:
    """The last step of a download, if the journal has no end of it."""

    number: int
    step: Step
    note: str = ""
    """What its end depends on: for a boot, the id of the boot before it."""


class Journal:
    """The file ``slm.db``. Tests that simulate a loss of power replace the class ``database``."""

    def __init__(
        self, folder: Path, threads: Threads | None = None, *, database: type[LocalDatabase] = LocalDatabase
    ) -> None:
        self.database = database(folder / "slm.db", SCHEMA, threads)
        self.disk = threads.disk if threads else Disk()
        self.stepped = Notifier()
        """Notifies when a step begins."""

    async def open(self) -> None:
        """Open it; see :meth:`LocalDatabase.open`."""
        await self.database.open()

    async def close(self) -> None:
        """Close it."""
        await self.database.close()

    async def open_for(self, vin: str) -> bool:
        """Open it for a vehicle; report whether it was another vehicle's.

        Then downloads that have not begun are deleted. A begun installation is finished: half an installation helps
        no vehicle. Installed packages and backups belong to this vehicle and stay.
        """
        await self.open()
        return await self.belong_to(vin)

    async def belong_to(self, vin: str) -> bool:
        """Record whose journal it is; report whether it was another vehicle's, see :meth:`open_for`."""

        def work(tx: Connection) -> bool:
            (known,) = tx.execute("SELECT vin FROM journal_owner").fetchone()
            tx.execute("UPDATE journal_owner SET vin = ?", (vin,))
            is_other = known is not None and known != vin
            if is_other:
                begun = [state.value for state in State if state.is_begun]
                query = (
                    f"SELECT download_index FROM accepted_download WHERE state NOT IN ({','.join('?' * len(begun))})"
                )
                remove(tx, [row["download_index"] for row in tx.execute(query, begun).fetchall()])
                remove_empty_updates(tx)
            return is_other

        return await self.database.transact(work)

    async def accept(self, update: UpdateAvailable) -> Accepted:
        """Record an update; see :func:`sota.slm.acceptance.accept`."""
        return await self.database.transact(lambda tx: accept(tx, update))

    async def begun(self) -> list[DownloadEntry]:
        """Return the downloads whose installation has begun."""
        return await self._entries("state IN ('installing', 'booting', 'verifying')")

    async def open_downloads(self) -> list[DownloadEntry]:
        """Return the downloads that have not ended."""
        return await self._entries(OPEN)

    async def _entries(self, condition: str) -> list[DownloadEntry]:
        def work(tx: Connection) -> list[DownloadEntry]:
            return [entry_of(row) for row in tx.execute(f"SELECT * FROM accepted_download WHERE {condition}")]

        return await self.database.read(work)

    async def update(self, update_id: str) -> UpdateAvailable | None:
        """Return an accepted update."""

        def work(tx: Connection) -> UpdateAvailable | None:
            row = tx.execute("SELECT body FROM accepted_update WHERE update_id = ?", (update_id,)).fetchone()
            return _OFFERED.decode(row["body"]) if row else None

        return await self.database.recall(("update", update_id), work)

    async def unfinished(self) -> list[UpdateAvailable]:
        """Return the updates that have not ended, in the order of their arrival."""

        def work(tx: Connection) -> list[UpdateAvailable]:
            rows = tx.execute(
                "SELECT body FROM accepted_update WHERE update_id IN"
                f" (SELECT update_id FROM accepted_download WHERE {OPEN}) ORDER BY position"
            )
            return [_OFFERED.decode(row["body"]) for row in rows]

        return await self.database.recall("unfinished", work)

    async def downloads(self, update_id: str) -> list[DownloadEntry]:
        """Return an update's downloads in their order."""

        def work(tx: Connection) -> list[DownloadEntry]:
            rows = tx.execute("SELECT * FROM accepted_download WHERE update_id = ? ORDER BY position", (update_id,))
            return [entry_of(row) for row in rows]

        return await self.database.recall(("downloads", update_id), work)

    async def download(self, download_index: int) -> DownloadEntry | None:
        """Return one download."""

        def work(tx: Connection) -> DownloadEntry | None:
            row = tx.execute("SELECT * FROM accepted_download WHERE download_index = ?", (download_index,)).fetchone()
            return entry_of(row) if row else None

        return await self.database.recall(download_index, work)

    async def move(self, download_index: int, state: State, *, start: StartDownload | None = None) -> None:
        """Change the state of a download, and record its start if there is a new one.

        ``receiving`` is not durable: after a loss its sender repeats the start. ``ready`` is durable, because the
        sender then deletes its copy.
        """

        def work(tx: Connection) -> None:
            query = f"UPDATE accepted_download SET state = ? WHERE download_index = ? AND {OPEN}"
            tx.execute(query, (state, download_index))
            if start is not None:
                tx.execute(
                    "UPDATE accepted_download SET start = ? WHERE download_index = ?",
                    (msgspec.json.encode(start), download_index),
                )

        await self.database.transact(work, durable=state is not State.RECEIVING)

    async def want(self, download_index: int) -> None:
        """Record that an offered download is requested, unless it has begun to arrive.

        Not durable: after a loss it is requested again.
        """

        def work(tx: Connection) -> None:
            tx.execute(
                "UPDATE accepted_download SET state = ? WHERE download_index = ? AND state = ?",
                (State.WANTED, download_index, State.OFFERED),
            )

        await self.database.transact(work, durable=False)

    async def begin(self, entry: DownloadEntry, previous_version: str | None) -> bool:
        """Begin an installation and record the previous version; report whether it may begin.

        It may not if it was cancelled, or if another download has its index by now. Not durable: nothing changes
        before :meth:`begin_step`, which makes both durable.
        """

        def work(tx: Connection) -> bool:
            changed = tx.execute(
                "UPDATE accepted_download SET state = 'installing', previous_version = ?"
                " WHERE download_index = ? AND update_id = ? AND sha256 = ? AND state = 'ready'",
                (previous_version, entry.download_index, entry.update_id, entry.identity.sha256),
            )
            return changed.rowcount > 0

        return await self.database.transact(work, durable=False)

    async def begin_step(self, download_index: int, step: Step, *, operation: str = "", note: str = "") -> OpenStep:
        """Record that a step is about to begin, and set the download's state accordingly."""

        def work(tx: Connection) -> OpenStep:
            (number,) = tx.execute(
                "SELECT COALESCE(MAX(number), 0) + 1 FROM step WHERE download_index = ?", (download_index,)
            ).fetchone()
            tx.execute(
                "INSERT INTO step(download_index, number, step, operation, note) VALUES (?, ?, ?, ?, ?)",
                (download_index, number, step, operation, note),
            )
            query = f"UPDATE accepted_download SET state = ? WHERE download_index = ? AND {OPEN}"
            tx.execute(query, (STATES.get(step, State.INSTALLING), download_index))
            return OpenStep(number, step, note)

        opened = await self.database.transact(work)
        self.stepped.notify()
        return opened

    async def end_step(self, download_index: int, number: int, exit_code: int | None, output: str) -> None:
        """Record how a step ended; ``exit_code`` is None if that is unknown."""

        def work(tx: Connection) -> None:
            tx.execute(
                "UPDATE step SET ended = 1, exit_code = ?, output = ? WHERE download_index = ? AND number = ?",
                (exit_code, output, download_index, number),
            )

        await self.database.transact(work)

    async def steps(self, download_index: int, operation: str = "") -> tuple[list[StepRecord], OpenStep | None]:
        """Return the steps of an operation that have ended, and the one that has not."""

        def work(tx: Connection) -> Sequence[sqlite3.Row]:
            query = "SELECT * FROM step WHERE download_index = ? AND operation = ? ORDER BY number"
            rows = tx.execute(query, (download_index, operation)).fetchall()
            for row in rows:
                read_stored(Step, row["step"])
            return rows

        rows = await self.database.read(work)
        ended = [StepRecord(Step(row["step"]), row["exit_code"], row["output"]) for row in rows if row["ended"]]
        opened = [OpenStep(row["number"], Step(row["step"]), row["note"]) for row in rows if not row["ended"]]
        return ended, opened[-1] if opened else None

    async def opened_steps(self) -> list[tuple[int, int]]:
        """Return download and number of each step that has not ended."""

        def work(tx: Connection) -> list[tuple[int, int]]:
            rows = tx.execute("SELECT download_index, number FROM step WHERE NOT ended")
            return [(row["download_index"], row["number"]) for row in rows]

        return await self.database.read(work)

    async def forget_old(self) -> None:
        """Delete downloads that were reported long ago, which bounds the file."""

        def work(tx: Connection) -> None:
            old = (
                "SELECT download_index FROM accepted_download WHERE reported AND download_index NOT IN"
                " (SELECT download_index FROM accepted_download ORDER BY download_index DESC LIMIT ?)"
            )
            for table in ("step", "operation", "accepted_download"):
                tx.execute(f"DELETE FROM {table} WHERE download_index IN ({old})", (REMEMBERED,))
            remove_empty_updates(tx)

        await self.database.transact(work)

    async def finish(self, state: State, report: InstallReport, *, image: PackageId | None = None) -> None:
        """End a download and store its report for sending. An ended download is not changed.

        ``image`` is an update image that is installed from now on.
        """

        def work(tx: Connection) -> None:
            query = (
                "UPDATE accepted_download SET state = ?, reason = ?, report = ?"
                f" WHERE download_index = ? AND update_id = ? AND sha256 = ? AND {OPEN}"
            )
            of = report.identity
            values = (state, report.reason, msgspec.json.encode(report), report.download_index)
            tx.execute(query, (*values, of.update_id, of.sha256))
            if image is not None:
                tx.execute(
                    "INSERT INTO image(name, version) VALUES (?, ?)"
                    " ON CONFLICT(name) DO UPDATE SET version = excluded.version",
                    (image.name, image.version),
                )

        await self.database.transact(work)

    async def unreported(self) -> list[InstallReport]:
        """Return the reports that the SOTA Client does not have yet, the oldest first."""

        def work(tx: Connection) -> list[InstallReport]:
            rows = tx.execute(
                "SELECT report FROM accepted_download WHERE report IS NOT NULL AND NOT reported ORDER BY download_index"
            )
            return [msgspec.json.decode(row["report"], type=InstallReport) for row in rows]

        return await self.database.read(work)

    async def mark_reported(self, report: InstallReport) -> None:
        """Record that the SOTA Client has the report.

        Not durable: after a loss it is sent again, and the client answers that it has it already.
        """

        def work(tx: Connection) -> None:
            query = (
                "UPDATE accepted_download SET reported = 1 WHERE download_index = ? AND update_id = ? AND sha256 = ?"
            )
            tx.execute(query, (report.download_index, report.identity.update_id, report.identity.sha256))

        await self.database.transact(work, durable=False)


_OFFERED = msgspec.json.Decoder(UpdateAvailable)
