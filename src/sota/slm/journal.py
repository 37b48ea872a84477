"""What the Software Loading Manager keeps on disk: updates, downloads, and every step of every installation.

A step is written down before it is begun and again when it has ended, so whatever stops us, the journal says what may
have happened. A download's end and its report are written in one transaction: there is no result without a report to
send.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sota.boundaries.b10_client_slm.messages import InstallReport, StartDownload, UpdateAvailable
from sota.boundaries.values import PackageId
from sota.kit.files.disk import Disk, PlainDisk
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
    """The last step of a download when it has not ended in the journal."""

    number: int
    step: Step
    note: str = ""
    """What must be known of its beginning: for a boot, the id of the boot before it."""


class Journal:
    """The file ``slm.db``. ``database`` is another one for tests that have the power go at one of its writes."""

    def __init__(
        self, folder: Path, threads: Threads | None = None, *, database: type[LocalDatabase] = LocalDatabase
    ) -> None:
        self.database = database(folder / "slm.db", SCHEMA, threads)
        self.disk: Disk = threads.disk if threads else PlainDisk()
        self.stepped = Notifier()
        """Rings when a step begins."""

    async def open(self) -> None:
        """Open it; see :meth:`LocalDatabase.open`."""
        await self.database.open()

    async def close(self) -> None:
        """Close it."""
        await self.database.close()

    async def open_for(self, vin: str) -> bool:
        """Open it for a vehicle; says whether it was another vehicle's.

        What is not begun is forgotten then. What an installer has begun is finished: half an installation helps no
        vehicle. What is installed, and how to go back, is the vehicle's own and stays.
        """
        await self.open()
        return await self.belong_to(vin)

    async def belong_to(self, vin: str) -> bool:
        """Write down whose journal it is; says whether it was another vehicle's, see :meth:`open_for`."""

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
        """Write an update down; see :func:`sota.slm.acceptance.accept`."""
        return await self.database.transact(lambda tx: accept(tx, update))

    async def begun(self) -> list[DownloadEntry]:
        """Return the downloads that an installer has begun."""

        def work(tx: Connection) -> list[DownloadEntry]:
            rows = tx.execute("SELECT * FROM accepted_download WHERE state IN ('installing', 'booting', 'verifying')")
            return [entry_of(row) for row in rows]

        return await self.database.read(work)

    async def update(self, update_id: str) -> UpdateAvailable | None:
        """Give an accepted update."""

        def work(tx: Connection) -> UpdateAvailable | None:
            row = tx.execute("SELECT body FROM accepted_update WHERE update_id = ?", (update_id,)).fetchone()
            return _OFFERED.decode(row["body"]) if row else None

        return await self.database.recall(("update", update_id), work)

    async def unfinished(self) -> list[UpdateAvailable]:
        """Give the updates that are not at their end, in the order in which they came."""

        def work(tx: Connection) -> list[UpdateAvailable]:
            rows = tx.execute(
                "SELECT body FROM accepted_update WHERE update_id IN"
                f" (SELECT update_id FROM accepted_download WHERE {OPEN}) ORDER BY position"
            )
            return [_OFFERED.decode(row["body"]) for row in rows]

        return await self.database.recall("unfinished", work)

    async def downloads(self, update_id: str) -> list[DownloadEntry]:
        """Give an update's downloads in their order."""

        def work(tx: Connection) -> list[DownloadEntry]:
            rows = tx.execute("SELECT * FROM accepted_download WHERE update_id = ? ORDER BY position", (update_id,))
            return [entry_of(row) for row in rows]

        return await self.database.recall(("downloads", update_id), work)

    async def download(self, download_index: int) -> DownloadEntry | None:
        """Give one download."""

        def work(tx: Connection) -> DownloadEntry | None:
            row = tx.execute("SELECT * FROM accepted_download WHERE download_index = ?", (download_index,)).fetchone()
            return entry_of(row) if row else None

        return await self.database.recall(download_index, work)

    async def move(self, download_index: int, state: State, *, start: StartDownload | None = None) -> None:
        """Take a download to another state, with what is about to be sent where that is new.

        That it arrives is not waited for: forgotten, its sender begins with the start again. That it is here is: its
        sender lets go of it.
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
        """Write down that an offered download is asked for; one that has begun to arrive meanwhile stays as it is.

        Not waited for: forgotten, it is asked for once more.
        """

        def work(tx: Connection) -> None:
            tx.execute(
                "UPDATE accepted_download SET state = ? WHERE download_index = ? AND state = ?",
                (State.WANTED, download_index, State.OFFERED),
            )

        await self.database.transact(work, durable=False)

    async def begin(self, entry: DownloadEntry, previous_version: str | None) -> bool:
        """Begin an installation: write down what was there before. Says whether it may begin: not if cancelled.

        Nor where another download has its index by now.

        Not waited for: nothing is touched before :meth:`begin_step`, which makes both durable.
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
        """Write down that a step is about to begin; the download's state says what kind of step it is."""

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
        """Write down how a step ended; None: nobody knows."""

        def work(tx: Connection) -> None:
            tx.execute(
                "UPDATE step SET ended = 1, exit_code = ?, output = ? WHERE download_index = ? AND number = ?",
                (exit_code, output, download_index, number),
            )

        await self.database.transact(work)

    async def steps(self, download_index: int, operation: str = "") -> tuple[list[StepRecord], OpenStep | None]:
        """Give the steps that have ended, and the one that has not; of one operation where the file is an image."""

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
        """Return download and number of each step that was begun and has not ended."""

        def work(tx: Connection) -> list[tuple[int, int]]:
            rows = tx.execute("SELECT download_index, number FROM step WHERE NOT ended")
            return [(row["download_index"], row["number"]) for row in rows]

        return await self.database.read(work)

    async def forget_old(self) -> None:
        """Forget what has long been reported, so that the file does not grow for ever."""

        def work(tx: Connection) -> None:
            old = (
                "SELECT download_index FROM accepted_download WHERE reported AND download_index NOT IN"
                " (SELECT download_index FROM accepted_download ORDER BY download_index DESC LIMIT ?)"
            )
            tx.execute(f"DELETE FROM step WHERE download_index IN ({old})", (REMEMBERED,))
            tx.execute(f"DELETE FROM operation WHERE download_index IN ({old})", (REMEMBERED,))
            tx.execute(f"DELETE FROM accepted_download WHERE download_index IN ({old})", (REMEMBERED,))
            remove_empty_updates(tx)

        await self.database.transact(work)

    async def open_downloads(self) -> list[DownloadEntry]:
        """Return the downloads that have not ended."""

        def work(tx: Connection) -> list[DownloadEntry]:
            return [entry_of(row) for row in tx.execute(f"SELECT * FROM accepted_download WHERE {OPEN}")]

        return await self.database.read(work)

    async def finish(self, state: State, report: InstallReport, *, image: PackageId | None = None) -> None:
        """Take a download to its end and keep its report for sending. A download that has ended is left alone.

        ``image`` is an update image that the vehicle has from now on.
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
        """Give the reports that the SOTA Client has not taken yet, the oldest first."""

        def work(tx: Connection) -> list[InstallReport]:
            rows = tx.execute(
                "SELECT report FROM accepted_download WHERE report IS NOT NULL AND NOT reported ORDER BY download_index"
            )
            return [msgspec.json.decode(row["report"], type=InstallReport) for row in rows]

        return await self.database.read(work)

    async def mark_reported(self, report: InstallReport) -> None:
        """Write down that the SOTA Client has the report.

        Not waited for: forgotten, it is sent once more, and the client says that it has one already.
        """

        def work(tx: Connection) -> None:
            query = (
                "UPDATE accepted_download SET reported = 1 WHERE download_index = ? AND update_id = ? AND sha256 = ?"
            )
            tx.execute(query, (report.download_index, report.identity.update_id, report.identity.sha256))

        await self.database.transact(work, durable=False)


_OFFERED = msgspec.json.Decoder(UpdateAvailable)
