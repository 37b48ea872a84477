"""The journal's records of update images: the operations' previous versions and results, and installed images."""

from __future__ import annotations

from sota.boundaries.values import InstalledPackage
from sota.kit.sql.local_file import Connection
from sota.slm.images.model import Result
from sota.slm.journal import Journal


class ImageStore:
    """The journal's tables ``operation`` and ``image``."""

    def __init__(self, journal: Journal) -> None:
        self._database = journal.database

    async def begin(self, download_index: int, operation: str, previous_version: str | None) -> str | None:
        """Record the previous version before an operation; return the one that was recorded first."""

        def work(tx: Connection) -> str | None:
            tx.execute(
                "INSERT INTO operation(download_index, id, previous_version) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (download_index, operation, previous_version),
            )
            row = tx.execute(
                "SELECT previous_version FROM operation WHERE download_index = ? AND id = ?",
                (download_index, operation),
            ).fetchone()
            found: str | None = row["previous_version"]
            return found

        return await self._database.transact(work)

    async def end(self, download_index: int, operation: str, result: Result) -> None:
        """Record an operation's result, unless it has one."""

        def work(tx: Connection) -> None:
            tx.execute(
                "INSERT INTO operation(download_index, id, result_code, result_text) VALUES (?, ?, ?, ?)"
                " ON CONFLICT(download_index, id) DO UPDATE"
                " SET result_code = excluded.result_code, result_text = excluded.result_text"
                " WHERE result_code IS NULL",
                (download_index, operation, result.code, result.text),
            )

        await self._database.transact(work)

    async def results(self, download_index: int) -> dict[str, Result]:
        """Return the results so far, in the order in which the operations began."""

        def work(tx: Connection) -> dict[str, Result]:
            rows = tx.execute(
                "SELECT * FROM operation WHERE download_index = ? AND result_code IS NOT NULL ORDER BY rowid",
                (download_index,),
            )
            return {row["id"]: Result(row["result_code"], row["result_text"]) for row in rows}

        return await self._database.read(work)

    async def previous(self, download_index: int, operation: str) -> str | None:
        """Return the version from before an operation."""

        def work(tx: Connection) -> str | None:
            row = tx.execute(
                "SELECT previous_version FROM operation WHERE download_index = ? AND id = ?",
                (download_index, operation),
            ).fetchone()
            return row["previous_version"] if row else None

        return await self._database.read(work)

    async def images(self) -> list[InstalledPackage]:
        """Return the installed images."""

        def work(tx: Connection) -> list[InstalledPackage]:
            rows = tx.execute("SELECT name, version FROM image ORDER BY name")
            return [InstalledPackage(name=row["name"], version=row["version"]) for row in rows]

        return await self._database.read(work)
