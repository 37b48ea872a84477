"""What the SOTA Client stores about the vehicle's software: the last check, and what Core has yet to confirm."""

from __future__ import annotations

from datetime import datetime

import msgspec

from sota.boundaries.b7_core_rvi.messages import ChangeKind, LocalChange
from sota.boundaries.values import InstalledPackage
from sota.client.state import ClientState
from sota.kit.sql.local_file import Connection

MOST_CHANGES = 1000


class SoftwareState:
    """Two tables of the file ``client.db``."""

    def __init__(self, state: ClientState) -> None:
        self._database = state.database

    async def is_installing(self) -> bool:
        """Report whether an update is being installed, which changes the software without a local change."""
        query = "SELECT 1 FROM download WHERE state IN ('verified', 'handed') LIMIT 1"
        return await self._database.read(lambda tx: tx.execute(query).fetchone() is not None)

    async def observe(self, packages: list[InstalledPackage], now: datetime) -> bool:
        """Store what is installed; returns whether Core must be told. The first check is only compared with.

        A difference after an update of ours comes from the update, and is not a local change.
        """

        def work(tx: Connection) -> bool:
            row = tx.execute("SELECT seen, ours FROM software").fetchone()
            seen = msgspec.json.decode(row["seen"], type=list[InstalledPackage]) if row["seen"] else None
            tx.execute("UPDATE software SET seen = ?, ours = 0", (msgspec.json.encode(packages),))
            changes = differences(seen, packages, now) if seen is not None else []
            if changes:
                _add(tx, [] if row["ours"] else changes)
            return bool(changes)

        return await self._database.transact(work)

    async def add_changes(self, changes: list[LocalChange]) -> None:
        """Store changes until Core has confirmed them."""

        def work(tx: Connection) -> None:
            _add(tx, changes)
            tx.execute("UPDATE software SET ours = 1")  # the next check sees the same, and must not report it twice

        await self._database.transact(work)

    async def owe_after_loss(self) -> bool:
        """Note that Core must be told what is installed, if this file was lost; returns whether it was."""
        if not await self._database.begun_again():
            return False
        await self.owe()
        await self._database.settle()
        return True

    async def owe(self) -> None:
        """Note that Core must be told what is installed."""
        await self._database.transact(lambda tx: _add(tx, []))

    async def owed(self) -> tuple[int, list[LocalChange]] | None:
        """Return the number of the message that Core has yet to confirm, and its changes."""

        def work(tx: Connection) -> tuple[int, list[LocalChange]] | None:
            row = tx.execute("SELECT sequence, confirmed FROM software").fetchone()
            if row["sequence"] <= row["confirmed"]:
                return None
            query = "SELECT body FROM local_change ORDER BY rowid LIMIT ?"
            bodies = tx.execute(query, (MOST_CHANGES,)).fetchall()
            return row["sequence"], [msgspec.json.decode(one["body"], type=LocalChange) for one in bodies]

        return await self._database.read(work)

    async def confirm(self, sequence: int) -> bool:
        """Remove what Core has confirmed; returns whether that is everything."""

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
    # Only the newest are kept: a vehicle that never reaches Core must not fill its disk.
    tx.execute(
        "DELETE FROM local_change WHERE rowid NOT IN (SELECT rowid FROM local_change ORDER BY rowid DESC LIMIT ?)",
        (MOST_CHANGES,),
    )


def differences(before: list[InstalledPackage], after: list[InstalledPackage], at: datetime) -> list[LocalChange]:
    """Return the changes that lead from one state to the other.

    >>> from sota.boundaries.values import InstalledPackage
    >>> old, new = InstalledPackage(name="vim", version="1"), InstalledPackage(name="vim", version="2")
    >>> [change.operation.value for change in differences([old], [new], datetime.now(UTC))]
    ['upgrade']
    """
    old, new = ({package.name: package for package in packages} for packages in (before, after))
    changes = []
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) == new.get(name):
            continue
        kind = ChangeKind.INSTALL if name not in old else ChangeKind.REMOVE if name not in new else ChangeKind.UPGRADE
        changes.append(LocalChange(package=new.get(name) or old[name], operation=kind, at=at))
    return changes
