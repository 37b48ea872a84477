"""The Software Loading Manager's journal on disk: updates, downloads, and every step of every installation.

A step is recorded before it begins and when it has ended. So the journal shows what may have happened, whatever stops
the program. A download's end and its report are one transaction: every result has a report to send.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from sota.boundaries.b7_core_rvi.messages import InstallReport, StartDownload, UpdateAvailable
from sota.boundaries.values import InstalledPackage, PackageId
from sota.kit.files.disk import Disk
from sota.kit.files.set_aside import read_stored
from sota.kit.runtime.notifier import Notifier
from sota.kit.sql.local_database import LocalDatabase, Row
from sota.kit.sql.local_file import Connection
from sota.kit.sql.local_threads import Threads
from sota.slm.acceptance import Accepted, accept
from sota.slm.entry import OPEN, DownloadEntry, State, entry_of, remove, remove_empty_updates
from sota.slm.images.model import Result
from sota.slm.journal_schema import SCHEMA
from sota.slm.model import Step, StepRecord

REMEMBERED = 1_000
BEGUN = "state IN ('installing', 'booting', 'verifying')"

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

    async def belong_to(self, vin: str) -> bool:
        """Record whose journal it is; report whether it was another vehicle's.

        Then downloads that have not begun are deleted. A begun installation is finished: half an installation helps
        no vehicle. Installed packages and backups belong to this vehicle and stay.
        """

        def work(tx: Connection) -> bool:
            (known,) = tx.execute("SELECT vin FROM journal_owner").fetchone()
            tx.execute("UPDATE journal_owner SET vin = ?", (vin,))
            is_other = known is not None and known != vin
            if is_other:
                rows = tx.execute(f"SELECT download_index FROM accepted_download WHERE NOT {BEGUN}").fetchall()
                remove(tx, [row["download_index"] for row in rows])
                remove_empty_updates(tx)
            return is_other

        return await self.database.transact(work)

    async def accept(self, update: UpdateAvailable) -> Accepted:
        """Record an update; see :func:`sota.slm.acceptance.accept`."""
        return await self.database.transact(lambda tx: accept(tx, update))

    async def begun(self) -> list[DownloadEntry]:
        """Return the downloads whose installation has begun."""
        return await self.database.rows(entry_of, f"SELECT * FROM accepted_download WHERE {BEGUN}")

    async def open_downloads(self) -> list[DownloadEntry]:
        """Return the downloads that have not ended."""
        return await self.database.rows(entry_of, f"SELECT * FROM accepted_download WHERE {OPEN}")

    async def update(self, update_id: str) -> UpdateAvailable | None:
        """Return an accepted update."""
        query = "SELECT body FROM accepted_update WHERE update_id = ?"
        found = await self.database.rows(_offered, query, update_id, key=("update", update_id))
        return found[0] if found else None

    async def unfinished(self) -> list[UpdateAvailable]:
        """Return the updates that have not ended, in the order of their arrival."""
        query = (
            "SELECT body FROM accepted_update WHERE update_id IN"
            f" (SELECT update_id FROM accepted_download WHERE {OPEN}) ORDER BY position"
        )
        return await self.database.rows(_offered, query, key="unfinished")

    async def downloads(self, update_id: str) -> list[DownloadEntry]:
        """Return an update's downloads in their order."""
        query = "SELECT * FROM accepted_download WHERE update_id = ? ORDER BY position"
        return await self.database.rows(entry_of, query, update_id, key=("downloads", update_id))

    async def download(self, download_index: int) -> DownloadEntry | None:
        """Return one download."""
        query = "SELECT * FROM accepted_download WHERE download_index = ?"
        found = await self.database.rows(entry_of, query, download_index, key=download_index)
        return found[0] if found else None

    async def move(self, download_index: int, state: State, *, start: StartDownload | None = None) -> None:
        """Change the state of a download, and record its start if there is a new one.

        ``receiving`` is not durable: after a loss its sender repeats the start. ``ready`` is durable, because the
        sender then deletes its copy.
        """

        def work(tx: Connection) -> None:
            query = f"UPDATE accepted_download SET state = ? WHERE download_index = ? AND {OPEN}"
            tx.execute(query, (state, download_index))
            if start is not None:
                query = "UPDATE accepted_download SET start = ? WHERE download_index = ?"
                tx.execute(query, (msgspec.json.encode(start), download_index))

        await self.database.transact(work, durable=state is not State.RECEIVING)

    async def want(self, download_index: int) -> None:
        """Record that an offered download is requested, unless it has begun to arrive.

        Not durable: after a loss it is requested again.
        """
        query = "UPDATE accepted_download SET state = 'wanted' WHERE download_index = ? AND state = 'offered'"
        await self.database.transact(lambda tx: tx.execute(query, (download_index,)), durable=False)

    async def begin(self, entry: DownloadEntry, previous_version: str | None) -> bool:
        """Begin an installation and record the previous version; report whether it may begin.

        It may not if it was cancelled, or if another download has its index by now. Not durable: nothing changes
        before :meth:`begin_step`, which makes both durable.
        """
        query = (
            "UPDATE accepted_download SET state = 'installing', previous_version = ?"
            " WHERE download_index = ? AND update_id = ? AND sha256 = ? AND state = 'ready'"
        )
        values = (previous_version, entry.download_index, entry.update_id, entry.identity.sha256)
        return await self.database.transact(lambda tx: tx.execute(query, values).rowcount > 0, durable=False)

    async def begin_step(self, download_index: int, step: Step, *, operation: str = "", note: str = "") -> OpenStep:
        """Record that a step is about to begin, and set the download's state accordingly."""

        def work(tx: Connection) -> OpenStep:
            query = "SELECT COALESCE(MAX(number), 0) + 1 FROM step WHERE download_index = ?"
            (number,) = tx.execute(query, (download_index,)).fetchone()
            query = "INSERT INTO step(download_index, number, step, operation, note) VALUES (?, ?, ?, ?, ?)"
            tx.execute(query, (download_index, number, step, operation, note))
            query = f"UPDATE accepted_download SET state = ? WHERE download_index = ? AND {OPEN}"
            tx.execute(query, (STATES.get(step, State.INSTALLING), download_index))
            return OpenStep(number, step, note)

        opened = await self.database.transact(work)
        self.stepped.notify()
        return opened

    async def end_step(self, download_index: int, number: int, exit_code: int | None, output: str) -> None:
        """Record how a step ended; ``exit_code`` is None if that is unknown."""
        query = "UPDATE step SET ended = 1, exit_code = ?, output = ? WHERE download_index = ? AND number = ?"
        await self.database.transact(lambda tx: tx.execute(query, (exit_code, output, download_index, number)))

    async def steps(self, download_index: int, operation: str = "") -> tuple[list[StepRecord], OpenStep | None]:
        """Return the steps of an operation that have ended, and the one that has not."""
        query = "SELECT * FROM step WHERE download_index = ? AND operation = ? ORDER BY number"
        steps = await self.database.rows(_step, query, download_index, operation)
        opened = [step for step in steps if isinstance(step, OpenStep)]
        return [step for step in steps if isinstance(step, StepRecord)], opened[-1] if opened else None

    async def opened_steps(self) -> list[tuple[int, int]]:
        """Return download and number of each step that has not ended."""
        query = "SELECT download_index, number FROM step WHERE NOT ended"
        return await self.database.rows(lambda row: (row["download_index"], row["number"]), query)

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
            end = (state, report.reason, msgspec.json.encode(report))
            tx.execute(query, (*end, report.download_index, of.update_id, of.sha256))
            if image is not None:
                values = (image.name, image.version)
                tx.execute("INSERT OR REPLACE INTO image(name, version) VALUES (?, ?)", values)

        await self.database.transact(work)

    async def unreported(self) -> list[InstallReport]:
        """Return the reports that the SOTA Client does not have yet, the oldest first."""
        query = "SELECT report FROM accepted_download WHERE report IS NOT NULL AND NOT reported ORDER BY download_index"
        return await self.database.rows(lambda row: msgspec.json.decode(row["report"], type=InstallReport), query)

    async def mark_reported(self, report: InstallReport) -> None:
        """Record that the SOTA Client has the report.

        Not durable: after a loss it is sent again, and the client answers that it has it already.
        """
        query = "UPDATE accepted_download SET reported = 1 WHERE download_index = ? AND update_id = ? AND sha256 = ?"
        values = (report.download_index, report.identity.update_id, report.identity.sha256)
        await self.database.transact(lambda tx: tx.execute(query, values), durable=False)

    async def begin_operation(self, download_index: int, operation: str, previous_version: str | None) -> str | None:
        """Record the previous version before an operation; return the one that was recorded first."""

        def work(tx: Connection) -> str | None:
            tx.execute(
                "INSERT INTO operation(download_index, id, previous_version) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (download_index, operation, previous_version),
            )
            return _previous(tx, download_index, operation)

        return await self.database.transact(work)

    async def end_operation(self, download_index: int, operation: str, result: Result) -> None:
        """Record an operation's result, unless it has one."""
        query = (
            "INSERT INTO operation(download_index, id, result_code, result_text) VALUES (?, ?, ?, ?)"
            " ON CONFLICT(download_index, id) DO UPDATE"
            " SET result_code = excluded.result_code, result_text = excluded.result_text"
            " WHERE result_code IS NULL"
        )
        values = (download_index, operation, result.code, result.text)
        await self.database.transact(lambda tx: tx.execute(query, values))

    async def results(self, download_index: int) -> dict[str, Result]:
        """Return the results so far, in the order in which the operations began."""
        query = "SELECT * FROM operation WHERE download_index = ? AND result_code IS NOT NULL ORDER BY rowid"
        return dict(await self.database.rows(_result, query, download_index))

    async def previous_version(self, download_index: int, operation: str) -> str | None:
        """Return the version from before an operation."""
        return await self.database.read(lambda tx: _previous(tx, download_index, operation))

    async def images(self) -> list[InstalledPackage]:
        """Return the installed images."""
        query = "SELECT name, version FROM image ORDER BY name"
        return await self.database.rows(lambda row: InstalledPackage(name=row["name"], version=row["version"]), query)


def _offered(row: Row) -> UpdateAvailable:
    return _OFFERED.decode(row["body"])


def _step(row: Row) -> StepRecord | OpenStep:
    step = read_stored(Step, row["step"])
    if row["ended"]:
        return StepRecord(step, row["exit_code"], row["output"])
    return OpenStep(row["number"], step, row["note"])


def _previous(tx: Connection, download_index: int, operation: str) -> str | None:
    query = "SELECT previous_version FROM operation WHERE download_index = ? AND id = ?"
    row = tx.execute(query, (download_index, operation)).fetchone()
    return row["previous_version"] if row else None


def _result(row: Row) -> tuple[str, Result]:
    return row["id"], Result(row["result_code"], row["result_text"])


_OFFERED = msgspec.json.Decoder(UpdateAvailable)
