"""What the SOTA Client remembers of the vehicle's software: what it saw last, and what Core has yet to hear."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from sota.boundaries.b9_rvi_client.messages import LocalChange
from sota.boundaries.values import InstalledPackage
from sota.client.state import ClientState
from sota.kit.sql.local_file import Connection

MOST_CHANGES = 1000
Compare = Callable[[list[InstalledPackage], list[InstalledPackage], datetime], list[LocalChange]]


class SoftwareState:
    """Two tables of the file ``client.db``."""

    def __init__(self, state: ClientState, compare: Compare) -> None:
        self._database, self._compare = state.database, compare

    async def is_installing(self) -> bool:
        """Say whether an update is on its way into the vehicle: what is installed changes without anybody's hand."""

        def work(tx: Connection) -> bool:
            query = "SELECT 1 FROM download WHERE state IN ('verified', 'handed') LIMIT 1"
            return tx.execute(query).fetchone() is not None

        return await self._database.read(work)

    async def observe(self, packages: list[InstalledPackage], now: datetime) -> bool:
        """Note what is installed; says whether Core should hear of it. The first look is what all others compare with.

        A difference after an update of ours is the update's doing, and no local change.
        """

        def work(tx: Connection) -> bool:
            row = tx.execute("SELECT seen, ours FROM software").fetchone()
            seen = msgspec.json.decode(row["seen"], type=list[InstalledPackage]) if row["seen"] else None
            tx.execute("UPDATE software SET seen = ?, ours = 0", (msgspec.json.encode(packages),))
            changes = self._compare(seen, packages, now) if seen is not None else []
            if changes:
                _add(tx, [] if row["ours"] else changes)
            return bool(changes)

        return await self._database.transact(work)

    async def add_changes(self, changes: list[LocalChange]) -> None:
        """Keep changes until Core has confirmed them."""

        def work(tx: Connection) -> None:
            _add(tx, changes)
            tx.execute("UPDATE software SET ours = 1")  # the next look sees the same, and is not to tell it twice

        await self._database.transact(work)

    async def owe_after_loss(self) -> bool:
        """Note that Core should hear what is installed where this file was lost; says whether it was."""
        if not await self._database.begun_again():
            return False
        await self.owe()
        await self._database.settle()
        return True

    async def owe(self) -> None:
        """Note that Core should hear what is installed."""
        await self._database.transact(lambda tx: _add(tx, []))

    async def owed(self) -> tuple[int, list[LocalChange]] | None:
        """Give the number of the message that Core has yet to confirm, and its changes."""

        def work(tx: Connection) -> tuple[int, list[LocalChange]] | None:
            row = tx.execute("SELECT sequence, confirmed FROM software").fetchone()
            if row["sequence"] <= row["confirmed"]:
                return None
            query = "SELECT body FROM local_change ORDER BY rowid LIMIT ?"
            bodies = tx.execute(query, (MOST_CHANGES,)).fetchall()
            return row["sequence"], [msgspec.json.decode(one["body"], type=LocalChange) for one in bodies]

        return await self._database.read(work)

    async def confirm(self, sequence: int) -> bool:
        """Forget what Core has; says whether that is everything."""

        def work(tx: Connection) -> bool:
            tx.execute("UPDATE software SET confirmed = max(confirmed, min(?, sequence))", (sequence,))
            confirmed, newest = tx.execute("SELECT confirmed, sequence FROM software").fetchone()
            tx.execute("DELETE FROM local_change WHERE sequence <= ?", (confirmed,))
            return bool(confirmed >= newest)

        return await self._database.transact(work)


def _add(tx: Connection, changes: list[LocalChange]) -> None:
    tx.execute("UPDATE software SET sequence = sequence + 1")
    (sequence,) = tx.execute("SELECT sequence FROM software").fetchone()
    rows = [(sequence, msgspec.json.encode(change)) for change in changes]
    tx.executemany("INSERT INTO local_change(sequence, body) VALUES (?, ?)", rows)
    # The newest are kept: a vehicle that is never heard must not fill its disk.
    tx.execute(
        "DELETE FROM local_change WHERE rowid NOT IN (SELECT rowid FROM local_change ORDER BY rowid DESC LIMIT ?)",
        (MOST_CHANGES,),
    )
