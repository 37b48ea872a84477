"""What the SOTA Client stores about the vehicle's software: the last check, and what Core has yet to confirm.

Each function is work for :meth:`LocalDatabase.transact` or :meth:`LocalDatabase.read`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from sota.boundaries.b7_core_rvi.messages import ChangeKind, LocalChange
from sota.boundaries.values import InstalledPackage
from sota.kit.sql.local_file import Connection

MOST_CHANGES = 1000


def is_installing(tx: Connection) -> bool:
    """Report whether an update is being installed, which changes the software without a local change."""
    query = "SELECT 1 FROM download WHERE state IN ('verified', 'handed') LIMIT 1"
    return tx.execute(query).fetchone() is not None


def observe(tx: Connection, packages: list[InstalledPackage], now: datetime) -> bool:
    """Store what is installed; return whether Core must be told. The first check is only compared with.

    A difference after an update of ours comes from the update, and is not a local change.
    """
    row = tx.execute("SELECT seen, ours FROM software").fetchone()
    seen = msgspec.json.decode(row["seen"], type=list[InstalledPackage]) if row["seen"] else None
    tx.execute("UPDATE software SET seen = ?, ours = 0", (msgspec.json.encode(packages),))
    changes = differences(seen, packages, now) if seen is not None else []
    if changes:
        owe(tx, [] if row["ours"] else changes)
    return bool(changes)


def add_changes(tx: Connection, changes: list[LocalChange]) -> None:
    """Store changes that a tool has reported."""
    owe(tx, changes)
    tx.execute("UPDATE software SET ours = 1")  # the next check sees the same, and must not report it twice


def owe(tx: Connection, changes: Sequence[LocalChange] = ()) -> None:
    """Note that Core must be told what is installed, and these changes, until it has confirmed them."""
    tx.execute("UPDATE software SET sequence = sequence + 1")
    (sequence,) = tx.execute("SELECT sequence FROM software").fetchone()
    rows = [(sequence, msgspec.json.encode(change)) for change in changes]
    tx.executemany("INSERT INTO local_change(sequence, body) VALUES (?, ?)", rows)
    # Only the newest are kept: a vehicle that never reaches Core must not fill its disk.
    tx.execute(
        "DELETE FROM local_change WHERE rowid NOT IN (SELECT rowid FROM local_change ORDER BY rowid DESC LIMIT ?)",
        (MOST_CHANGES,),
    )


def owed(tx: Connection) -> tuple[int, list[LocalChange]] | None:
    """Return the number of the message that Core has yet to confirm, and its changes."""
    row = tx.execute("SELECT sequence, confirmed FROM software").fetchone()
    if row["sequence"] <= row["confirmed"]:
        return None
    bodies = tx.execute("SELECT body FROM local_change ORDER BY rowid LIMIT ?", (MOST_CHANGES,)).fetchall()
    return row["sequence"], [msgspec.json.decode(one["body"], type=LocalChange) for one in bodies]


def confirm(tx: Connection, sequence: int) -> bool:
    """Remove what Core has confirmed; return whether that is everything."""
    tx.execute("UPDATE software SET confirmed = max(confirmed, min(?, sequence))", (sequence,))
    confirmed, newest = tx.execute("SELECT confirmed, sequence FROM software").fetchone()
    tx.execute("DELETE FROM local_change WHERE sequence <= ?", (confirmed,))
    return bool(confirmed >= newest)


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
